"""A run that is stopped, however rudely, goes on to the very same weights."""

import json
import os
import random
import resource
import signal
import time
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from decompose_distill import (
    CheckpointError,
    ConfigError,
    DistillConfig,
    Question,
    Trace,
    TrainingError,
    distill,
)
from decompose_distill.training.checkpoints.manifest import MANIFEST
from decompose_distill.training.checkpoints.resume import (
    TrainState,
    begin,
    begun_on,
    load_progress,
)
from decompose_distill.training.engine.loop import TrainStep
from tests.support.processes import FORKS
from tests.support.samples import PROMPT, make_trace

CONFIG = DistillConfig(epochs=2, batch_size=2, learning_rate=5e-3, save_steps=1)
KILLS = 20


def _traces() -> list[Trace]:
    names = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn")
    return [
        make_trace(Question(f"How old are {one} and {other} together?", answer="1"), "1")
        for one in names
        for other in names
        if one != other
    ]


def _distill(student: Path, place: Path, **options: Any) -> Path:
    options = {"config": CONFIG, "prompt": PROMPT, "validation": 0.2, "progress": False} | options
    return distill(_traces(), student=student, output_dir=place, **options)


def _in_child(student: Path, place: Path, most_bytes: int | None = None) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if most_bytes is not None:  # a disk that is full looks alike: a write comes back short
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    _distill(student, place)


def _start(*arguments: Any) -> BaseProcess:
    process = FORKS.Process(target=_in_child, args=arguments)
    process.start()
    return process


def _wait_for(step: int, folder: Path, process: BaseProcess) -> None:
    while load_progress(folder).step < step:
        assert process.is_alive(), f"it ended before step {step} with code {process.exitcode}"
        time.sleep(0.005)


def _assert_same(one: Path, other: Path) -> None:
    mine, yours = (load_file(place / "model.safetensors") for place in (one, other))
    figures = [json.loads((place / MANIFEST).read_text())["figures"] for place in (one, other)]

    assert mine.keys() == yours.keys()
    assert all(torch.equal(mine[name], yours[name]) for name in mine)
    assert figures[0] | {"seconds": 0} == figures[1] | {"seconds": 0}


