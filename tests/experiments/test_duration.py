"""What an experiment will take in time, before anything of it is done."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from decompose_distill import CheckpointError, DistillConfig, PaperConfig, Student
from decompose_distill.cost.forecast import Estimate
from decompose_distill.experiments.duration import describe_time, training_steps, training_time
from decompose_distill.models.loading import load_model
from decompose_distill.models.speed import count_weights
from decompose_distill.training.checkpoints.manifest import MANIFEST
from tests.support.samples import QUESTIONS


def _setup(model: Path, folder: Path) -> Any:
    return SimpleNamespace(
        student=Student(model, config=DistillConfig(epochs=2, batch_size=4)),
        config=PaperConfig(samples=2, seeds=(0, 1)),
        train=QUESTIONS,
        variants=("S_D-T", "S_D-R"),
        output_dir=folder,
    )


def test_steps_are_those_of_all_traces_epochs_students_and_seeds(
    tiny_dir: Path, tmp_path: Path
) -> None:
    traces, students, seeds = 2 * len(QUESTIONS), 2, 2

    assert training_steps(_setup(tiny_dir, tmp_path)) == traces // 4 * 2 * students * seeds


def test_before_the_first_student_the_time_is_guessed_from_a_matrix_product(
    tiny_dir: Path, tmp_path: Path
) -> None:
    guess = training_time(_setup(tiny_dir, tmp_path))

    assert guess is not None
    assert 0 < guess.low < guess.expected < guess.high < 3600


def _kept(student: Path, folder: Path, **figures: float) -> Path:
    """The manifest of a finished student, with other figures, in a study's folder."""
    path = folder / "students" / "one" / MANIFEST
    path.parent.mkdir(parents=True)
    row = json.loads((student / MANIFEST).read_text())
    path.write_text(json.dumps(row | {"figures": row["figures"] | figures}))
    return path


def test_finished_students_say_how_long_the_others_take(
    student: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    _kept(student, tmp_path, seconds=30.0, steps=10)
    setup = _setup(tiny_dir, tmp_path)
    known = training_time(setup)

    assert known is not None
    assert known.expected == 3.0 * training_steps(setup)
    assert describe_time(setup, Estimate(30, 60, 90)) == (
        "time: asking 1.0 minutes (0.5–1.5); training 32 steps at most, 1.6 minutes (1.1–2.4); "
        "answers of the students come on top"
    )


def test_a_damaged_manifest_among_them_is_named(
    student: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    _kept(student, tmp_path).write_text("{")

    with pytest.raises(CheckpointError, match=r"one/decompose_distill\.json is damaged"):
        training_time(_setup(tiny_dir, tmp_path))


def test_a_student_that_is_not_there_has_no_time(tmp_path: Path) -> None:
    assert training_time(_setup(tmp_path / "none", tmp_path)) is None


def test_weights_are_counted_without_being_loaded(tiny_dir: Path) -> None:
    assert count_weights(tiny_dir) == sum(
        each.numel() for each in load_model(tiny_dir).parameters()
    )
