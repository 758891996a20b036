"""What stands in a row or a column: what it depends on, and how it is loaded when it is needed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from decompose_distill.backend import identity
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.errors import TrainingError
from decompose_distill.experiments.result_cache import Inputs, place
from decompose_distill.experiments.setup import ExperimentSetup
from decompose_distill.experiments.student import few_shot
from decompose_distill.experiments.training_data import Training
from decompose_distill.experiments.variants import (
    AS_SOLVER,
    FEW_SHOT,
    SINGLE_CALL,
    TEACHER,
    UNTRAINED,
    VARIANTS,
)
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.roles import Decomposing, HasModes, Solving
from decompose_distill.pipelines.solver import Solver
from decompose_distill.prompts import Prompt
from decompose_distill.training.checkpoints.checkpoint import MANIFEST
from decompose_distill.training.recipe import distill


@dataclass(frozen=True, slots=True)
class DecomposerSpec:
    """A decomposer: what it depends on, and how it is loaded."""

    inputs: Inputs
    load: Callable[[], Decomposing]


@dataclass(frozen=True, slots=True)
class SolverSpec:
    """A solver: what it depends on, and how it is loaded, once however many cells ask."""

    inputs: Inputs
    load: Callable[[], Solving]
    answer: Prompt | None = None
    """With which it answers without working; `None` for the solver's own."""
    single_call: bool = False
    """Whether it can be asked in other ways than behind a decomposition."""

    def solver(self, row: str) -> Solving:
        """The solver as a row asks it."""
        found, mode = self.load(), SINGLE_CALL.get(row)
        if mode is None or not self.single_call:
            return found
        assert isinstance(found, HasModes)
        return found.with_mode(mode, self.answer if mode == "direct" else None)


def student_place(
    setup: ExperimentSetup, training: Training, variant: str, seed: int
) -> tuple[Path, Inputs]:
    """Where the checkpoint of a student is or will be, and what it depends on."""
    learned = setup.student.inputs(variant, seed, training.sha256(variant))
    inputs = {**learned, "content": setup.student_content}
    return place(setup.output_dir / "students", f"{variant}-seed-{seed}", inputs), inputs


def ensure_student(setup: ExperimentSetup, training: Training, variant: str, seed: int) -> None:
    """Train a student unless it was trained before.

    Raises:
        TrainingError: Nothing was kept, the audit found a fault, or the loss is not finite.
    """
    checkpoint, _ = student_place(setup, training, variant, seed)
    if (checkpoint / MANIFEST).is_file():
        return
    learned = VARIANTS[variant]
    try:
        distill(
            training.traces,
            student=setup.student.model,
            output_dir=checkpoint,
            role=learned.role,
            target=learned.target,
            keep=training.keep(variant),
            prompt=setup.student.prompt_for(learned.target),
            config=replace(setup.student.config, seed=seed),
            progress=setup.progress,
        )
    except TrainingError as error:
        raise type(error)(
            f"student {variant}, seed {seed}: {error}; to go on without it, leave it out of rows "
            "and columns: what is finished is kept"
        ) from error


def make_row(setup: ExperimentSetup, training: Training, name: str, seed: int) -> DecomposerSpec:
    """The decomposer of a row that has one of its own."""
    if name == TEACHER:
        return DecomposerSpec({"decomposer": identity(setup.teacher)}, lambda: setup.teacher)
    if name in VARIANTS:
        checkpoint, inputs = student_place(setup, training, name, seed)
        size = setup.student.batch_size
        return DecomposerSpec(
            inputs, lambda: Decomposer.from_pretrained(checkpoint, batch_size=size)
        )
    prompt = setup.student.decompose
    if name == FEW_SHOT:
        prompt = few_shot(prompt, training.screened("S_D-R").kept)
    return DecomposerSpec(_untrained(setup, prompt), lambda: _untrained_decomposer(setup, prompt))


def _untrained(setup: ExperimentSetup, prompt: Prompt) -> Inputs:
    return {**setup.student.untrained(prompt), "content": setup.student_content}


def _untrained_decomposer(setup: ExperimentSetup, prompt: Prompt) -> Decomposer:
    backend = TransformersBackend(setup.student.model, batch_size=setup.student.batch_size)
    return Decomposer(backend, prompt=prompt, sampling=setup.student.sampling)


def make_column(setup: ExperimentSetup, training: Training, name: str, seed: int) -> SolverSpec:
    """The solver of a column."""
    if name in setup.solvers:
        given = setup.solvers[name]
        asked = isinstance(given, HasModes)
        return SolverSpec({"solver": identity(given)}, lambda: given, single_call=asked)
    student = setup.student
    if name in VARIANTS:
        checkpoint, inputs = student_place(setup, training, name, seed)
        size = student.batch_size
        return SolverSpec(
            inputs, cache(lambda: Solver.from_pretrained(checkpoint, batch_size=size))
        )
    if name == AS_SOLVER:
        checkpoint, inputs = student_place(setup, training, "S_D-R", seed)
        inputs = {"student": inputs, "asked": _untrained(setup, student.solve)}
        return SolverSpec(inputs, cache(lambda: _untrained_solver(setup, checkpoint)))
    assert name == UNTRAINED
    inputs = {**_untrained(setup, student.solve), "answer": student.answer.to_json()}
    load = cache(lambda: _untrained_solver(setup, student.model))
    return SolverSpec(inputs, load, answer=student.answer, single_call=True)


def _untrained_solver(setup: ExperimentSetup, model: str | Path) -> Solver:
    """A model that was not trained to solve, with the student's prompt for it."""
    backend = TransformersBackend(model, batch_size=setup.student.batch_size)
    return Solver(backend, prompt=setup.student.solve, sampling=setup.student.sampling)
