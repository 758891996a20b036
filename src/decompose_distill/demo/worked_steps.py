"""Worked solutions: each step with its working, and the mistakes a scripted solver makes."""

from collections.abc import Callable, Mapping, Sequence
from random import Random

from decompose_distill.demo.atomic_steps import Records, Step, combine, read_step

Working = tuple[str, str]
"""What is written for a step, and the answer to it."""
Work = Callable[[Step, Mapping[str, str]], Working]


def right(step: Step, found: Mapping[str, str]) -> Working:
    """Work a step out, from what is recorded of its entities.

    Example:
        >>> right(read_step("What is the total age of Emma and Jack?"), {"Emma": "40", "Jack": "2"})
        ('40 + 2 = 42', '42')
        >>> right(read_step("Who is older, Emma or Jack?"), {"Emma": "40", "Jack": "2"})
        ('Emma 40, Jack 2: Emma', 'Emma')
    """
    answer = combine(step.operator, found)
    if step.operator == "lookup":
        return answer, answer
    if step.operator == "count":
        members = dict.fromkeys(name for listed in found.values() for name in listed.split(", "))
        return f"{', '.join(members)}: {answer}", answer
    if step.operator == "sum":
        return f"{' + '.join(found.values())} = {answer}", answer
    if step.operator == "difference":
        return f"{max(found.values(), key=int)} - {min(found.values(), key=int)} = {answer}", answer
    return f"{', '.join(f'{name} {number}' for name, number in found.items())}: {answer}", answer


def shared_twice(step: Step, found: Mapping[str, str]) -> Working:
    """Counts what two lists share twice."""
    members = [name for listed in found.values() for name in listed.split(", ")]
    return f"{', '.join(members)}: {len(members)}", str(len(members))


def added(step: Step, found: Mapping[str, str]) -> Working:
    """Adds where the difference is asked for."""
    return right(Step("sum", step.record, step.words), found)


def slip(step: Step, found: Mapping[str, str]) -> Working:
    """Says the wrong one of several, or a number that is one too large."""
    said, answer = right(step, found)
    wrong = str(int(answer) + 1) if answer.isdigit() else next(n for n in found if n != answer)
    return f"{said.removesuffix(answer)}{wrong}", wrong


HABITS: Mapping[tuple[str, str], Work] = {
    ("count", "languages"): shared_twice,
    ("difference", "page count"): added,
}
"""Steps the scripted solver gets wrong more often than not, and how."""
HABIT_RATE = 0.75
SLIP_RATE = 0.04


def draw(rng: Random) -> Work:
    """The scripted solver's way to work: right but for its habits and slips."""

    def work(step: Step, found: Mapping[str, str]) -> Working:
        if step.operator == "lookup":
            return right(step, found)
        habit = HABITS.get((step.operator, step.record))
        if habit and rng.random() < HABIT_RATE:
            return habit(step, found)
        return (slip if rng.random() < SLIP_RATE and len(found) > 1 else right)(step, found)

    return work


def carry_out(steps: Sequence[str], records: Records, work: Work = right) -> list[Working] | None:
    """Work every step out; `None` where one is not atomic, or asks for what is not recorded.

    Example:
        >>> records = Records({("boss", "Emma"): "Lucy", ("age", "Lucy"): "50"})
        >>> carry_out(["Who is Emma's boss?", "How old is #1?"], records)
        [('Lucy', 'Lucy'), ('50', '50')]
        >>> carry_out(["How old is she?"], records)
    """
    done: list[Working] = []
    for text in steps:
        step = read_step(text)
        found = step and records.find(step, [answer for _, answer in done])
        if not step or not found:
            return None
        done.append(work(step, found))
    return done
