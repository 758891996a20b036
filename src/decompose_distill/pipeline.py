"""Pipeline: question → trace, streaming through any decomposer and any solver."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from decompose_distill.backend import identity
from decompose_distill.errors import BackendError
from decompose_distill.types import Decomposition, Failure, Question, Solution, Trace

MOST_HELD_FAILURES = 256
"""Failed decompositions that may pile up before the solver is paused to let them out."""


class Decomposing(Protocol):
    """Anything that splits questions, such as a `Decomposer`."""

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        """Split each question once, in any order; `sample` tells repeats apart."""
        ...


class Solving(Protocol):
    """Anything that answers decomposed questions: a `Solver`, a calculator, a database."""

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Answer each decomposition once, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A decomposer and a solver, one after the other.

    Example:
        >>> from decompose_distill import Decomposer, Solver
        >>> from decompose_distill.backends.scripted import ScriptedBackend
        >>> teacher = ScriptedBackend(lambda text: "The answer is: 42")
        >>> pipeline = Pipeline(None, Solver(teacher, mode="direct"))
        >>> pipeline(Question("What is 6 times 7?")).answer
        '42'
    """

    decomposer: Decomposing | None
    """`None` gives every question to the solver as it is."""
    solver: Solving

    @property
    def identity(self) -> str:
        """Both roles in one line, for keys."""
        return f"{identity(self.decomposer)} → {identity(self.solver)}"

    def __call__(self, question: Question) -> Trace:
        """Run one question."""
        [trace] = self.run([question])
        return trace

    def run(
        self, questions: Iterable[Question], *, sample: int = 0, ordered: bool = True
    ) -> Iterator[Trace]:
        """Run a stream of questions; a failed one becomes a trace with its failure.

        Args:
            questions: Any iterable, also an endless one; taken only as fast as work is done.
            sample: Which of k samples this pass is; added to the seeds.
            ordered: Yield traces in the order of the questions, holding back those that
                overtake; otherwise as they finish.

        Raises:
            BackendError: A stage dropped a question, or a backend refused for good.
        """
        places: dict[str, deque[int]] = {}
        outcomes = self._outcomes(_numbered(questions, places), sample)
        traces = (
            (_place(places, outcome), Trace(question_of(outcome), outcome, sample))
            for outcome in outcomes
        )
        yield from _in_order(traces) if ordered else (trace for _, trace in traces)
        if places:
            raise BackendError(f"{self.identity} dropped {len(places)} questions: {list(places)}")

    def _outcomes(self, questions: Iterator[Question], sample: int) -> Iterator[Solution | Failure]:
        decompositions = self._decompositions(questions, sample)
        failures: deque[Failure] = deque()
        exhausted = False

        def decomposed() -> Iterator[Decomposition]:
            nonlocal exhausted
            for item in decompositions:
                if not isinstance(item, Failure):
                    yield item
                    continue
                failures.append(item)
                if len(failures) >= MOST_HELD_FAILURES:
                    return
            exhausted = True

        while not exhausted:
            for outcome in self.solver.solve(decomposed()):
                yield from _drain(failures)
                yield outcome
            yield from _drain(failures)

    def _decompositions(
        self, questions: Iterator[Question], sample: int
    ) -> Iterator[Decomposition | Failure]:
        if self.decomposer is None:
            return (Decomposition(question, (), sample=sample) for question in questions)
        return self.decomposer.decompose(questions, sample)


def question_of(outcome: Solution | Failure) -> Question:
    """The question an outcome belongs to."""
    return outcome.question if isinstance(outcome, Failure) else outcome.decomposition.question


def _numbered(questions: Iterable[Question], places: dict[str, deque[int]]) -> Iterator[Question]:
    """Pass questions on, noting the place of each; a repeated question has several."""
    for place, question in enumerate(questions):
        places.setdefault(question.id, deque()).append(place)
        yield question


def _place(places: dict[str, deque[int]], outcome: Solution | Failure) -> int:
    name = question_of(outcome).id
    if name not in places:
        raise BackendError(f"a stage answered question {name!r}, which it was not given")
    place = places[name].popleft()
    if not places[name]:
        del places[name]
    return place


def _drain(failures: deque[Failure]) -> Iterator[Failure]:
    while failures:
        yield failures.popleft()


def _in_order(numbered: Iterable[tuple[int, Trace]]) -> Iterator[Trace]:
    held: dict[int, Trace] = {}
    upcoming = 0
    for place, trace in numbered:
        held[place] = trace
        while upcoming in held:
            yield held.pop(upcoming)
            upcoming += 1
