"""A scripted large model: it decomposes as a teacher, and solves with written working.

No language model: a script with an answer key. What it knows of a question's composition stands
in for the skill of a large model, and its rates of error are chosen, not measured; they are the
constants of this module. On a few kinds of question and step it errs more often than not, each
time in the same way, as real models do; on the others rarely. A student of everything it wrote
learns its habits too.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from random import Random

from decompose_distill import prompts
from decompose_distill.demo.facts import DECOYS, MEASURES, Kind
from decompose_distill.demo.grammar import Composition, Operator
from decompose_distill.demo.solver import UNKNOWN, Records, Step, combine, read_step
from decompose_distill.demo.world import World, read_facts
from decompose_distill.errors import ParseError
from decompose_distill.parsing import format_answer, parse_subquestions
from decompose_distill.types import Completion, Finish, Message, Question, Request, Usage

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


def missing_step(composition: Composition) -> str:
    """Skips a hop: asks about Emma where her boss is meant."""
    return numbered(skip_hop(composition).plan())


def skip_hop(composition: Composition) -> Composition:
    """What is asked without the first hop of the longest chain."""
    longest = max(composition.operands, key=lambda operand: len(operand.chain))
    shorter = replace(longest, chain=longest.chain[1:])
    operands = tuple(shorter if operand is longest else operand for operand in composition.operands)
    return replace(composition, operands=operands)


def wrong_relation(composition: Composition) -> str:
    """Asks for another measure: the area where the population is meant."""
    return numbered(composition.plan(DECOYS))


def distraction(composition: Composition) -> str:
    """Asks one more question at the end, beside the point."""
    steps = composition.plan()
    return numbered([*steps, MEASURES[composition.kind].step.format(f"#{len(steps)}")])


def broken_format(composition: Composition) -> str:
    """Says `that` where the number of an earlier step belongs."""
    return re.sub(r"#\d", "that", numbered(composition.plan()))


def prose(composition: Composition) -> str:
    """Talks about the question instead of listing subquestions."""
    names = ", then ".join(operand.anchor for operand in composition.operands)
    return f"First look up {names}, and see."


PLAN_HABITS: Mapping[tuple[Operator, Kind], Fault] = {
    ("sum", "person"): missing_step,
    ("difference", "place"): wrong_relation,
    ("comparison", "person"): distraction,
    ("count", "work"): broken_format,
}
"""Kinds of question the teacher gets wrong more often than not, and how."""
PLAN_HABIT_RATE = 0.75
PLAN_SLIPS: tuple[Fault, ...] = (missing_step, wrong_relation, distraction, broken_format, prose)
PLAN_SLIP_RATE = 0.08


def write_plan(composition: Composition, rng: Random) -> str:
    """The gold plan, or what the teacher's habits and slips make of it."""
    habit = PLAN_HABITS.get((composition.operator, composition.kind))
    if habit and rng.random() < PLAN_HABIT_RATE:
        return habit(composition)
    if not habit and rng.random() < PLAN_SLIP_RATE:
        return rng.choice(PLAN_SLIPS)(composition)
    return numbered(composition.plan())


Working = tuple[str, str]
"""What is written for a step, and the answer to it."""
Work = Callable[[Step, Mapping[str, str]], Working]


def right(step: Step, values: Mapping[str, str]) -> Working:
    """Work a step out, from what is recorded of its entities.

    Example:
        >>> right(read_step("What is the total age of Emma and Jack?"), {"Emma": "40", "Jack": "2"})
        ('40 + 2 = 42', '42')
        >>> right(read_step("Who is older, Emma or Jack?"), {"Emma": "40", "Jack": "2"})
        ('Emma 40, Jack 2: Emma', 'Emma')
    """
    answer = combine(step.operator, values)
    if step.operator == "lookup":
        return answer, answer
    if step.operator == "count":
        members = dict.fromkeys(name for listed in values.values() for name in listed.split(", "))
        return f"{', '.join(members)}: {answer}", answer
    if step.operator == "sum":
        return f"{' + '.join(values.values())} = {answer}", answer
    if step.operator == "difference":
        return (
            f"{max(values.values(), key=int)} - {min(values.values(), key=int)} = {answer}",
            answer,
        )
    return f"{', '.join(f'{name} {number}' for name, number in values.items())}: {answer}", answer


def shared_twice(step: Step, values: Mapping[str, str]) -> Working:
    """Counts what two lists share twice."""
    members = [name for listed in values.values() for name in listed.split(", ")]
    return f"{', '.join(members)}: {len(members)}", str(len(members))


def added(step: Step, values: Mapping[str, str]) -> Working:
    """Adds where the difference is asked for."""
    return right(Step("sum", step.record, step.words), values)


def slip(step: Step, values: Mapping[str, str]) -> Working:
    """Says the wrong one of several, or a number that is one too large."""
    working, answer = right(step, values)
    wrong = str(int(answer) + 1) if answer.isdigit() else next(n for n in values if n != answer)
    return f"{working.removesuffix(answer)}{wrong}", wrong


WORK_HABITS: Mapping[tuple[str, str], Work] = {
    ("count", "languages"): shared_twice,
    ("difference", "page count"): added,
}
"""Steps the scripted solver gets wrong more often than not, and how."""
WORK_HABIT_RATE = 0.75
WORK_SLIP_RATE = 0.04


def draw(rng: Random) -> Work:
    """The scripted solver's way to work: right but for its habits and slips."""

    def work(step: Step, values: Mapping[str, str]) -> Working:
        if step.operator == "lookup":
            return right(step, values)
        habit = WORK_HABITS.get((step.operator, step.record))
        if habit and rng.random() < WORK_HABIT_RATE:
            return habit(step, values)
        return (slip if rng.random() < WORK_SLIP_RATE and len(values) > 1 else right)(step, values)

    return work


