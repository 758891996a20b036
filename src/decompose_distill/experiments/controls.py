"""Decompositions made once and given to every solver, or given to the wrong question."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice

from decompose_distill.types import Decomposition, Failure, Question, Solution, Trace


class RecordedDecomposer:
    """Hands out decompositions made before, in place of the decomposer that made them.

    Example:
        >>> question = Question("Why?")
        >>> made = Trace(question, Solution(Decomposition(question, ()), ""))
        >>> next(RecordedDecomposer([made], "teacher").decompose([question])).declined
        True
    """

    def __init__(self, traces: Iterable[Trace], identity: str) -> None:
        self.identity = identity
        self._made = {trace.question.id: _decomposed(trace) for trace in traces}

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        """Look up each question."""
        return (self._made[question.id] for question in questions)


def _decomposed(trace: Trace) -> Decomposition | Failure:
    if trace.decomposition is not None:
        return trace.decomposition
    assert isinstance(trace.outcome, Failure)
    return trace.outcome


class NullSolver:
    """Stands where a solver would: keeps the decomposition and answers nothing."""

    identity = "undecided"

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Pass each decomposition on."""
        return (Solution(decomposition, "") for decomposition in decompositions)


def shuffle_decompositions(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """Give each question the subquestions of another one, half the set away.

    So far because neighbours may share a passage. A question whose own decomposition failed
    gets another's too; those of a question that was not decomposed go to nobody.

    Example:
        >>> shuffle_decompositions([])
        ()
    """
    donors = [split for each in traces if (split := each.decomposition) and not split.declined]
    half = len(donors) // 2
    moved = cycle(donors[half:] + donors[:half])
    found: list[Trace] = []
    for trace in traces:
        given = next((each for each in islice(moved, 2) if each.question != trace.question), None)
        split = replace(given or Decomposition(trace.question, ()), question=trace.question)
        found.append(Trace(trace.question, Solution(split, "")))
    return tuple(found)
