"""A scripted large model as a backend: it decomposes, and solves with written working.

No language model: a script with an answer key. What it knows of a question's composition stands
in for the skill of a large model, and its rates of error are chosen, not measured; they are the
constants of this module, of `teacher` and of `working`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from decompose_distill import prompts
from decompose_distill.demo.atomic_steps import Records
from decompose_distill.demo.contexts import read_facts
from decompose_distill.demo.grammar import Composition
from decompose_distill.demo.solver import UNKNOWN
from decompose_distill.demo.teacher import numbered, skip_hop, write_plan
from decompose_distill.demo.worked_steps import carry_out, draw, right
from decompose_distill.demo.world import World
from decompose_distill.errors import ParseError
from decompose_distill.parsing import format_answer, parse_subquestions
from decompose_distill.types import Completion, Message, Question, Request, Usage

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
            said = self._said(request)
            asked = sum(len(message.content.split()) for message in request.messages)
            if said is None:
                message = "the scripted model knows only the questions of its own world"
                yield Completion(request.id, "", "error", Usage(asked, 0), message)
            else:
                yield Completion(request.id, said, "stop", Usage(asked, len(said.split())))

    def _said(self, request: Request) -> str | None:
        asked = _ASKED.fullmatch(request.messages[-1].content.strip())
        composition = asked and self.world.compositions.get(asked["question"])
        if not asked or not composition:
            return None
        drawn = f" {request.sampling.seed}" if request.sampling.temperature else ""
        rng = Random(f"{self.world.seed} {asked['question']}{drawn}")
        if not _asks_for_answer(request.messages):
            return write_plan(composition, rng)
        context = asked["context"]
        records = Records(read_facts(context)) if context else self._memory
        given = _listed(asked["steps"] or "")
        short = request.messages[0].content == prompts.DIRECT.system
        rng = Random(f"{self.world.seed} {short} {request.messages[-1].content}{drawn}")
        return _solve(composition, given, records, short, rng)


def _asks_for_answer(messages: Sequence[Message]) -> bool:
    return "The answer is" in messages[0].content


def _listed(steps: str) -> list[str]:
    try:
        return [each.text for each in parse_subquestions(steps)]
    except ParseError:  # a student may write anything
        return []


def _solve(
    asked: Composition, given: Sequence[str], records: Records, short: bool, rng: Random
) -> str:
    """Answer the steps that were given, else those of a plan of its own."""
    if given and (done := carry_out(given, records, draw(rng))):
        return _written([said for said, _ in done], done[-1][1])
    chance = (RIGHT_PLAN_UNWRITTEN if short else RIGHT_PLAN) ** asked.hops
    plan = asked.plan() if rng.random() < chance else skip_hop(asked).plan()
    done = carry_out(plan, records, draw(rng))
    if not done:
        return format_answer(UNKNOWN)
    lines = [f"{step} {said}" for step, (said, _) in zip(plan, done, strict=True)]
    return _written([] if short else lines, done[-1][1])


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
    done = carry_out(plan, Records(facts), right)
    assert done  # a gold plan can be carried out on what a question needs
    return _written([said for said, _ in done], done[-1][1])
