"""What a matrix is asked to measure, checked before anything is asked, trained or paid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path

from decompose_distill import scores
from decompose_distill.cost.break_even import machine_usd
from decompose_distill.cost.budget import SharedBudget
from decompose_distill.cost.ledger import find_price
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.experiments.student import Student
from decompose_distill.experiments.variants import (
    FEW_SHOT,
    SINGLE_CALL,
    TRANSFER,
    UNTRAINED,
    VARIANTS,
    students,
)
from decompose_distill.models.loading import (
    content_hash,
    context_window,
    load_config,
    load_tokenizer,
)
from decompose_distill.pipelines.dry_run import (
    Requests,
    decomposing_requests,
    is_greedy,
    solving_requests,
)
from decompose_distill.pipelines.roles import (
    Decomposing,
    HasModes,
    Solving,
    backends_of,
    check_identity,
)
from decompose_distill.reporting.study import Place
from decompose_distill.training.engine.lora import check_peft
from decompose_distill.types import Decomposition, Question

TEST = ""
"""Name of the split that the study is about; the others are those of a transfer."""


@dataclass(frozen=True)
class ExperimentSetup:
    """Everything a matrix is made from."""

    teacher: Decomposing
    solvers: Mapping[str, Solving]
    """By the name of the column; the first is the main one."""
    student: Student
    train: tuple[Question, ...]
    splits: Mapping[str, tuple[Question, ...]]
    places: tuple[Place, ...]
    seeds: tuple[int, ...]
    score: scores.Score
    samples: int
    solves: int
    purse: SharedBudget
    usd_per_hour: Decimal | float | None
    progress: bool

    @property
    def output_dir(self) -> Path:
        """Where everything is kept."""
        return self.purse.folder

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns with a cell, in their order."""
        return tuple(dict.fromkeys(column for _, column in self.places))

    @property
    def variants(self) -> tuple[str, ...]:
        """Students to train, in their order."""
        return students(name for place in self.places for name in place)

    @property
    def weighs(self) -> bool:
        """Whether it is measured how much decomposing helps, with all solves."""
        return any(VARIANTS[name].screen == "uplift" for name in self.variants)

    @property
    def learns(self) -> bool:
        """Whether the teacher's traces are needed."""
        return bool(self.variants) or any(row == FEW_SHOT for row, _ in self.places)

    def seeds_of(self, place: Place) -> tuple[int, ...]:
        """Repeats of a cell: those of its training, or one."""
        return self.seeds if students(place) else self.seeds[:1]

    def without(self, names: Sequence[str]) -> "ExperimentSetup":
        """The same without the cells that stand on some students or rows."""
        kept = (each for each in self.places if not {*each, *students(each)} & {*names})
        return replace(self, places=tuple(kept))

    @cached_property
    def student_content(self) -> str:
        """What tells the student apart from another one under its name."""
        return content_hash(self.student.model)

    def places_on(self, split: str) -> tuple[Place, ...]:
        """The cells measured on a split."""
        return tuple(each for each in self.places if split == TEST or each in TRANSFER)


def answerable(places: Iterable[Place], solvers: Mapping[str, Solving]) -> tuple[Place, ...]:
    """Without the single-call rows of columns that can only answer as they do."""
    chatty = {name for name, solver in solvers.items() if isinstance(solver, HasModes)} | {
        UNTRAINED
    }
    return tuple(
        (row, column)
        for row, column in places
        if row not in SINGLE_CALL or row == "none" or column in chatty
    )


def check(setup: ExperimentSetup) -> None:
    """Refuse what would fail after hours or after money was spent.

    Raises:
        ConfigError: A setting does not fit another.
        DataError: Questions or their gold answers are missing.
        BackendError: The student cannot be loaded.
        MissingExtraError: LoRA without peft.
    """
    for name in ("samples", "solves"):
        if getattr(setup, name) < 1:
            raise ConfigError(f"{name} must be 1 or more, not {getattr(setup, name)}")
    some, solver = Question("Is it so?"), next(iter(setup.solvers.values()))
    splits = decomposing_requests(setup.teacher, [some])
    _check_temperature("samples", setup.samples, "teacher", splits)
    answers = solving_requests(solver, [Decomposition(some, ())])
    _check_temperature("solves", setup.solves, "solver", answers)
    if not setup.seeds or len({*setup.seeds}) < len(setup.seeds):
        raise ConfigError(f"seeds must be one or more different numbers, not {setup.seeds}")
    machine_usd(0, setup.usd_per_hour)
    if setup.output_dir.exists() and not setup.output_dir.is_dir():
        raise ConfigError(f"output_dir {setup.output_dir} is a file: name a directory")
    for name, role in (("teacher", setup.teacher), *setup.solvers.items()):
        check_identity(role)
        for backend in backends_of(role).values():
            budgeted = setup.purse.budget_usd is not None
            find_price(name, backend, setup.purse.prices or {}, budgeted=budgeted)
    for split, questions in setup.splits.items():
        _check_golds(f"transfer {split!r}" if split else "test", questions)
    if setup.learns:
        _check_golds("train", setup.train)
    if setup.variants or any(UNTRAINED in place or FEW_SHOT in place for place in setup.places):
        _check_student(setup.student)


def _check_temperature(argument: str, count: int, name: str, requests: Requests) -> None:
    if count > 1 and is_greedy(requests):
        raise ConfigError(
            f"{argument}={count} would be the same {count} times, as the {name} is sampled at "
            "temperature 0: give it a higher one"
        )


def _check_student(student: Student) -> None:
    if student.config.lora_rank:
        check_peft()
    load_tokenizer(student.model)
    window, limit = context_window(load_config(student.model)), student.sampling.max_new_tokens
    if limit >= window:
        raise ConfigError(
            f"max_new_tokens={limit} leaves no room for a prompt in the {window} tokens that "
            f"{student.model} takes: give the student a smaller one"
        )


def _check_golds(argument: str, questions: Sequence[Question]) -> None:
    if not questions:
        raise DataError(f"{argument}: holds no question")
    if not any(gold.strip() for question in questions for gold in question.golds):
        raise DataError(
            f"{argument}: none of its {len(questions)} questions has a gold answer, so nothing "
            "could be scored: give the field 'answer'"
        )
