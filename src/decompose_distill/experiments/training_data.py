"""What students learn from: the teacher's traces, and how much each decomposition helped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from hashlib import sha256
from pathlib import Path

from decompose_distill import filters
from decompose_distill.experiments.result_cache import (
    Inputs,
    PipelineRun,
    hash_questions,
    place,
    run_once,
)
from decompose_distill.experiments.setup import ExperimentSetup
from decompose_distill.experiments.variants import FEW_SHOT, VARIANTS, Screen
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes
from decompose_distill.scores import Score
from decompose_distill.storage.traces import encode_trace
from decompose_distill.training.data.examples import unusable
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
    seconds: float | None = None
    """What collecting took."""

    @cached_property
    def traces(self) -> tuple[Trace, ...]:
        """The first solve of each decomposition: what is learned from."""
        return tuple(trace for trace in self.solved if not trace.solve)

    @cached_property
    def screened(self) -> Callable[[str], filters.Screened]:
        """By variant, what it learns from, and why not from the rest."""
        return cache(self._screened)

    @cached_property
    def sha256(self) -> Callable[[str], str]:
        """By variant, a hash of what it learns from; the order leaves it alone."""
        return cache(lambda variant: _hash(self.screened(variant).kept))

    def _screened(self, variant: str) -> filters.Screened:
        usable = partial(unusable, target=VARIANTS[variant].target)
        return filters.screen(self.traces, filters.all_of(self.keep(variant), usable))

    @cached_property
    def _uplift(self) -> filters.Filter:
        measured = filters.measure_uplift((self.solved, self.alone), score=self.score)
        return filters.uplift(measured, minimum=LEAST_UPLIFT)

    def keep(self, variant: str) -> filters.Filter:
        """The filter of a variant, made anew: samples that split a question alike count once."""
        learned = VARIANTS[variant]
        screen = self._screen(learned.screen)
        return filters.all_of(screen, filters.distinct()) if learned.role != "solver" else screen

    def teaches(self, name: str) -> bool:
        """Whether any trace was kept for a student, or as an example of the few-shot row."""
        return bool(self.screened("S_D-R" if name == FEW_SHOT else name).kept)

    def _screen(self, screen: Screen) -> filters.Filter:
        if screen == "uplift":
            return self._uplift
        return filters.complete if screen == "complete" else filters.correct_by(self.score)


def _hash(traces: tuple[Trace, ...]) -> str:
    said = (encode_trace(replace(trace, key="")) for trace in traces)
    return sha256("\n".join(sorted(said)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CollectedTraces:
    """One file of traces of the training questions."""

    name: str
    pipeline: Pipeline
    samples: int
    solves: int

    def inputs(self, setup: ExperimentSetup) -> Inputs:
        """What it depends on."""
        questions = hash_questions(setup.train)
        return {"pipeline": self.pipeline.identity, "questions": questions}

    def folder(self, setup: ExperimentSetup) -> Path:
        """Where it is kept; more samples and solves are added to it."""
        return place(setup.output_dir / "training", self.name, self.inputs(setup))

    def collect(self, setup: ExperimentSetup) -> PipelineRun:
        """Ask for what is missing of it."""
        return run_once(
            self.folder(setup),
            self.inputs(setup),
            lambda: self.pipeline,
            setup.train,
            setup.purse,
            samples=self.samples,
            solves=self.solves,
            progress=setup.progress,
        )


def collections(setup: ExperimentSetup) -> tuple[CollectedTraces, ...]:
    """What the teacher and the main solver are asked of the training questions.

    Where uplift is measured, also the solver without a decomposition, allowed to reason where it
    can: otherwise the gain would be that of reasoning.
    """
    if not setup.learns:
        return ()
    solver, solves = next(iter(setup.solvers.values())), setup.solves if setup.weighs else 1
    pipeline = Pipeline(setup.teacher, solver)
    taught = CollectedTraces("teacher", pipeline, setup.samples, solves)
    if not setup.weighs:
        return (taught,)
    alone = solver.with_mode("cot") if isinstance(solver, HasModes) else solver
    return (taught, CollectedTraces("alone", Pipeline(None, alone), 1, solves))


def collect_training(setup: ExperimentSetup) -> Training:
    """Ask the teacher about the training questions, where anything is to learn from it.

    Raises:
        BackendError: The teacher or the solver refused for good.
        BudgetExceeded: The budget is used up.
    """
    made = [each.collect(setup) for each in collections(setup)]
    if not made:
        return Training((), setup.score)
    seconds = [each.seconds for each in made if each.seconds is not None]
    return Training(
        made[0].traces,
        setup.score,
        made[1].traces if setup.weighs else (),
        sum(seconds) if len(seconds) == len(made) else None,
    )
