"""Pipeline: question → trace, streaming through any decomposer and any solver."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, groupby
from operator import itemgetter
from typing import Protocol, TypeVar

from decompose_distill.backend import identity
from decompose_distill.errors import BackendError, DecomposeDistillError
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.solver import Solver
from decompose_distill.types import Decomposition, Failure, Question, Solution, Trace

Item = TypeVar("Item")
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

    @property
    def key(self) -> str:
        """A short hash of the identity: what `collect` knows its traces by."""
        return sha256(self.identity.encode()).hexdigest()[:16]

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
        traces = self.draw((question, sample) for question in _numbered(questions, places))
        numbered = ((_place(places, trace.question.id), trace) for trace in traces)
        return _in_order(numbered) if ordered else (trace for _, trace in numbered)

    def draw(
        self,
        samples: Iterable[tuple[Question, int]],
        decomposed: Iterable[Decomposition] = (),
        *,
        solves: Callable[[Decomposition], Iterable[int]] = lambda decomposition: (0,),
    ) -> Iterator[Trace]:
        """Run questions, each with the number of its sample, in one stream, as they finish.

        Args:
            samples: Questions to decompose; a failed decomposition is one trace.
            decomposed: Decompositions there are already, to be solved before the others.
            solves: Numbers of the solves that are wanted of a decomposition, from 0.

        Raises:
            BackendError: A stage dropped a question, or a backend refused for good.
        """
        owed = _Owed()
        given = chain(
            owed.noting(decomposed, lambda each: (each.question.id, each.sample)),
            self._decompositions(owed.noting(samples, lambda each: (each[0].id, each[1]))),
        )
        for solve, outcome in self._outcomes(given, solves, owed):
            owed.answered(outcome)
            yield Trace(question_of(outcome), outcome, _sample(outcome), solve)
        if owed.counts:
            names = [name for name, _ in owed.counts]
            raise BackendError(f"{self.identity} dropped {len(names)} questions: {names}")

    def _outcomes(
        self,
        items: Iterator[Decomposition | Failure],
        solves: Callable[[Decomposition], Iterable[int]],
        owed: "_Owed",
    ) -> Iterator[tuple[int, Solution | Failure]]:
        failures: deque[Failure] = deque()
        exhausted = False

        def wanted() -> Iterator[tuple[Decomposition, int]]:
            nonlocal exhausted
            for item in items:
                if not isinstance(item, Failure):
                    owed.answered(item, further=1)  # whether it was asked for at all
                    numbers = tuple(solves(item))
                    owed.answered(item, further=len(numbers))
                    yield from ((item, number) for number in numbers)
                    continue
                failures.append(item)
                if len(failures) >= MOST_HELD_FAILURES:
                    return
            exhausted = True

        while not exhausted:
            try:
                for outcome in self._solutions(wanted()):
                    yield from _drain(failures)
                    yield outcome
            except DecomposeDistillError:
                yield from _drain(failures)  # finished, and paid for
                raise
            yield from _drain(failures)

    def _decompositions(
        self, samples: Iterator[tuple[Question, int]]
    ) -> Iterator[Decomposition | Failure]:
        if self.decomposer is None:
            yield from (Decomposition(question, (), sample=sample) for question, sample in samples)
        elif isinstance(self.decomposer, Decomposer):
            yield from self.decomposer.draw(samples)
        else:
            for sample, group in groupby(samples, itemgetter(1)):
                for outcome in self.decomposer.decompose((each for each, _ in group), sample):
                    yield replace(outcome, sample=sample)  # some leave it out

    def _solutions(
        self, wanted: Iterator[tuple[Decomposition, int]]
    ) -> Iterator[tuple[int, Solution | Failure]]:
        if isinstance(self.solver, Solver):
            yield from self.solver.draw(wanted)
            return
        waiting: dict[str, list[tuple[Decomposition, int]]] = {}

        def decompositions() -> Iterator[Decomposition]:
            for decomposition, solve in wanted:
                waiting.setdefault(decomposition.question.id, []).append((decomposition, solve))
                yield decomposition

        for outcome in self.solver.solve(decompositions()):
            yield _take(waiting, outcome)


def _take(
    waiting: dict[str, list[tuple[Decomposition, int]]], outcome: Solution | Failure
) -> tuple[int, Solution | Failure]:
    """Find the solve an outcome is of; a failure that says no more is of the first waiting."""
    name = question_of(outcome).id
    for place, (decomposition, solve) in enumerate(waiting.get(name, [])):
        bare = isinstance(outcome, Failure) and outcome.decomposition is None
        if not bare and decomposition.sample != _sample(outcome):
            continue
        del waiting[name][place]
        if not waiting[name]:
            del waiting[name]
        if isinstance(outcome, Failure) and bare:
            outcome = replace(outcome, decomposition=decomposition, sample=decomposition.sample)
        return solve, outcome
    return 0, outcome  # it was not asked for, which is found out by its reader


class _Owed:
    """How often each sample of a question was given to a stage and is not yet answered."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}

    def noting(
        self, items: Iterable[Item], name: Callable[[Item], tuple[str, int]]
    ) -> Iterator[Item]:
        """Pass items on, counting each."""
        for item in items:
            self.counts[name(item)] = self.counts.get(name(item), 0) + 1
            yield item

    def answered(self, outcome: Decomposition | Solution | Failure, further: int = 0) -> None:
        """Count an answer, after which `further` are owed."""
        name = question_of(outcome).id, _sample(outcome)
        if name not in self.counts:
            raise BackendError(f"a stage answered question {name[0]!r}, which it was not given")
        self.counts[name] += further - 1
        if not self.counts[name]:
            del self.counts[name]


def question_of(outcome: Decomposition | Solution | Failure) -> Question:
    """The question an outcome belongs to."""
    return outcome.decomposition.question if isinstance(outcome, Solution) else outcome.question


def _sample(outcome: Decomposition | Solution | Failure) -> int:
    return outcome.decomposition.sample if isinstance(outcome, Solution) else outcome.sample


def _numbered(questions: Iterable[Question], places: dict[str, deque[int]]) -> Iterator[Question]:
    """Pass questions on, noting the place of each; a repeated question has several."""
    for place, question in enumerate(questions):
        places.setdefault(question.id, deque()).append(place)
        yield question


def _place(places: dict[str, deque[int]], name: str) -> int:
    place = places[name].popleft()
    if not places[name]:
        del places[name]
    return place


def _drain(failures: deque[Failure]) -> Iterator[tuple[int, Failure]]:
    while failures:
        yield 0, failures.popleft()


def _in_order(numbered: Iterable[tuple[int, Trace]]) -> Iterator[Trace]:
    held: dict[int, Trace] = {}
    upcoming = 0
    for place, trace in numbered:
        held[place] = trace
        while upcoming in held:
            yield held.pop(upcoming)
            upcoming += 1
