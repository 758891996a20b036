"""A database with arithmetic as the solver: it answers atomic subquestions and nothing else."""

import re
from collections.abc import Iterable, Iterator, Mapping

from decompose_distill.demo.facts import (
    COLLECTIONS,
    DECOYS,
    MEASURES,
    RELATIONS,
    Collection,
    Measure,
    Relation,
)
from decompose_distill.demo.grammar import COMBINE
from decompose_distill.demo.world import World
from decompose_distill.types import Decomposition, Failure, Solution

UNKNOWN = "unknown"
"""What the database answers when it has no such record."""


def _pattern(step: str) -> re.Pattern[str]:
    """What a subquestion of this form looks like."""
    return re.compile(re.escape(step).replace(r"\{\}", "(.+)"), re.IGNORECASE)


_MEASURES: tuple[Measure, ...] = (*MEASURES.values(), *DECOYS.values())
_RECORDS: tuple[Relation | Measure | Collection, ...] = (
    *RELATIONS.values(),
    *_MEASURES,
    *COLLECTIONS.values(),
)
_LOOKUPS = tuple((_pattern(record.step), record.name) for record in _RECORDS)
_RANKS = tuple(
    (_pattern(form), measure.name)
    for measure in _MEASURES
    for form in (measure.compare, measure.rank)
)
_COMBINE = tuple((_pattern(form), operator) for operator, form in COMBINE.items())


class DatabaseSolver:
    """Answers each subquestion in turn; the last answer is the answer to the question.

    A subquestion is atomic when it asks one thing of entities it names or refers to as `#n`.
    Anything else is answered "unknown", as a database without such a record would; so is a
    question that was not decomposed.

    Example:
        >>> from decompose_distill.types import Decomposition, Question, Subquestion
        >>> from decompose_distill.demo.world import build_world
        >>> solver = DatabaseSolver(build_world(seed=0))
        >>> steps = (Subquestion("How old is Emma?"), Subquestion("What is #1 + 0?"))
        >>> [solution] = solver.solve([Decomposition(Question("Emma's age?"), steps)])
        >>> solution.answer.isdigit()
        True
    """

    def __init__(self, world: World) -> None:
        self._facts = world.facts
        self._names = {entity.lower(): entity for _, entity in world.facts}

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
        said = "\n".join(f"{text} {answer}" for text, answer in zip(texts, answers, strict=True))
        return Solution(decomposition, answers[-1], said)

    def answer(self, subquestion: str, earlier: Iterable[str] = ()) -> str:
        """Answer one subquestion, given the answers to the earlier ones.

        Example:
            >>> from decompose_distill.demo.world import build_world
            >>> DatabaseSolver(build_world(seed=0)).answer("What is #1 + #2?", ["30", "12"])
            '42'
        """
        known = {f"#{number}": answer for number, answer in enumerate(earlier, start=1)}
        text = subquestion.strip()
        for pattern, name in _LOOKUPS:
            if match := pattern.fullmatch(text):
                found = self._find(name, known.get(match[1], match[1]))
                if found:
                    return found
        for pattern, name in _RANKS:
            if match := pattern.fullmatch(text):
                return self._largest(name, _values(match[1], known))
        for pattern, operator in _COMBINE:
            if match := pattern.fullmatch(text):
                return _combine(operator, _values(f"{match[1]}, {match[2]}", known))
        return UNKNOWN

    def _find(self, name: str, entity: str) -> str | None:
        return self._facts.get((name, self._names.get(entity.lower(), entity)))

    def _largest(self, name: str, entities: list[str]) -> str:
        """Which of the entities has most of something; unknown where one has no record."""
        found = {entity: self._find(name, entity) for entity in entities}
        numbers = {entity: int(number) for entity, number in found.items() if number}
        if len(numbers) < 2 or len(numbers) < len(found):
            return UNKNOWN
        return max(numbers, key=lambda entity: numbers[entity])


def _values(words: str, known: Mapping[str, str]) -> list[str]:
    """What a list such as `#1, #2 and Emma` stands for."""
    return [known.get(word, word) for word in re.split(r",? and | or |, ", words)]


def _combine(operator: str, values: list[str]) -> str:
    """Add two numbers, take their distance, or count the members of two lists."""
    if UNKNOWN in values:
        return UNKNOWN
    if operator == "count":
        return str(len({member for value in values for member in value.split(", ")}))
    if not all(value.isdecimal() for value in values):
        return UNKNOWN
    numbers = [int(value) for value in values]
    return str(sum(numbers) if operator == "sum" else max(numbers) - min(numbers))


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
