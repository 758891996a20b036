"""The cells of the matrix, measured one after the other; what is finished is only read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING

from decompose_distill.experiments.components import ensure_student, make_column, make_row
from decompose_distill.experiments.result_cache import run_once
from decompose_distill.experiments.values import (
    DecomposerSpec,
    Experiment,
    ExperimentSetup,
    Inputs,
    PipelineRun,
    SeedRun,
    SolverSpec,
    digest,
    hash_questions,
    work_folder,
)
from decompose_distill.experiments.variants import (
    SHUFFLED,
    SINGLE_CALL,
    TEACHER,
    VARIANTS,
    students,
)
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.solver import PROMPTS
from decompose_distill.reporting.study import Place
from decompose_distill.types import Decomposition, Failure, Question, Solution, Trace

if TYPE_CHECKING:
    from decompose_distill.experiments.progress import ExperimentProgress


def measure(experiment: Experiment, progress: "ExperimentProgress") -> Iterator[SeedRun]:
    """Every cell, a column after the other, so that a solver is loaded once.

    A decomposer is run once on each split, before the first solver that needs what it says.

    Raises:
        BackendError: A backend permanently refused; what was finished is kept.
        TrainingError: A student could not be trained.
    """
    setup = experiment.setup
    for name in setup.columns:
        rows = [row for row, column in setup.places if column == name]
        for variant in students([name, *rows]):
            for seed in setup.config.seeds:
                with progress.training(variant, seed):
                    ensure_student(experiment, variant, seed)
        for row in (row for row in rows if row not in SINGLE_CALL):
            for seed in setup.seeds_of((row, row)):
                for split in _splits(setup, (row, name)):
                    with progress.decomposing(row, split, seed):
                        _decompose(experiment, row, seed, split)
        yield from _measure_column(experiment, name, rows, progress)


def _splits(setup: ExperimentSetup, key: Place) -> list[str]:
    return [split for split in setup.splits if key in setup.places_on(split)]


def _measure_column(
    experiment: Experiment, name: str, rows: list[str], progress: "ExperimentProgress"
) -> Iterator[SeedRun]:
    setup, trained, column = experiment.setup, students([name]), None
    for seed in setup.config.seeds:
        if trained or column is None:
            column = make_column(experiment, name, seed)
        for row in rows:
            if seed in setup.seeds_of((row, name)):
                for split in _splits(setup, (row, name)):
                    with progress.measuring((row, name), split, seed):
                        run = _cell(experiment, (row, name), column, seed, split)
                    yield run


def _cell(experiment: Experiment, key: Place, column: SolverSpec, seed: int, split: str) -> SeedRun:
    setup, row = experiment.setup, key[0]
    questions = setup.splits[split]
    before, row_inputs = _decompose(experiment, row, seed, split)
    inputs = {
        "row": row_inputs,
        "solver": column.inputs,
        "questions": hash_questions(questions),
    }

    def load() -> Pipeline:
        recorded = RecordedDecomposer(before.traces, digest(row_inputs))
        return Pipeline(None if row in SINGLE_CALL else recorded, column.solver(row))

    label = seed if students(key) else 0
    name = " ".join((*key, split, f"seed {label}"))
    folder = work_folder(setup.output_dir / "cells", name, inputs)
    run = run_once(
        folder,
        inputs,
        load,
        questions,
        setup.budget,
        title="solving",
        progress=setup.config.progress,
    )
    return SeedRun(
        split=split,
        place=key,
        traces=run.traces,
        decompose_seconds=before.seconds,
        solve_seconds=run.seconds,
    )


def _decompose(
    experiment: Experiment, row: str, seed: int, split: str
) -> tuple[PipelineRun, Inputs]:
    """What a row's decomposer says on a split, asked once for all solvers."""
    if row in SINGLE_CALL:
        return PipelineRun((), 0.0), {"asked": row, "prompt": PROMPTS[SINGLE_CALL[row]].to_json()}
    if row == SHUFFLED:
        run, inputs = _decompose(experiment, TEACHER, seed, split)
        return PipelineRun(shuffle_decompositions(run.traces), run.seconds), {"shuffled": inputs}
    if row not in VARIANTS:
        seed = 0  # only a label, as nothing of it is trained
    setup, part = experiment.setup, make_row(experiment, row, seed)
    questions = setup.splits[split]
    inputs = {"decomposer": part.inputs, "questions": hash_questions(questions)}
    name = f"{row} {split} seed {seed}"
    folder = work_folder(setup.output_dir / "decompositions", name, inputs)
    load, progress = partial(_decomposing_only, part), setup.config.progress
    run = run_once(
        folder, inputs, load, questions, setup.budget, title="decomposing", progress=progress
    )
    return run, inputs


def _decomposing_only(part: DecomposerSpec) -> Pipeline:
    return Pipeline(part.load(), NullSolver())


class RecordedDecomposer:
    """Decomposer that hands out recorded decompositions, in place of the one that wrote them.

    Example:
        >>> question = Question("Why?")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), ""))
        >>> next(RecordedDecomposer([trace], "teacher").decompose([question])).declined
        True
    """

    def __init__(self, traces: Iterable[Trace], identity: str) -> None:
        self.identity = identity
        self._decomposed = {trace.question.id: _decomposed(trace) for trace in traces}

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        """Look up each question."""
        return (self._decomposed[question.id] for question in questions)


def _decomposed(trace: Trace) -> Decomposition | Failure:
    if trace.decomposition is not None:
        return trace.decomposition
    assert isinstance(trace.outcome, Failure)
    return trace.outcome


class NullSolver:
    """Solver that keeps the decomposition and answers nothing."""

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
    donors = [split for trace in traces if (split := trace.decomposition) and not split.declined]
    half = len(donors) // 2
    moved = cycle(donors[half:] + donors[:half])
    shuffled: list[Trace] = []
    for trace in traces:
        donor = next(
            (split for split in islice(moved, 2) if split.question != trace.question), None
        )
        split = replace(donor or Decomposition(trace.question, ()), question=trace.question)
        shuffled.append(Trace(trace.question, Solution(split, "")))
    return tuple(shuffled)
