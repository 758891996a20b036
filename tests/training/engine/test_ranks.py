"""Several processes train the student that one would have, and what ends one ends all."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.torch_version import TorchVersion
from transformers import AutoModelForCausalLM

from decompose_distill import ConfigError, DistillConfig, Question, Trace, distill, write_traces
from decompose_distill.models.loading import load_model, load_tokenizer, save_model
from decompose_distill.training.checkpoints.resume import load_progress
from decompose_distill.training.engine.loop import TrainStep
from decompose_distill.training.engine.ranks import Ranks
from decompose_distill.training.engine.sharding import load_split
from tests.support.processes import join, start
from tests.support.samples import PROMPT, make_trace

# 24 or so rows in steps of 7: shares are unequal in rows and targets, the last step has fewer rows
# than some jobs have processes, and a pass takes one row or two.
CONFIG = DistillConfig(
    epochs=2, batch_size=7, learning_rate=1e-3, save_steps=2, tokens_per_pass=150, dtype="float32"
)
CASES = {
    "copied": CONFIG,
    "split": replace(CONFIG, fsdp=True),
    "copied adapters": replace(CONFIG, lora_rank=4),
    "split adapters": replace(CONFIG, lora_rank=4, fsdp=True, merge_lora=False),
    "copied bfloat16": replace(CONFIG, dtype="bfloat16"),
    "split bfloat16": replace(CONFIG, dtype="bfloat16", fsdp=True),
    "split recomputed": replace(CONFIG, fsdp=True, gradient_checkpointing=True),
    "killed": replace(CONFIG, fsdp=True, batch_size=3, save_steps=1),
}
LOST = "is gone without a word"


def _traces() -> list[Trace]:
    names = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn")
    return [
        make_trace(Question(f"How old are {one} and {other}?{' Add.' * len(other)}", "1"), "1")
        for one in names
        for other in names
        if one != other
    ]


def _train(student: Path, folder: Path, names: Sequence[str], **options: Any) -> None:
    """Train the named cases one after the other, and note the norms of their steps."""
    figures = TrainStep.figures

    def noted(step: Any) -> dict[str, float]:
        norms.append(step.grad_norm)
        return figures.fget(step)

    TrainStep.figures = property(noted)
    try:
        for name in names:
            norms: list[float] = []
            place = folder / name
            settings = {"prompt": PROMPT, "validation": 0.2, "progress": False} | options
            traces = _traces()
            distill(traces, student=student, output_dir=place, config=CASES[name], **settings)
            (folder / f"{name}.norms").write_text(json.dumps(norms))
    finally:
        TrainStep.figures = figures


def _assert_alike(one: Path, other: Path) -> None:
    short = "bfloat16" in one.name
    for kind in ("train", "validation"):
        mine, yours = (_losses(place, kind) for place in (one, other))
        assert mine == pytest.approx(yours, rel=0.02 if short else 2e-6)
    wanted = json.loads(Path(f"{one}.norms").read_text())
    norms = json.loads(Path(f"{other}.norms").read_text())  # of the steps since the last stop
    expected = wanted[len(wanted) - len(norms) :]
    assert norms == pytest.approx(expected, rel=0.1 if short else 1e-4)
    files = [sorted(place.glob("*.safetensors")) for place in (one, other)]
    assert [file.name for file in files[0]] == [file.name for file in files[1]]
    for mine, yours in zip(*files, strict=True):
        assert mine.stat().st_size == yours.stat().st_size  # what is tied is saved once
        whole, other_whole = load_file(mine), load_file(yours)
        assert whole.keys() == other_whole.keys()
        for name, weight in whole.items():
            # AdamW's first step is ±learning_rate for any gradient, also one that is all rounding,
            # and a bfloat16 has three digits.
            close = {"atol": 2e-2 if short else 2.1e-3, "rtol": 0.02 if short else 1e-3}
            assert torch.allclose(weight, other_whole[name], **close)
            apart = (weight.float() - other_whole[name].float()).abs()
            assert apart.mean() < (1e-3 if short else 1e-6), name


def _losses(place: Path, kind: str) -> list[float]:
    figures = json.loads((place / "losses.json").read_text())[kind]
    return list(chain.from_iterable(figures)) if kind == "validation" else list(figures)


def _run(size: int, student: Path, folder: Path, names: Sequence[str], **options: Any) -> str:
    log = folder / "log"
    folder.mkdir(exist_ok=True)
    processes = start(size, log, _train_here, student, folder, names, options)

    assert join(processes) == [0] * size, log.read_text()
    return log.read_text()


def _train_here(student: Path, folder: Path, names: Sequence[str], options: dict[str, Any]) -> None:
    warnings.simplefilter("error")
    _train(student, folder, names, **options)


@pytest.fixture(scope="module")
def alone(tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one process trains the same."""
    return tmp_path_factory.mktemp("alone")


