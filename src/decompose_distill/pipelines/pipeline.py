"""Pipeline: question → trace, streaming through any decomposer and any solver."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import TypeVar

from decompose_distill.backend import Backend, identity
from decompose_distill.errors import BackendError, DecomposeDistillError
from decompose_distill.pipelines.roles import (
    Decomposing,
    Solving,
    accounts,
    check_stages,
    draw_decompositions,
    draw_solutions,
    over_accounts,
    question_of,
    sample_of,
)
from decompose_distill.types import (
    Decomposition,
    Failure,
    Question,
    Solution,
    Trace,
    as_question,
)

Item = TypeVar("Item")
MOST_HELD_FAILURES = 256
"""Failed decompositions that may pile up before the solver is paused to let them out."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A decomposer and a solver, one after the other.

    Raises:
        ConfigError: One cannot decompose or solve; the message names it.

    Example:
        >>> from decompose_distill import Decomposer, Solver
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> teacher = ScriptedBackend(lambda text: "The answer is: 42")
        >>> pipeline = Pipeline(None, Solver(teacher, mode="direct"))
        >>> pipeline(Question("What is 6 times 7?")).answer
        '42'
    """

    decomposer: Decomposing | None
    """`None` gives every question to the solver as it is."""
    solver: Solving

    def __post_init__(self) -> None:
        check_stages(self.decomposer, self.solver)

    @property
    def identity(self) -> str:
        """Both roles in one line, for keys."""
        return f"{identity(self.decomposer)} → {identity(self.solver)}"

    @property
    def key(self) -> str:
        """A short hash of the identity: what `collect` knows its traces by."""
        return sha256(self.identity.encode()).hexdigest()[:16]

    def backends(self) -> Mapping[str, Backend]:
        """All backends that the roles ask, in the order in which one waits for another.

        The names are those of a ledger: `decomposer`, `solver`, `solver.judge`.

        Raises:
            ConfigError: A role holds a backend and has no method that says so.
        """
        return accounts("decomposer", self.decomposer) | accounts("solver", self.solver)

    def with_backends(self, backends: Mapping[str, Backend]) -> "Pipeline":
        """The same pipeline over other backends of the same names."""
        return Pipeline(
            over_accounts("decomposer", self.decomposer, backends),
            over_accounts("solver", self.solver, backends),
        )

    def __call__(self, question: Question | str) -> Trace:
        """Run one question, which may be given as its text."""
        [trace] = self.run([question])
        return trace

    def run(
        self, questions: Iterable[Question | str], *, sample: int = 0, ordered: bool = True
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
        positions: dict[str, deque[int]] = {}
        numbered_questions = _numbered(map(as_question, questions), positions)
        traces = self.draw((question, sample) for question in numbered_questions)
        numbered = ((_take_position(positions, trace.question.id), trace) for trace in traces)
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
        decompositions = chain(
            owed.noting(decomposed, lambda split: (split.question.id, split.sample)),
            draw_decompositions(
                self.decomposer, owed.noting(samples, lambda draw: (draw[0].id, draw[1]))
            ),
        )
        for solve, outcome in self._outcomes(decompositions, solves, owed):
            owed.answered(outcome)
            yield Trace(question_of(outcome), outcome, sample_of(outcome), solve)
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
                for outcome in draw_solutions(self.solver, wanted()):
                    yield from _drain(failures)
                    yield outcome
            except DecomposeDistillError:
                yield from _drain(failures)  # finished, and paid for
                raise
            yield from _drain(failures)


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
        name = question_of(outcome).id, sample_of(outcome)
        if name not in self.counts:
            raise BackendError(f"a stage answered question {name[0]!r}, which it was not given")
        self.counts[name] += further - 1
        if not self.counts[name]:
            del self.counts[name]


def _numbered(
    questions: Iterable[Question], positions: dict[str, deque[int]]
) -> Iterator[Question]:
    """Pass questions on, noting the place of each; a repeated question has several."""
    for position, question in enumerate(questions):
        positions.setdefault(question.id, deque()).append(position)
        yield question


def _take_position(positions: dict[str, deque[int]], name: str) -> int:
    position = positions[name].popleft()
    if not positions[name]:
        del positions[name]
    return position


def _drain(failures: deque[Failure]) -> Iterator[tuple[int, Failure]]:
    while failures:
        yield 0, failures.popleft()


def _in_order(numbered: Iterable[tuple[int, Trace]]) -> Iterator[Trace]:
    held: dict[int, Trace] = {}
    upcoming = 0
    for position, trace in numbered:
        held[position] = trace
        while upcoming in held:
            yield held.pop(upcoming)
            upcoming += 1
