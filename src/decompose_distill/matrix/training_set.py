"""What students learn from: the teacher's traces, and how much each decomposition helped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

from decompose_distill import filters
from decompose_distill.journal import encode_trace
from decompose_distill.matrix.setup import Setup
from decompose_distill.matrix.stored import Inputs, Pass, hash_questions, place, run_once
from decompose_distill.matrix.variants import VARIANTS, Screen
from decompose_distill.pipeline import Pipeline, Solving
from decompose_distill.scores import Score
from decompose_distill.solver import Solver
from decompose_distill.types import Trace

LEAST_UPLIFT = 0.5
"""What a decomposition must add to the solver's success rate to be learned by S_D-uplift."""


@dataclass(frozen=True)
class Training:
    """The teacher's traces of the training questions."""

    solved: tuple[Trace, ...]
    """With every solve of each decomposition."""
    score: Score
    alone: tuple[Trace, ...] = ()
    """The solver's answers without a decomposition, where uplift is measured."""
    solves: int = 1
    seconds: float | None = None
    """What collecting took."""

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """The first solve of each decomposition: what is learned from."""
        return tuple(trace for trace in self.solved if not trace.solve)

    @cached_property
    def sha256(self) -> str:
        """Of what can be learned from; the order and what the backend refused leave it alone."""
        return _hash(self.traces)

    @cached_property
    def uplift_sha256(self) -> str:
        """Of what uplift is counted from."""
        return _hash(self.solved + self.alone)

    @cached_property
    def _uplift(self) -> filters.Filter:
        measured = filters.measure_uplift((self.solved, self.alone), score=self.score)
        return filters.uplift(measured, minimum=LEAST_UPLIFT)

    def keep(self, variant: str) -> filters.Filter:
        """The filter of a variant."""
        screen: Screen = VARIANTS[variant].screen
        if screen == "uplift":
            return self._uplift
        return filters.complete if screen == "complete" else filters.correct_by(self.score)


def _hash(traces: tuple[Trace, ...]) -> str:
    said = (
        encode_trace(replace(trace, key=""))
        for trace in traces
        if not (trace.failure and trace.failure.reason == "error")
    )
    return sha256("\n".join(sorted(said)).encode()).hexdigest()


def collect_training(setup: Setup) -> Training:
    """The teacher's traces of the training questions, or none where nothing learns.

    Raises:
        BackendError: The teacher or the solver refused for good.
    """
    if not setup.learns:
        return Training((), setup.score)
    solver, solves = next(iter(setup.solvers.values())), setup.solves if setup.weighs else 1
    made = _collected(setup, "teacher", Pipeline(setup.teacher, solver), setup.samples, solves)
    if not setup.weighs:
        return Training(made.traces, setup.score, seconds=made.seconds)
    alone = _collected(setup, "alone", Pipeline(None, reasoning(solver)), 1, solves)
    known = made.seconds is not None and alone.seconds is not None
    seconds = (made.seconds or 0) + (alone.seconds or 0) if known else None
    return Training(made.traces, setup.score, alone.traces, solves, seconds)


def reasoning(solver: Solving) -> Solving:
    """A solver as it answers without a decomposition, allowed to reason where it can."""
    return replace(solver, mode="cot", prompt=None) if isinstance(solver, Solver) else solver


def _collected(setup: Setup, name: str, pipeline: Pipeline, samples: int, solves: int) -> Pass:
    inputs: Inputs = {"pipeline": pipeline.identity, "questions": hash_questions(setup.train)}
    folder = place(setup.output_dir / "training", name, inputs)
    load: Callable[[], Pipeline] = lambda: pipeline  # noqa: E731
    return run_once(
        folder,
        inputs,
        load,
        setup.train,
        setup.purse,
        samples=samples,
        solves=solves,
        progress=setup.progress,
    )