@pytest.fixture(scope="module")
def straight(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("straight") / "student"
    process = _start(tiny_dir, place)
    process.join()
    return place


def test_killed_at_random_moments_it_ends_with_the_same_weights(
    straight: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    die, reached = random.Random(0), []
    for _ in range(KILLS):
        before, process = load_progress(folder).step, _start(tiny_dir, place)
        while process.is_alive() and load_progress(folder).step == before:
            time.sleep(0.002)
        time.sleep(die.uniform(0, 0.04))  # somewhere in the next step, or in saving it
        process.kill()
        process.join()
        reached.append(load_progress(folder).step)
        if place.exists():
            break
    with suppress(ConfigError):  # a fast machine was done before the last kill, and only tidies up
        _distill(tiny_dir, place)

    assert len(set(reached)) >= min(KILLS, len(reached)) - 1
    assert not folder.exists()
    _assert_same(straight, place)


def test_ctrl_c_saves_the_running_step_and_the_next_call_goes_on(
    straight: Path, tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, figures = tmp_path / "student", TrainStep.figures

    def pressed(step: Any) -> dict[str, float]:
        if step.number == 5:
            signal.raise_signal(signal.SIGINT)
        return figures.fget(step)

    monkeypatch.setattr(TrainStep, "figures", property(pressed))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.raises(KeyboardInterrupt):
            _distill(tiny_dir, place, config=CONFIG)
        stopped = load_progress(tmp_path / "student.partial")
        monkeypatch.undo()
        _distill(tiny_dir, place)
    finally:
        torch.set_num_threads(threads)

    assert stopped.step == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    _assert_same(straight, place)


def test_a_full_disk_leaves_the_last_good_state(
    straight: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    process = _start(tiny_dir, place)
    _wait_for(2, folder, process)
    process.kill()
    process.join()
    before = load_progress(folder).step
    full = _start(tiny_dir, place, 100_000)
    full.join()

    assert full.exitcode == 1
    assert load_progress(folder).step == before
    again = _start(tiny_dir, place)
    again.join()
    _assert_same(straight, place)


def test_a_state_that_cannot_be_written_says_where_the_run_goes_on(
    tiny_dir: Path, tmp_path: Path
) -> None:
    place = tmp_path / "student"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(
            CheckpointError, match=r"cannot write the state of step 1 .* Free some space"
        ):
            _distill(tiny_dir, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not place.exists()


def _told(student: Path, place: Path, most_bytes: int) -> None:
    """Exits with 0 where the run was finished, with 3 for an error of ours."""
    try:
        _in_child(student, place, most_bytes)
    except TrainingError:
        os._exit(3)


@pytest.mark.parametrize("most_bytes", [0, 700, 2_000, 9_000, 60_000, 400_000])
def test_a_full_disk_is_an_error_of_ours_at_whatever_file(
    most_bytes: int, tiny_dir: Path, tmp_path: Path
) -> None:
    process = FORKS.Process(target=_told, args=(tiny_dir, tmp_path / "student", most_bytes))
    process.start()
    process.join()

    assert process.exitcode in (0, 3)
    assert (process.exitcode == 0) == (tmp_path / "student" / MANIFEST).is_file()


@pytest.mark.parametrize("damage", ["weights", "mark"])
def test_a_state_of_which_a_bit_was_flipped_is_not_gone_on_from(
    damage: str, tiny_dir: Path, tmp_path: Path
) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    process = _start(tiny_dir, place)
    _wait_for(2, folder, process)
    process.kill()
    process.join()
    step = folder / f"step-{load_progress(folder).step:08d}"
    path = step / ("state.safetensors" if damage == "weights" else "state.json")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if damage == "weights" else 0] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="is damaged"):
        _distill(tiny_dir, place)


def test_an_unfinished_run_is_not_mixed_with_other_settings(tiny_dir: Path, tmp_path: Path) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    process = _start(tiny_dir, place)
    _wait_for(1, folder, process)
    process.kill()
    process.join()

    with pytest.raises(ConfigError, match=r"an unfinished run with another config: .*0\.005"):
        _distill(tiny_dir, place, config=replace(CONFIG, learning_rate=1e-3))
    with pytest.raises(ConfigError, match="with another data"):
        _distill(tiny_dir, place, validation=0.3)
    assert load_progress(folder).step >= 1


def test_two_runs_do_not_share_an_output_dir(tiny_dir: Path, tmp_path: Path) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    process = _start(tiny_dir, place)
    _wait_for(1, folder, process)
    try:
        with pytest.raises(ConfigError, match="another process is training into it"):
            _distill(tiny_dir, place)
    finally:
        process.kill()
        process.join()


def test_the_newest_and_the_best_state_are_kept(tiny_dir: Path, tmp_path: Path) -> None:
    place, folder = tmp_path / "student", tmp_path / "student.partial"
    process = _start(tiny_dir, place)
    _wait_for(4, folder, process)
    process.kill()
    process.join()
    progress = load_progress(folder)
    kept = {path.parent.name for path in folder.glob("step-*/state.json")}

    assert {f"step-{step:08d}" for step in (progress.step, progress.best_step)} <= kept
    assert len(kept) <= 3  # the one before may not have been removed yet


def test_the_best_step_is_that_of_the_smallest_validation_loss() -> None:
    progress = TrainState(40, (), ((10, 0.5), (20, 0.3), (30, 0.4), (40, 0.35)))

    assert (progress.best_step, progress.stale) == (20, 2)
    assert (TrainState(40).best_step, TrainState(40).stale) == (40, 0)


def test_a_run_that_goes_on_another_day_shows_the_day_it_began(tmp_path: Path) -> None:
    assert begun_on(tmp_path) == datetime.now().date()
    begin(tmp_path, {"template": {"day": "2026-03-05"}})
    begin(tmp_path, {"template": {"day": "2026-03-05"}})

    assert begun_on(tmp_path) == date(2026, 3, 5)


@pytest.mark.parametrize("run", [{"data": "same"}, {"data": "same", "template": None}])
def test_a_run_that_an_earlier_version_began_goes_on_where_its_template_is_the_same(
    run: dict[str, Any], tmp_path: Path
) -> None:
    begin(tmp_path, run)
    begin(tmp_path, {"data": "same", "template": None})

    assert begun_on(tmp_path) == datetime.now().date()
    with pytest.raises(ConfigError, match="another template"):
        begin(tmp_path, {"data": "same", "template": {"day": None, "opening": "<think>"}})
