"""Pipelines run once: what is finished on disk is read, what is missing is asked for."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from decompose_distill.collection.collector import collect_job
from decompose_distill.collection.one_process import Collected, Job
from decompose_distill.cost.ledger import SharedBudget, ledger_path
from decompose_distill.cost.ledger_records import seconds_worked
from decompose_distill.errors import DataError
from decompose_distill.experiments.values import (
    ExperimentSetup,
    Inputs,
    PipelineRun,
    TrainingTraces,
    hash_questions,
    work_folder,
)
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes
from decompose_distill.storage.atomic import write_text
from decompose_distill.storage.traces import read_traces
from decompose_distill.types import Question, Trace

if TYPE_CHECKING:
    from decompose_distill.experiments.progress import ExperimentProgress

TRACES = "traces.jsonl"
DONE = "done-{samples}-{solves}.json"
"""Written last: what lacks it is unfinished, and goes on where it stopped."""


def run_once(
    folder: Path,
    inputs: Inputs,
    load: Callable[[], Pipeline],
    questions: Sequence[Question],
    budget: SharedBudget,
    *,
    samples: int = 1,
    solves: int = 1,
    title: str = "collecting",
    progress: bool = True,
) -> PipelineRun:
    """Run a pipeline over questions, or read its traces if it has been run before.

    Nothing is loaded for what is finished. A pass with a question the backend could not serve
    counts as unfinished: the next call asks for that question again. More samples or solves add
    to what is there.

    Raises:
        BackendError: The backend permanently refused; what was finished is kept.
        BudgetExceeded: The budget is used up; what was finished is kept.
    """
    done = folder / DONE.format(samples=samples, solves=solves)
    read = partial(_ordered, folder, questions, samples, solves)
    if done.is_file():
        return PipelineRun(read(), json.loads(done.read_text("utf-8"))["seconds"])
    pipeline, path = load(), folder / TRACES
    start = time.perf_counter()
    with budget.saying_the_whole():
        job = Job("collect", pipeline, samples, solves, budget.budget_of(path), budget.prices or {})
        collected = collect_job(
            job, questions, path, shards=1, engine=None, title=title, progress=progress
        )
    elapsed, traces = time.perf_counter() - start, read()
    seconds = _seconds(collected, elapsed, len(traces))
    if not any(trace.failure and trace.failure.is_unavailable for trace in traces):
        write_text(done, json.dumps({"seconds": seconds, "inputs": inputs}, indent=2, default=str))
    return PipelineRun(traces, seconds)


def _seconds(collected: Collected, elapsed: float, wanted: int) -> float | None:
    """Seconds of the whole pass, also if an earlier call made a part of it and was stopped.

    Not what is left times its number: a last question alone takes a local model about as long as
    a whole batch.
    """
    if not collected.found:
        return elapsed
    if worked := seconds_worked(ledger_path(collected.path)):
        slots = {(t.question.id, t.sample, t.solve) for t in read_traces(collected.path)}
        return worked * wanted / len(slots)
    return elapsed / collected.asked * wanted if collected.asked else None


def _ordered(
    folder: Path, questions: Sequence[Question], samples: int, solves: int
) -> tuple[Trace, ...]:
    """The last trace of each sample and solve, as one that failed may have been asked again."""
    latest = {
        (trace.question.id, trace.sample, trace.solve): trace
        for trace in read_traces(folder / TRACES)
        if trace.sample < samples and trace.solve < solves
    }
    order = {question.id: number for number, question in enumerate(questions)}
    if missing := order.keys() - {question for question, *_ in latest}:
        raise DataError(
            f"{folder / TRACES} lacks {len(missing)} questions, {min(missing)} among them: "
            "remove that folder to make it again"
        )
    ordered = sorted(latest.items(), key=lambda item: (order[item[0][0]], item[0][1:]))
    return tuple(trace for _, trace in ordered)


@dataclass(frozen=True, slots=True)
class CollectionSpec:
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
        """File that keeps it; more samples and solves are added to it."""
        return work_folder(setup.output_dir / "training", self.name, self.inputs(setup))

    def collect(self, setup: ExperimentSetup) -> PipelineRun:
        """Ask for what is missing of it."""
        return run_once(
            self.folder(setup),
            self.inputs(setup),
            lambda: self.pipeline,
            setup.train,
            setup.budget,
            samples=self.samples,
            solves=self.solves,
            progress=setup.config.progress,
        )


def collections(setup: ExperimentSetup) -> tuple[CollectionSpec, ...]:
    """What the teacher and the main solver are asked of the training questions.

    If uplift is measured, also the solver without a decomposition, allowed to reason where it
    can: otherwise the gain would be that of reasoning.
    """
    if not setup.needs_training_traces:
        return ()
    solver, uplift = setup.main_solver[1], setup.measures_uplift
    solves = setup.config.solves if uplift else 1
    pipeline = Pipeline(setup.teacher, solver)
    teacher = CollectionSpec("teacher", pipeline, setup.config.samples, solves)
    if not uplift:
        return (teacher,)
    alone = solver.with_mode("cot") if isinstance(solver, HasModes) else solver
    return (teacher, CollectionSpec("alone", Pipeline(None, alone), 1, solves))


def collect_training(setup: ExperimentSetup, progress: "ExperimentProgress") -> TrainingTraces:
    """Ask the teacher about the training questions, if anything is to learn from its traces.

    Raises:
        BackendError: The teacher or the solver permanently refused.
        BudgetExceeded: The budget is used up.
    """
    runs = []
    for spec in collections(setup):
        with progress.collecting(spec.name):
            runs.append(spec.collect(setup))
    if not runs:
        return TrainingTraces((), setup.score)
    seconds = [run.seconds for run in runs if run.seconds is not None]
    return TrainingTraces(
        runs[0].traces,
        setup.score,
        runs[1].traces if setup.measures_uplift else (),
        sum(seconds) if len(seconds) == len(runs) else None,
    )