def test_two_processes_train_the_student_that_one_does(
    alone: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    names = ["copied", "split"]
    _train(tiny_dir, alone, names)
    log = _run(2, tiny_dir, tmp_path, names, progress=True)

    assert log.count("kept 30 of 30") == len(names)
    for name in names:
        _assert_alike(alone / name, tmp_path / name)
        assert not (tmp_path / f"{name}.partial").exists()
        AutoModelForCausalLM.from_pretrained(tmp_path / name)


@pytest.mark.ranks
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_it_does_so_in_all_ways(
    size: int, tied: bool, alone: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    student = tiny_dir if tied else _untied(tiny_dir, alone / "base")
    names = [name for name in CASES if name != "killed" and (tied or "adapters" not in name)]
    one = alone / ("" if tied else "untied")
    one.mkdir(exist_ok=True)
    _train(student, one, [name for name in names if not (one / name).exists()])
    _run(size, student, tmp_path / "many", names)

    for name in names:
        _assert_alike(one / name, tmp_path / "many" / name)


def _untied(tiny_dir: Path, place: Path) -> Path:
    if place.exists():
        return place
    model, tokenizer = load_model(tiny_dir), load_tokenizer(tiny_dir)
    model.config.tie_word_embeddings = False
    torch.manual_seed(1)
    other = type(model)(model.config)
    save_model(other, tokenizer, place)
    return place


@pytest.mark.ray
@pytest.mark.filterwarnings("default")
def test_it_does_so_as_workers_of_ray_train(alone: Path, tiny_dir: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="pip install 'decompose-distill[ray]' 'ray[train]'")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    names, many = ["copied", "split"], tmp_path / "many"
    many.mkdir()
    _train(tiny_dir, alone, [name for name in names if not (alone / name).exists()])

    def train() -> None:
        torch.set_num_threads(1)
        _train(tiny_dir, many, names)

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        run = RunConfig(storage_path=str(tmp_path / "ray"))
        TorchTrainer(train, scaling_config=ScalingConfig(num_workers=2), run_config=run).fit()
    finally:
        ray.shutdown()

    for name in names:
        _assert_alike(alone / name, many / name)


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("copied", (2, 1, 3)), ("split", (2, 1, 3)), ("split bfloat16", (3, 2, 1))],
)
def test_it_goes_on_with_another_number_of_processes(
    name: str, sizes: tuple[int, ...], alone: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    if not (alone / name).exists():
        _train(tiny_dir, alone, [name])
    for turn, size in enumerate(sizes):
        stop_at = 2 * (turn + 1) if turn < len(sizes) - 1 else None
        log = tmp_path / f"log-{turn}"
        join(start(size, log, _stop_after, tiny_dir, tmp_path, name, stop_at))

        assert stop_at is None or load_progress(tmp_path / f"{name}.partial").step == stop_at, (
            log.read_text()
        )
    _assert_alike(alone / name, tmp_path / name)


def _stop_after(student: Path, folder: Path, name: str, step: int | None) -> None:
    """Train until SIGTERM comes to one of the processes, as a scheduler may send it."""
    figures, several = TrainStep.figures, os.environ["WORLD_SIZE"] != "1"

    def stop(trained: Any) -> dict[str, float]:  # others learn of it in the next step
        if trained.number + several == step and os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGTERM)
        return figures.fget(trained)

    TrainStep.figures = property(stop)
    _train_here(student, folder, [name], {})


@pytest.mark.ranks
def test_killed_at_random_moments_it_ends_with_the_same_student(
    alone: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    name = "killed"
    if not (alone / name).exists():
        _train(tiny_dir, alone, [name])
    die, partial = random.Random(0), tmp_path / f"{name}.partial"
    for turn in range(10):
        if (tmp_path / name).exists():
            break
        before, log = load_progress(partial).step, tmp_path / f"log-{turn}"
        processes = start(1 + turn % 3, log, _train_here, tiny_dir, tmp_path, [name], {})
        while processes[0].is_alive() and load_progress(partial).step == before:
            time.sleep(0.01)
        time.sleep(die.uniform(0, 0.1))  # somewhere in the next step, or in saving it
        die.choice(processes).kill()
        killed = time.monotonic()
        statuses = join(processes)

        assert time.monotonic() - killed < 10
        if not (tmp_path / name).exists():
            assert statuses.count(-signal.SIGKILL) == 1
            assert 0 not in statuses
            assert log.read_text().count(LOST) == min(1, len(processes) - 1), log.read_text()
    if not (tmp_path / name).exists():
        _run(3, tiny_dir, tmp_path, [name])
    _assert_alike(alone / name, tmp_path / name)


@pytest.mark.ranks
def test_torchrun_starts_it_and_tells_everything_once(tiny_dir: Path, tmp_path: Path) -> None:
    write_traces(_traces(), tmp_path / "traces.jsonl")
    module = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = [*module, "-m", "decompose_distill", "distill", str(tmp_path / "traces.jsonl")]
    options = {"--output-dir": tmp_path / "student", "--tokens-per-pass": 150, "--epochs": 1}
    command += ["--student", str(tiny_dir), *map(str, chain.from_iterable(options.items()))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path / "student")) == 1
    assert done.stderr.count("kept 30 of 30") == 1
    AutoModelForCausalLM.from_pretrained(tmp_path / "student")

    again = subprocess.run(
        [*command, "--keep", "correct", "--max-duplicates", "0"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert again.returncode != 0
    assert again.stderr.count("exists with other content") == 1


@given(st.integers(0, 20), st.integers(1, 5))
def test_processes_take_equally_many_turns_and_each_part_counts_once(count: int, size: int) -> None:
    turns = [list(Ranks(rank, size).turns(iter(range(count)))) for rank in range(size)]

    assert len({len(of_one) for of_one in turns}) == 1
    counted = [part for of_one in turns for part, counts in of_one if counts]
    assert sorted(counted) == list(range(count))


def test_a_torch_too_old_to_split_a_model_is_told_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0"))

    with pytest.raises(ConfigError, match=r"needs torch 2.8 or newer, not 2.6.0: fsdp=False"):
        load_split(Ranks(), "no-such-model", None, None)
