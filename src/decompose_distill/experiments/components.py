"""What stands in a row or a column, and its student, trained when it is first needed."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from decompose_distill.backend import identity
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.errors import TrainingError
from decompose_distill.experiments.student import few_shot
from decompose_distill.experiments.values import (
    DecomposerSpec,
    Experiment,
    ExperimentSetup,
    Inputs,
    SolverSpec,
)
from decompose_distill.experiments.variants import (
    AS_SOLVER,
    FEW_SHOT,
    TEACHER,
    UNTRAINED,
    VARIANTS,
)
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.roles import HasModes
from decompose_distill.pipelines.solver import Solver
from decompose_distill.prompts import Prompt
from decompose_distill.training.checkpoints.manifest import MANIFEST


def ensure_student(experiment: Experiment, variant: str, seed: int) -> None:
    """Train a student unless it was trained before.

    Raises:
        TrainingError: Nothing was kept, the audit found a fault, or the loss is not finite.
    """
    checkpoint = experiment.checkpoint(variant, seed)
    if (checkpoint / MANIFEST).is_file():
        return
    from decompose_distill.training.recipe import distill  # a finished study trains nothing

    setup, learned = experiment.setup, VARIANTS[variant]
    try:
        distill(
            experiment.training.traces,
            student=setup.student.model,
            output_dir=checkpoint,
            role=learned.role,
            target=learned.target,
            keep=experiment.training.keep(variant),
            prompt=setup.student.prompt_for(learned.target),
            config=replace(setup.student.config, seed=seed),
            progress=setup.config.progress,
        )
    except TrainingError as error:
        raise type(error)(
            f"student {variant}, seed {seed}: {error}; to go on without it, leave it out of rows "
            "and columns: what is finished is kept"
        ) from error


def make_row(experiment: Experiment, name: str, seed: int) -> DecomposerSpec:
    """The decomposer of a row that has one of its own."""
    setup = experiment.setup
    if name == TEACHER:
        return DecomposerSpec({"decomposer": identity(setup.teacher)}, lambda: setup.teacher)
    if name in VARIANTS:
        checkpoint, size = experiment.checkpoint(name, seed), setup.student.batch_size
        return DecomposerSpec(
            experiment.student_inputs(name, seed),
            lambda: Decomposer.from_pretrained(checkpoint, batch_size=size),
        )
    prompt = setup.student.decompose
    if name == FEW_SHOT:
        prompt = few_shot(prompt, experiment.training.screened("S_D-R").kept)
    return DecomposerSpec(_untrained(setup, prompt), lambda: _untrained_decomposer(setup, prompt))


def make_column(experiment: Experiment, name: str, seed: int) -> SolverSpec:
    """The solver of a column."""
    setup, student = experiment.setup, experiment.setup.student
    if name in setup.solvers:
        solver = setup.solvers[name]
        single_call = isinstance(solver, HasModes)
        return SolverSpec({"solver": identity(solver)}, lambda: solver, single_call=single_call)
    if name in VARIANTS:
        checkpoint, size = experiment.checkpoint(name, seed), student.batch_size
        load = cache(lambda: Solver.from_pretrained(checkpoint, batch_size=size))
        return SolverSpec(experiment.student_inputs(name, seed), load)
    untrained = _untrained(setup, student.solve)
    if name == AS_SOLVER:
        checkpoint = experiment.checkpoint("S_D-R", seed)
        inputs = {"student": experiment.student_inputs("S_D-R", seed), "asked": untrained}
        return SolverSpec(inputs, cache(lambda: _untrained_solver(setup, checkpoint)))
    assert name == UNTRAINED
    inputs = {**untrained, "answer": student.answer.to_json()}
    load = cache(lambda: _untrained_solver(setup, student.model))
    return SolverSpec(inputs, load, answer=student.answer, single_call=True)


def _untrained(setup: ExperimentSetup, prompt: Prompt) -> Inputs:
    return {**setup.student.untrained(prompt), "content": setup.student_content}


def _untrained_decomposer(setup: ExperimentSetup, prompt: Prompt) -> Decomposer:
    backend = TransformersBackend(setup.student.model, batch_size=setup.student.batch_size)
    return Decomposer(backend, prompt=prompt, sampling=setup.student.sampling)


def _untrained_solver(setup: ExperimentSetup, model: str | Path) -> Solver:
    """A model that was not trained to solve, with the student's prompt for it."""
    backend = TransformersBackend(model, batch_size=setup.student.batch_size)
    return Solver(backend, prompt=setup.student.solve, sampling=setup.student.sampling)
