"""The compositional grammar: operators over chains, in words, as a gold plan and as an answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from decompose_distill.demo.facts import COLLECTIONS, MEASURES, RELATIONS, Facts, Kind, Measure

Operator = Literal["comparison", "sum", "difference", "count", "superlative"]
Chain = tuple[str, ...]
OPERATORS: tuple[Operator, ...] = ("comparison", "sum", "difference", "count", "superlative")

WORDINGS: Mapping[Operator, tuple[str, ...]] = {
    "comparison": (
        "{which} is {more}, {a} or {b}?",
        "Is {a} or {b} {more}?",
        "Of {a} and {b}, {which} is {more}?",
        "{a} or {b}: {which} is {more}?",
        "Comparing {a} with {b}, {which} is {more}?",
        "Say {which} is {more}: {a} or {b}.",
    ),
    "sum": (
        "What is the sum of the {plural} of {a} and {b}?",
        "Add the {noun} of {a} to the {noun} of {b}.",
        "What is the total {noun} of {a} and {b}?",
        "Find the {plural} of {a} and {b} put together.",
        "Taking {a} and {b} together, what is the {noun}?",
        "What do {a} and {b} come to in {noun}?",
    ),
    "difference": (
        "What is the difference between the {plural} of {a} and {b}?",
        "By how much do the {plural} of {a} and {b} differ?",
        "How far apart are the {plural} of {a} and {b}?",
        "Compute the {noun} difference of {a} and {b}.",
        "How far is {a} from {b} in {noun}?",
        "Comparing {a} with {b}, what is the difference in {noun}?",
    ),
    "count": (
        "How many {set} {verb} {a} or {b}?",
        "Count the {members} {a} or {b}.",
        "What is the number of {members} {a} or {b}?",
        "Find out how many {set} {verb} {a} or {b}.",
        "Taking {a} and {b} together, how many {set} are there?",
        "Between them, how many {set} do {a} and {b} have?",
    ),
    "superlative": (
        "{which} is the {most} of {a}, {b} and {c}?",
        "Among {a}, {b} and {c}, {which} is the {most}?",
        "Name the {most} of {a}, {b} and {c}.",
        "Is {a}, {b} or {c} the {most}?",
        "{a}, {b} or {c}: {which} is the {most}?",
        "Say {which} is the {most}: {a}, {b} or {c}.",
    ),
}
"""Wordings of training questions."""

HELDOUT_WORDINGS: Mapping[Operator, tuple[str, ...]] = {
    "comparison": (
        "Between {a} and {b}, {which} is {more}?",
        "I want to know {which} is {more}: {a} or {b}.",
    ),
    "sum": (
        "What is the combined {noun} of {a} and {b}?",
        "What do the {plural} of {a} and {b} add up to?",
    ),
    "difference": (
        "How large is the difference between the {plural} of {a} and {b}?",
        "How much do {a} and {b} differ in {noun}?",
    ),
    "count": (
        "Tell me how many {set} {verb} {a} or {b}.",
        "In total, how many different {set} {verb} {a} or {b}?",
    ),
    "superlative": (
        "Out of {a}, {b} and {c}, {which} is the {most}?",
        "Tell me {which} is the {most}: {a}, {b} or {c}.",
    ),
}
"""Wordings no training question has."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A named entity and the hops to follow from it; without hops it stands for itself.

    Example:
        >>> Operand("Emma", ("boss", "mother")).steps(0)
        (["Who is Emma's boss?", "Who is #1's mother?"], '#2')
    """

    anchor: str
    chain: Chain = ()

    def steps(self, before: int) -> tuple[list[str], str]:
        """Its subquestions after `before` others, and what stands for its end."""
        steps: list[str] = []
        end = self.anchor
        for hop in self.chain:
            steps.append(RELATIONS[hop].step.format(end))
            end = f"#{before + len(steps)}"
        return steps, end

    def follow(self, facts: Facts) -> str | None:
        """The entity at its end; `None` if the records have none."""
        end: str | None = self.anchor
        for hop in self.chain:
            end = None if end is None else facts.get((hop, end))
        return end


@dataclass(frozen=True, slots=True)
class Composition:
    """What a question is made of: an operator over operands that end in one kind of entity.

    Example:
        >>> asked = Composition("sum", "person", (Operand("Emma", ("boss",)), Operand("Jack")))
        >>> print(*asked.plan(), sep="\\n")
        Who is Emma's boss?
        What is the total age of #1 and Jack?
    """

    operator: Operator
    kind: Kind
    operands: tuple[Operand, ...]

    @property
    def pair(self) -> tuple[Chain, ...]:
        """The two chains under the operator, in an order that does not depend on the wording."""
        return tuple(sorted((operand.chain for operand in self.operands), reverse=True)[:2])

    @property
    def hops(self) -> int:
        """How many relations the question follows before its operator applies."""
        return sum(len(operand.chain) for operand in self.operands)

    def plan(self, measures: Mapping[Kind, Measure] = MEASURES) -> tuple[str, ...]:
        """The gold plan: atomic subquestions, later ones with `#n` for earlier answers."""
        steps: list[str] = []
        ends: list[str] = []
        for operand in self.operands:
            more, end = operand.steps(len(steps))
            steps += more
            ends.append(end)
        joined = " or " if self.operator == "comparison" else " and "
        listed = joined.join((", ".join(ends[:-1]), ends[-1]))
        aggregates = {**measures[self.kind].aggregates, "count": COLLECTIONS[self.kind].count}
        return (*steps, aggregates[self.operator].format(listed))

    def answer(self, facts: Facts) -> str | None:
        """The gold answer; `None` if a hop leads nowhere or two candidates are equal."""
        ends = [end for operand in self.operands if (end := operand.follow(facts))]
        if len(set(ends)) < len(self.operands):
            return None
        if self.operator == "count":
            lists = [facts[COLLECTIONS[self.kind].name, end].split(", ") for end in ends]
            return str(len({member for members in lists for member in members}))
        numbers = [int(facts[MEASURES[self.kind].name, end]) for end in ends]
        if len(set(numbers)) < len(numbers):
            return None
        if self.operator == "sum":
            return str(sum(numbers))
        if self.operator == "difference":
            return str(max(numbers) - min(numbers))
        return ends[numbers.index(max(numbers))]

    def words(self, wording: str) -> str:
        """The question in one wording."""
        measure, collection = MEASURES[self.kind], COLLECTIONS[self.kind]
        phrases = dict(zip("abc", (_phrase(operand) for operand in self.operands), strict=False))
        text = wording.format(
            **phrases,
            which=measure.which.lower(),
            more=measure.more,
            most=measure.most,
            noun=measure.name,
            plural=measure.plural,
            set=collection.name,
            verb=collection.verb,
            members=collection.members,
        )
        return text[0].upper() + text[1:]


def _phrase(operand: Operand) -> str:
    """How the question names an operand: `Emma's boss`, `the mother of Emma's boss`."""
    phrase = operand.anchor
    for number, hop in enumerate(operand.chain):
        noun = RELATIONS[hop].noun
        phrase = f"the {noun} of {phrase}" if number else f"{phrase}'s {noun}"
    return phrase
