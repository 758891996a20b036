"""From the arguments of an experiment to its setup, checked before anything is asked or paid."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from decompose_distill import scores
from decompose_distill.cost.ledger import SharedBudget, find_price, read_budget
from decompose_distill.cost.pricing import Price
from decompose_distill.data.questions import QuestionSource, unique_questions
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.experiments.config import PaperConfig
from decompose_distill.experiments.student import Student
from decompose_distill.experiments.values import TEST, ExperimentSetup
from decompose_distill.experiments.variants import (
    FEW_SHOT,
    SINGLE_CALL,
    SOLVER,
    UNTRAINED,
    choose,
)
from decompose_distill.models.loading import context_window, load_config, load_tokenizer
from decompose_distill.pipelines.dry_run import (
    Requests,
    decomposing_requests,
    is_greedy,
    solving_requests,
)
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes, Solving, backends_of, check_identity
from decompose_distill.reporting.study import Place
from decompose_distill.training.engine.student import check_packages
from decompose_distill.types import Decomposition, Question


def make_setup(
    config: PaperConfig,
    pipeline: Pipeline,
    train: QuestionSource,
    test: QuestionSource,
    *,
    student: str | Path | Student,
    output_dir: str | Path,
    solvers: Mapping[str, Solving],
    transfer: Mapping[str, QuestionSource],
    score: scores.Score,
    prices: Mapping[str, Price] | None,
) -> ExperimentSetup:
    """Bring together what `paper` was called with, and refuse what would fail later.

    Raises:
        ConfigError: A name is unknown, or a setting does not fit another.
        DataError: Questions or their gold answers are missing.
        BackendError: The student cannot be loaded.
        MissingExtraError: LoRA without peft.
    """
    if pipeline.decomposer is None:
        raise ConfigError("pipeline needs a decomposer: it is the teacher of this matrix")
    if {TEST, "test"} & {*transfer}:
        raise ConfigError(
            "transfer: give each of its sets of questions a name, and none the name 'test', which "
            "is that of the main one; on the command line a file's name is its set's"
        )
    columns = {SOLVER: pipeline.solver, **solvers}
    places = choose(config.rows, config.columns, tuple(solvers))
    setup = ExperimentSetup(
        config=config,
        teacher=pipeline.decomposer,
        solvers=columns,
        student=student if isinstance(student, Student) else Student(student),
        train=unique_questions(train),
        splits={TEST: unique_questions(test)}
        | {name: unique_questions(questions) for name, questions in transfer.items()},
        places=answerable(places, columns),
        score=score,
        budget=SharedBudget(Path(output_dir), prices, read_budget(config.budget_usd)),
    )
    check(setup)
    return setup


def answerable(places: Iterable[Place], solvers: Mapping[str, Solving]) -> tuple[Place, ...]:
    """The cells without the single-call rows of columns that can only answer as they do."""
    chatty = {name for name, solver in solvers.items() if isinstance(solver, HasModes)} | {
        UNTRAINED
    }
    return tuple(
        (row, column)
        for row, column in places
        if row not in SINGLE_CALL or row == "none" or column in chatty
    )


def check(setup: ExperimentSetup) -> None:
    """Refuse what would fail after hours or after money was spent; see `make_setup`."""
    config, solver = setup.config, setup.main_solver[1]
    some = Question("Is it so?")
    splits = decomposing_requests(setup.teacher, [some])
    _check_temperature("samples", config.samples, "teacher", splits)
    answers = solving_requests(solver, [Decomposition(some, ())])
    _check_temperature("solves", config.solves, "solver", answers)
    if setup.output_dir.exists() and not setup.output_dir.is_dir():
        raise ConfigError(f"output_dir {setup.output_dir} is a file: name a directory")
    for name, role in (("teacher", setup.teacher), *setup.solvers.items()):
        check_identity(role)
        for backend in backends_of(role).values():
            budgeted = setup.budget.budget_usd is not None
            find_price(name, backend, setup.budget.prices or {}, budgeted=budgeted)
    for split, questions in setup.splits.items():
        _check_golds(f"transfer {split!r}" if split else "test", questions)
    if setup.needs_training_traces:
        _check_golds("train", setup.train)
    if setup.variants or any(UNTRAINED in key or FEW_SHOT in key for key in setup.places):
        _check_student(setup.student)


def _check_temperature(argument: str, count: int, name: str, requests: Requests) -> None:
    if count > 1 and is_greedy(requests):
        raise ConfigError(
            f"{argument}={count} would be the same {count} times, as the {name} is sampled at "
            "temperature 0: give it a higher one"
        )


def _check_golds(argument: str, questions: Sequence[Question]) -> None:
    if not questions:
        raise DataError(f"{argument}: holds no question")
    if not any(gold.strip() for question in questions for gold in question.golds):
        raise DataError(
            f"{argument}: none of its {len(questions)} questions has a gold answer, so nothing "
            "could be scored: give the field 'answer'"
        )


def _check_student(student: Student) -> None:
    check_packages(student.config)
    load_tokenizer(student.model)
    window, limit = context_window(load_config(student.model)), student.sampling.max_new_tokens
    if limit >= window:
        raise ConfigError(
            f"max_new_tokens={limit} leaves no room for a prompt in the {window} tokens that "
            f"{student.model} takes: give the student a smaller one"
        )
