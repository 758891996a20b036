"""The cells of the matrix, measured one after the other; what is finished is only read."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from decompose_distill.experiments.components import (
    DecomposerSpec,
    SolverSpec,
    ensure_student,
    make_column,
    make_row,
)
from decompose_distill.experiments.controls import (
    NullSolver,
    RecordedDecomposer,
    shuffle_decompositions,
)
from decompose_distill.experiments.result_cache import (
    Inputs,
    PipelineRun,
    digest,
    hash_questions,
    place,
    run_once,
)
from decompose_distill.experiments.setup import ExperimentSetup
from decompose_distill.experiments.training_data import Training
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
from decompose_distill.types import Trace


@dataclass(frozen=True, slots=True)
class SeedRun:
    """One cell with one seed on one split, as it was measured."""

    split: str
    place: Place
    traces: tuple[Trace, ...]
    decompose_seconds: float | None
    solve_seconds: float | None


def measure(setup: ExperimentSetup, training: Training) -> Iterator[SeedRun]:
    """Every cell, a column after the other, so that a solver is loaded once.

    A decomposer is run once on each split, before the first solver that needs what it says.

    Raises:
        BackendError: A backend refused for good; what was finished is kept.
        TrainingError: A student could not be trained.
    """
    for name in setup.columns:
        rows = [row for row, column in setup.places if column == name]
        for variant in students([name, *rows]):
            for seed in setup.seeds:
                ensure_student(setup, training, variant, seed)
        for row in rows:
            for seed in setup.seeds_of((row, row)):
                for split in _splits(setup, (row, name)):
                    _decompose(setup, training, row, seed, split)
        yield from _measure_column(setup, training, name, rows)


def _splits(setup: ExperimentSetup, where: Place) -> list[str]:
    return [split for split in setup.splits if where in setup.places_on(split)]


def _measure_column(
    setup: ExperimentSetup, training: Training, name: str, rows: list[str]
) -> Iterator[SeedRun]:
    trained, column = students([name]), None
    for seed in setup.seeds:
        if trained or column is None:
            column = make_column(setup, training, name, seed)
        for row in rows:
            if seed in setup.seeds_of((row, name)):
                for split in _splits(setup, (row, name)):
                    yield _cell(setup, training, (row, name), column, seed, split)


def _cell(
    setup: ExperimentSetup,
    training: Training,
    where: Place,
    column: SolverSpec,
    seed: int,
    split: str,
) -> SeedRun:
    row, questions = where[0], setup.splits[split]
    before, split_inputs = _decompose(setup, training, row, seed, split)
    inputs = {
        "row": split_inputs,
        "solver": column.inputs,
        "questions": hash_questions(questions),
    }

    def load() -> Pipeline:
        given = (
            None if row in SINGLE_CALL else RecordedDecomposer(before.traces, digest(split_inputs))
        )
        return Pipeline(given, column.solver(row))

    label = seed if students(where) else 0
    folder = place(setup.output_dir / "cells", " ".join((*where, split, f"seed {label}")), inputs)
    done = run_once(folder, inputs, load, questions, setup.purse, progress=setup.progress)
    return SeedRun(split, where, done.traces, before.seconds, done.seconds)


def _decompose(
    setup: ExperimentSetup, training: Training, row: str, seed: int, split: str
) -> tuple[PipelineRun, Inputs]:
    """What a row's decomposer says on a split, asked once for all solvers."""
    if row in SINGLE_CALL:
        return PipelineRun((), 0.0), {"asked": row, "prompt": PROMPTS[SINGLE_CALL[row]].to_json()}
    if row == SHUFFLED:
        made, inputs = _decompose(setup, training, TEACHER, seed, split)
        return PipelineRun(shuffle_decompositions(made.traces), made.seconds), {"shuffled": inputs}
    if row not in VARIANTS:
        seed = 0  # only a label, as nothing of it is trained
    questions = setup.splits[split]
    part = make_row(setup, training, row, seed)
    inputs = {"decomposer": part.inputs, "questions": hash_questions(questions)}
    folder = place(setup.output_dir / "decompositions", f"{row} {split} seed {seed}", inputs)
    load = partial(_alone, part)
    return run_once(folder, inputs, load, questions, setup.purse, progress=setup.progress), inputs


def _alone(part: DecomposerSpec) -> Pipeline:
    return Pipeline(part.load(), NullSolver())