def carry_out(steps: Sequence[str], records: Records, work: Work = right) -> list[Working] | None:
    """Work every step out; `None` if one is not atomic, or asks for what is not recorded.

    Example:
        >>> records = Records({("boss", "Emma"): "Lucy", ("age", "Lucy"): "50"})
        >>> carry_out(["Who is Emma's boss?", "How old is #1?"], records)
        [('Lucy', 'Lucy'), ('50', '50')]
        >>> carry_out(["How old is she?"], records)
    """
    worked: list[Working] = []
    for text in steps:
        step = read_step(text)
        values = step and records.find(step, [answer for _, answer in worked])
        if not step or not values:
            return None
        worked.append(work(step, values))
    return worked


RIGHT_PLAN = 0.6
"""Chance, a hop, that the model keeps the hop in mind where nobody decomposed for it."""
RIGHT_PLAN_UNWRITTEN = 0.35
"""The same where it must answer without working."""
_ASKED = re.compile(
    r"(?:Context: (?P<context>.*?)\n\n)?(?:Question: )?(?P<question>[^\n]+)"
    r"(?:\n\nSubquestions:\n(?P<steps>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class ScriptedModel:
    """Decomposes as `teacher` does; solves with what the context or else the world records.

    A prompt that asks for the line "The answer is: " is one to solve, any other one to
    decompose. Given subquestions, it answers them in order and takes the last answer for the
    question's; where one of them cannot be answered, it makes a plan of its own, as it does
    without subquestions, and then loses a hop the more often the more hops there are. With a
    temperature of 0 the same request has the same answer; otherwise the seed draws another.

    Example:
        >>> from decompose_distill import Decomposer, Pipeline, Solver
        >>> from decompose_distill.demo.world import build_world
        >>> world = build_world(seed=0)
        >>> model = ScriptedModel(world)
        >>> trace = Pipeline(Decomposer(model), Solver(model))(world.train[0])
        >>> trace.answer == world.train[0].answer
        True
    """

    world: World

    @property
    def identity(self) -> str:
        """Name, version and world, for keys."""
        return f"scripted large model 1, world {self.world.seed}"

    @cached_property
    def _memory(self) -> Records:
        return Records(self.world.facts)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer each request in order; one about an unknown question comes back as an error."""
        for request in requests:
            text = self._answer(request)
            read = sum(len(message.content.split()) for message in request.messages)
            if text is None:
                message = "the scripted model knows only the questions of its own world"
                yield Completion(request.id, "", "error", Usage(read, 0), message)
                continue
            kept = _first_words(text, request.sampling.max_new_tokens)
            finish: Finish = "stop" if kept == text else "length"
            yield Completion(request.id, kept, finish, Usage(read, len(kept.split())))

    def _answer(self, request: Request) -> str | None:
        match = _ASKED.fullmatch(request.messages[-1].content.strip())
        composition = match and self.world.compositions.get(match["question"])
        if not match or not composition:
            return None
        drawn = f" {request.sampling.seed}" if request.sampling.temperature else ""
        rng = Random(f"{self.world.seed} {match['question']}{drawn}")
        if not _asks_for_answer(request.messages):
            return write_plan(composition, rng)
        context = match["context"]
        records = Records(read_facts(context)) if context else self._memory
        steps = _listed(match["steps"] or "")
        short = request.messages[0].content == prompts.DIRECT.system
        rng = Random(f"{self.world.seed} {short} {request.messages[-1].content}{drawn}")
        return _solve(composition, steps, records, short, rng)


def _first_words(text: str, count: int) -> str:
    """A text up to its n-th word; a word is a token of this model."""
    words = [*islice(re.finditer(r"\S+", text), count + 1)]
    return text if len(words) <= count else text[: words[count - 1].end()]


def _asks_for_answer(messages: Sequence[Message]) -> bool:
    return "The answer is" in messages[0].content


def _listed(steps: str) -> list[str]:
    try:
        return [subquestion.text for subquestion in parse_subquestions(steps)]
    except ParseError:  # a student may write anything
        return []


def _solve(
    composition: Composition, steps: Sequence[str], records: Records, short: bool, rng: Random
) -> str:
    """Answer the steps of the prompt, else those of a plan of its own."""
    if steps and (worked := carry_out(steps, records, draw(rng))):
        return _written([working for working, _ in worked], worked[-1][1])
    chance = (RIGHT_PLAN_UNWRITTEN if short else RIGHT_PLAN) ** composition.hops
    plan = composition.plan() if rng.random() < chance else skip_hop(composition).plan()
    worked = carry_out(plan, records, draw(rng))
    if not worked:
        return format_answer(UNKNOWN)
    lines = [f"{step} {working}" for step, (working, _) in zip(plan, worked, strict=True)]
    return _written([] if short else lines, worked[-1][1])


def _written(lines: Sequence[str], answer: str) -> str:
    return "\n".join(filter(None, (numbered(lines), format_answer(answer))))


def gold_rationale(world: World, question: Question) -> str:
    """The gold plan worked out without a mistake.

    Example:
        >>> from decompose_distill.demo.world import build_world
        >>> world = build_world(seed=0)
        >>> gold_rationale(world, world.train[0]).endswith(f": {world.train[0].answer}")
        True
    """
    plan = world.compositions[question.text].plan()
    facts = read_facts(question.context) if question.context else world.facts
    worked = carry_out(plan, Records(facts), right)
    assert worked  # a gold plan can be carried out on what a question needs
    return _written([working for working, _ in worked], worked[-1][1])
