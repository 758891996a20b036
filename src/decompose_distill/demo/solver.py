"""A database with arithmetic as the solver: it answers atomic subquestions and nothing else."""

import re
from collections.abc import Iterable, Iterator

from decompose_distill.demo.facts import (
    COLLECTIONS,
    DECOYS,
    MEASURES,
    RELATIONS,
    Measure,
    Relation,
)
from decompose_distill.demo.world import World
from decompose_distill.types import Decomposition, Failure, Solution

UNKNOWN = "unknown"
"""What the database answers when it has no such record."""
_SEPARATOR = re.compile(r", and |, or |, | and | or ")


def _pattern(step: str) -> re.Pattern[str]:
    """What a subquestion of this form looks like."""
    return re.compile(re.escape(step).replace(r"\{\}", "(.+)"), re.IGNORECASE)


_MEASURES: tuple[Measure, ...] = (*MEASURES.values(), *DECOYS.values())
_RECORDS: tuple[Relation | Measure, ...] = (*RELATIONS.values(), *_MEASURES)
_LOOKUPS = tuple((_pattern(record.step), record.name) for record in _RECORDS)
_AGGREGATES = tuple(
    (_pattern(form), operator, measure.name)
    for measure in _MEASURES
    for operator, form in measure.aggregates.items()
) + tuple((_pattern(listed.count), "count", listed.name) for listed in COLLECTIONS.values())


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
            >>> solver = DatabaseSolver(build_world(seed=0))
            >>> solver.answer("Who is older, #1 or #1?", ["Emma"])
            'Emma'
        """
        known = {f"#{number}": answer for number, answer in enumerate(earlier, start=1)}
        text = subquestion.strip()
        for pattern, name in _LOOKUPS:
            if match := pattern.fullmatch(text):
                return self._find(name, known.get(match[1], match[1])) or UNKNOWN
        for pattern, operator, name in _AGGREGATES:
            if match := pattern.fullmatch(text):
                entities = [known.get(word, word) for word in _SEPARATOR.split(match[1])]
                return self._aggregate(operator, name, entities)
        return UNKNOWN

    def _find(self, name: str, entity: str) -> str | None:
        return self._facts.get((name, self._names.get(entity.lower(), entity)))

    def _aggregate(self, operator: str, name: str, entities: list[str]) -> str:
        """Compare, add or count what is recorded; unknown where one has no such record."""
        found = {entity: self._find(name, entity) for entity in entities}
        records = [record for record in found.values() if record]
        if len(records) < len(found):
            return UNKNOWN
        if operator == "count":
            return str(len({member for record in records for member in record.split(", ")}))
        numbers = [int(record) for record in records]
        if operator == "sum":
            return str(sum(numbers))
        if operator == "difference":
            return str(max(numbers) - min(numbers))
        return list(found)[numbers.index(max(numbers))]


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
