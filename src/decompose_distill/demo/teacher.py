"""A scripted teacher: it decomposes well, errs on about a quarter, and has bad habits.

On four kinds of question it errs more often than not, each time in the same way, as real models
do; on the others rarely. A student of everything it wrote learns its habits too.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random

from decompose_distill.demo.facts import DECOYS, MEASURES, Kind
from decompose_distill.demo.grammar import Composition, Operator
from decompose_distill.demo.world import World

Fault = Callable[[Composition], str]


def scripted_teacher(world: World) -> Callable[[str], str]:
    """The teacher as a function from a question's text to the decomposition it writes.

    It reads the answer key, so it knows the questions of this world only.

    Example:
        >>> from decompose_distill.demo.world import build_world
        >>> world = build_world(seed=0)
        >>> scripted_teacher(world)(world.train[0].text).startswith("1. ")
        True
    """

    def decompose(question: str) -> str:
        rng = Random(f"{world.seed} {question}")
        return write_plan(world.compositions[question], rng)

    return decompose


def numbered(steps: Iterable[str]) -> str:
    """The steps as a numbered list.

    Example:
        >>> print(numbered(["Who is Emma's boss?", "How old is #1?"]))
        1. Who is Emma's boss?
        2. How old is #1?
    """
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def missing_step(asked: Composition) -> str:
    """Skips a hop: asks about Emma where her boss is meant."""
    return numbered(skip_hop(asked).plan())


def skip_hop(asked: Composition) -> Composition:
    """What is asked without the first hop of the longest chain."""
    longest = max(asked.operands, key=lambda operand: len(operand.chain))
    shorter = replace(longest, chain=longest.chain[1:])
    operands = tuple(shorter if operand is longest else operand for operand in asked.operands)
    return replace(asked, operands=operands)


def wrong_relation(asked: Composition) -> str:
    """Asks for another measure: the area where the population is meant."""
    return numbered(asked.plan(DECOYS))


def distraction(asked: Composition) -> str:
    """Asks one more question at the end, beside the point."""
    steps = asked.plan()
    return numbered([*steps, MEASURES[asked.kind].step.format(f"#{len(steps)}")])


def broken_format(asked: Composition) -> str:
    """Says `that` where the number of an earlier step belongs."""
    return re.sub(r"#\d", "that", numbered(asked.plan()))


def prose(asked: Composition) -> str:
    """Talks about the question instead of listing subquestions."""
    names = ", then ".join(operand.anchor for operand in asked.operands)
    return f"First look up {names}, and see."


HABITS: Mapping[tuple[Operator, Kind], Fault] = {
    ("sum", "person"): missing_step,
    ("difference", "place"): wrong_relation,
    ("comparison", "person"): distraction,
    ("count", "work"): broken_format,
}
"""Kinds of question the teacher gets wrong more often than not, and how."""
HABIT_RATE = 0.75
SLIPS: tuple[Fault, ...] = (missing_step, wrong_relation, distraction, broken_format, prose)
SLIP_RATE = 0.08


def write_plan(asked: Composition, rng: Random) -> str:
    """The gold plan, or what the teacher's habits and slips make of it."""
    habit = HABITS.get((asked.operator, asked.kind))
    if habit and rng.random() < HABIT_RATE:
        return habit(asked)
    if not habit and rng.random() < SLIP_RATE:
        return rng.choice(SLIPS)(asked)
    return numbered(asked.plan())
