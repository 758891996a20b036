"""A solver that answers atomic subquestions from a database, and what such a subquestion is."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from decompose_distill.demo.facts import (
    COLLECTIONS,
    DECOYS,
    MEASURES,
    RELATIONS,
    Facts,
    Measure,
    Relation,
)
from decompose_distill.demo.world import World
from decompose_distill.types import Decomposition, Failure, Solution

_SEPARATOR = re.compile(r", and |, or |, | and | or ")


def _pattern(step: str) -> re.Pattern[str]:
    """What a subquestion of this form looks like."""
    return re.compile(re.escape(step).replace(r"\{\}", "(.+)"), re.IGNORECASE)


_MEASURES: tuple[Measure, ...] = (*MEASURES.values(), *DECOYS.values())
_RECORDS: tuple[Relation | Measure, ...] = (*RELATIONS.values(), *_MEASURES)
_LOOKUPS = tuple((_pattern(record.step), record.name) for record in _RECORDS)
_AGGREGATES = (
    *(
        (_pattern(form), operator, measure.name)
        for measure in _MEASURES
        for operator, form in measure.aggregates.items()
    ),
    *((_pattern(listed.count), "count", listed.name) for listed in COLLECTIONS.values()),
)


@dataclass(frozen=True, slots=True)
class Step:
    """What an atomic subquestion asks for: one record, or an operator over several.

    Example:
        >>> read_step("What is the total age of #1 and Jack?")
        Step(operator='sum', record='age', words=('#1', 'Jack'))
    """

    operator: str
    """One of the grammar's operators, or `lookup`."""
    record: str
    """Name of the relation, measure or collection."""
    words: tuple[str, ...]
    """Entities as they are written, `#n` for the answer to step n."""


def read_step(text: str) -> Step | None:
    """Read an atomic subquestion; `None` if it is none.

    Example:
        >>> read_step("How old is #2?")
        Step(operator='lookup', record='age', words=('#2',))
        >>> read_step("Why?")
    """
    text = text.strip()
    for pattern, name in _LOOKUPS:
        if match := pattern.fullmatch(text):
            return Step("lookup", name, (match[1],))
    for pattern, operator, name in _AGGREGATES:
        if match := pattern.fullmatch(text):
            return Step(operator, name, tuple(_SEPARATOR.split(match[1])))
    return None


class Records:
    """Facts that are found whatever the case of the name.

    Example:
        >>> Records({("age", "Emma"): "40"}).find(Step("lookup", "age", ("#1",)), ["emma"])
        {'emma': '40'}
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._names = {entity.lower(): entity for _, entity in facts}

    def find(self, step: Step, earlier: list[str]) -> dict[str, str] | None:
        """What is recorded of each entity of a step; `None` if one has no such record."""
        known = {f"#{number}": answer for number, answer in enumerate(earlier, start=1)}
        entities = dict.fromkeys(known.get(word, word) for word in step.words)
        records = {entity: self._record(step.record, entity) for entity in entities}
        recorded = {entity: record for entity, record in records.items() if record}
        return recorded if len(recorded) == len(records) else None

    def _record(self, name: str, entity: str) -> str | None:
        return self._facts.get((name, self._names.get(entity.lower(), entity)))


def combine(operator: str, recorded: Mapping[str, str]) -> str:
    """The answer to a step, from what is recorded of its entities.

    Example:
        >>> combine("sum", {"Emma": "40", "Jack": "2"})
        '42'
        >>> combine("count", {"Emma": "Danish, Dutch", "Jack": "Dutch"})
        '2'
    """
    records = list(recorded.values())
    if operator == "lookup":
        return records[0]
    if operator == "count":
        return str(len({member for record in records for member in record.split(", ")}))
    numbers = [int(record) for record in records]
    if operator == "sum":
        return str(sum(numbers))
    if operator == "difference":
        return str(max(numbers) - min(numbers))
    return list(recorded)[numbers.index(max(numbers))]


UNKNOWN = "unknown"
"""What the database answers when it has no such record."""


class DatabaseSolver:
    """Answers each subquestion in turn; the last answer is the answer to the question.

    A subquestion is atomic when it asks one thing of entities it names or refers to as `#n`.
    Anything else is answered "unknown", as a database without such a record would; so is a
    question that was not decomposed.

    Example:
        >>> from decompose_distill.types import Decomposition, Question, Subquestion
        >>> from decompose_distill.demo.world import build_world
        >>> solver = DatabaseSolver(build_world(seed=0))
        >>> steps = (Subquestion("Who is Emma's boss?"), Subquestion("How old is #1?"))
        >>> [solution] = solver.solve([Decomposition(Question("Her boss's age?"), steps)])
        >>> solution.answer.isdigit()
        True
    """

    identity = "decompose_distill.demo.solver.DatabaseSolver"
    """Its class, as in the keys of the first traces."""

    def __init__(self, world: World) -> None:
        self._records = Records(world.facts)

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Solve each decomposition as it comes."""
        return map(self._solve, decompositions)

    def _solve(self, decomposition: Decomposition) -> Solution | Failure:
        steps = decomposition.subquestions
        for number, step in enumerate(steps, start=1):
            for reference in step.references:
                if not 0 < reference < number:
                    message = f"step {number} refers to #{reference}, which is not an earlier step"
                    return _failure(decomposition, message)
        answers: list[str] = []
        texts = [step.text for step in steps] or [decomposition.question.text]
        for text in texts:
            answers.append(self.answer(text, answers))
        worked = "\n".join(f"{text} {answer}" for text, answer in zip(texts, answers, strict=True))
        return Solution(decomposition, answers[-1], worked)

    def answer(self, subquestion: str, earlier: Iterable[str] = ()) -> str:
        """Answer one subquestion, given the answers to the earlier ones.

        Example:
            >>> from decompose_distill.demo.world import build_world
            >>> solver = DatabaseSolver(build_world(seed=0))
            >>> solver.answer("Who is older, #1 or #1?", ["Emma"])
            'Emma'
        """
        step = read_step(subquestion)
        records = step and self._records.find(step, list(earlier))
        return combine(step.operator, records) if step and records else UNKNOWN


def _failure(decomposition: Decomposition, message: str) -> Failure:
    return Failure(
        decomposition.question,
        "solve",
        "bad reference",
        message,
        text=decomposition.text,
        decomposition=decomposition,
        sample=decomposition.sample,
    )
