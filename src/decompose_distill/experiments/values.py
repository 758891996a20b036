"""Values of an experiment, in the order in which it makes them, and the keys of what it keeps.

From the setup come the traces to learn from, then what stands in rows and columns, then the runs
of the cells.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from decompose_distill import filters, scores
from decompose_distill.cost.ledger import SharedBudget
from decompose_distill.experiments.config import PaperConfig
from decompose_distill.experiments.student import Student
from decompose_distill.experiments.variants import (
    FEW_SHOT,
    SINGLE_CALL,
    TRANSFER,
    VARIANTS,
    Screen,
    students,
)
from decompose_distill.keys import fingerprint_line
from decompose_distill.pipelines.roles import Decomposing, HasModes, Solving
from decompose_distill.prompts import Prompt
from decompose_distill.reporting.study import Place
from decompose_distill.storage.traces import encode_trace
from decompose_distill.training.data.examples import unusable
from decompose_distill.types import Question, Trace

TEST = ""
"""Name of the split that the study is about; the others are those of a transfer."""
LEAST_UPLIFT = 0.5
"""What a decomposition must add to the solver's success rate to be learned by S_D-uplift."""
Inputs = Mapping[str, Any]
"""What a piece of work is made from, as plain data."""


def digest(inputs: Inputs) -> str:
    """Hash plain data, in 12 hexadecimal digits.

    Example:
        >>> digest({"seed": 0}) == digest({"seed": 1})
        False
    """
    text = json.dumps(inputs, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def work_folder(parent: Path, name: str, inputs: Inputs) -> Path:
    """The folder of a piece of work: its name, readable, and the hash of its inputs.

    Example:
        >>> work_folder(Path("cells"), "S_D-R × solver", {}).name
        'S_D-R-solver-44136fa355b3'
    """
    readable = re.sub(r"[^\w.]+", "-", name).strip("-")
    return parent / f"{readable}-{digest(inputs)}"


def hash_questions(questions: Sequence[Question]) -> str:
    """Hash questions with all that is known of them."""
    return digest({"questions": [fingerprint_line("Question", question) for question in questions]})


@dataclass(frozen=True, kw_only=True)
class ExperimentSetup:
    """Everything an experiment is made from."""

    config: PaperConfig
    teacher: Decomposing
    solvers: Mapping[str, Solving]
    """By the name of the column; the first is the main one."""
    student: Student
    train: tuple[Question, ...]
    splits: Mapping[str, tuple[Question, ...]]
    places: tuple[Place, ...]
    score: scores.Score
    budget: SharedBudget

    @property
    def output_dir(self) -> Path:
        """Directory that keeps everything."""
        return self.budget.folder

    @property
    def main_solver(self) -> tuple[str, Solving]:
        """Name and solver of the column that the training questions are solved with too."""
        return next(iter(self.solvers.items()))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns with a cell, in their order."""
        return tuple(dict.fromkeys(column for _, column in self.places))

    @property
    def variants(self) -> tuple[str, ...]:
        """Students to train, in their order."""
        return students(name for key in self.places for name in key)

    @property
    def measures_uplift(self) -> bool:
        """Whether it is measured how much decomposing helps, with all solves."""
        return any(VARIANTS[name].screen == "uplift" for name in self.variants)

    @property
    def needs_training_traces(self) -> bool:
        """Whether anything is learned from the teacher's traces."""
        return bool(self.variants) or any(row == FEW_SHOT for row, _ in self.places)

    def seeds_of(self, key: Place) -> tuple[int, ...]:
        """Repeats of a cell: those of its training, or one."""
        return self.config.seeds if students(key) else self.config.seeds[:1]

    def without(self, names: Sequence[str]) -> "ExperimentSetup":
        """The same without the cells that stand on some students or rows."""
        kept = (key for key in self.places if not {*key, *students(key)} & {*names})
        return replace(self, places=tuple(kept))

    def places_on(self, split: str) -> tuple[Place, ...]:
        """The cells measured on a split."""
        return tuple(key for key in self.places if split == TEST or key in TRANSFER)

    @cached_property
    def student_content(self) -> str:
        """Hash that tells the student apart from another one under its name."""
        from decompose_distill.models.content_hash import content_hash  # torch

        return content_hash(self.student.model)


@dataclass(frozen=True)
class TrainingTraces:
    """The teacher's traces of the training questions, and what of them each student learns."""

    solved: tuple[Trace, ...]
    """With every solve of each decomposition."""
    score: scores.Score
    alone: tuple[Trace, ...] = ()
    """The solver's answers without a decomposition, if uplift is measured."""
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
        return cache(lambda variant: _hash_traces(self.screened(variant).kept))

    def keep(self, variant: str) -> filters.Filter:
        """The filter of a variant, made anew: samples that split a question alike count once."""
        learned = VARIANTS[variant]
        screen = self._filter(learned.screen)
        return filters.all_of(screen, filters.distinct()) if learned.role != "solver" else screen

    def teaches(self, name: str) -> bool:
        """Whether any trace was kept for a student, or as an example of the few-shot row."""
        return bool(self.screened("S_D-R" if name == FEW_SHOT else name).kept)

    def _screened(self, variant: str) -> filters.Screened:
        usable = partial(unusable, target=VARIANTS[variant].target)
        return filters.screen(self.traces, filters.all_of(self.keep(variant), usable))

    def _filter(self, screen: Screen) -> filters.Filter:
        if screen == "uplift":
            return self._uplift
        return filters.complete if screen == "complete" else filters.correct_by(self.score)

    @cached_property
    def _uplift(self) -> filters.Filter:
        measured = filters.measure_uplift((self.solved, self.alone), score=self.score)
        return filters.uplift(measured, minimum=LEAST_UPLIFT)


def _hash_traces(traces: tuple[Trace, ...]) -> str:
    lines = (encode_trace(replace(trace, key="")) for trace in traces)
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


@dataclass(frozen=True)
class Experiment:
    """A setup with the traces that its students learn from: what every cell depends on."""

    setup: ExperimentSetup
    training: TrainingTraces

    def student_inputs(self, variant: str, seed: int) -> Inputs:
        """What a student depends on."""
        learned = self.setup.student.inputs(variant, seed, self.training.sha256(variant))
        return {**learned, "content": self.setup.student_content}

    def checkpoint(self, variant: str, seed: int) -> Path:
        """Folder of a student, trained or not yet."""
        inputs = self.student_inputs(variant, seed)
        return work_folder(self.setup.output_dir / "students", f"{variant}-seed-{seed}", inputs)


@dataclass(frozen=True, slots=True)
class DecomposerSpec:
    """A decomposer: what it depends on, and how it is loaded."""

    inputs: Inputs
    load: Callable[[], Decomposing]


@dataclass(frozen=True, slots=True)
class SolverSpec:
    """A solver: what it depends on, and how it is loaded, once however many cells use it."""

    inputs: Inputs
    load: Callable[[], Solving]
    answer: Prompt | None = None
    """With which it answers without working; `None` for the solver's own."""
    single_call: bool = False
    """Whether it can be asked in other ways than behind a decomposition."""

    def solver(self, row: str) -> Solving:
        """The solver as a row asks it."""
        solver, mode = self.load(), SINGLE_CALL.get(row)
        if mode is None or not self.single_call:
            return solver
        assert isinstance(solver, HasModes)
        return solver.with_mode(mode, self.answer if mode == "direct" else None)


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One pass of a pipeline over questions: a trace each, in their order."""

    traces: tuple[Trace, ...]
    seconds: float | None
    """Of the whole pass; `None` if nobody counted them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRun:
    """One cell with one seed on one split, as it was measured."""

    split: str
    place: Place
    traces: tuple[Trace, ...]
    decompose_seconds: float | None
    solve_seconds: float | None
