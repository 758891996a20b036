"""Weights and moments in fewer bits: right on average, the same again, and small."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from decompose_distill import DistillConfig, Trace, distill
from decompose_distill.training.checkpoints import load_losses
from decompose_distill.training.engine import narrow_adamw
from decompose_distill.training.engine.narrow_adamw import round_into
from decompose_distill.training.engine.optimizer import Optimizer
from tests.support.samples import PROMPT
from tests.support.training import learn, small_model, stopped_at

PURE = DistillConfig(master_weights=False)
EIGHT = DistillConfig(optimizer="adamw_8bit")


@pytest.fixture
def bitsandbytes() -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'decompose-distill[bitsandbytes]'")


@pytest.mark.parametrize("number", [1.001, -1.001, 3.14159e-7, -2.7e20, 0.0, 1.0, -0.5])
def test_many_roundings_have_the_number_as_their_mean(number: float) -> None:
    torch.manual_seed(0)
    wide = torch.full((100_000,), number)
    rounded = torch.empty(100_000, dtype=torch.bfloat16)
    round_into([(rounded, wide.clone())])
    step = abs(number) / 128  # at least that of bfloat16
    below, above = rounded.min().item(), rounded.max().item()

    assert below <= wide[0].item() <= above <= below + step
    assert rounded.double().mean().item() == pytest.approx(wide[0].item(), abs=step / 100)


def test_numbers_that_bfloat16_holds_stay_as_they_are() -> None:
    held = torch.tensor([0.0, -0.0, 1.5, -3e38, math.inf, -math.inf, math.nan]).bfloat16()
    rounded = torch.zeros_like(held)
    round_into([(rounded[:3], held[:3].float()), (rounded[3:], held[3:].float())])

    assert torch.equal(rounded.view(torch.int16), held.view(torch.int16))


def test_updates_that_plain_bfloat16_loses_arrive_on_average() -> None:
    """200 of 2e-5 each, where the next number below 1 is 0.004 away."""
    weight = torch.nn.Parameter(torch.ones(50, 200, dtype=torch.bfloat16))
    model = torch.nn.ParameterDict({"weight": weight})
    optimizer = Optimizer(model, PURE)
    for _ in range(200):
        weight.grad = torch.ones_like(weight)
        optimizer.step(2e-5)

    assert weight.double().mean().item() == pytest.approx(1 - 200 * 2e-5, abs=2e-4)
    plain = torch.nn.Parameter(torch.ones(50, 200, dtype=torch.bfloat16))
    adamw = torch.optim.AdamW([plain], lr=2e-5, weight_decay=0.0, fused=True)
    for _ in range(200):
        plain.grad = torch.ones_like(plain)
        adamw.step()
    assert (plain == 1).all()


def test_moments_of_bfloat16_fall_again_when_gradients_vanish() -> None:
    """A thousandth per step is less than bfloat16 can tell apart."""
    weight = torch.nn.Parameter(torch.ones(40, 50, dtype=torch.bfloat16))
    optimizer = Optimizer(torch.nn.ParameterDict({"weight": weight}), PURE)
    for step in range(301):
        weight.grad = torch.full_like(weight, float(step == 0))
        optimizer.step(1e-5)
    moment = optimizer.state()["exp_avg_sq.weight"]
    first = 0.001 / weight.numel()  # gradients are clipped to a norm of 1

    assert moment.dtype == torch.bfloat16
    assert moment.double().mean().item() == pytest.approx(first * 0.999**300, rel=0.02)


@pytest.mark.parametrize("slice_", [256, 1 << 22])
def test_steps_in_slices_are_those_of_torch_in_float32(
    slice_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("LEAST_AT_ONCE", "MOST_AT_ONCE"):
        monkeypatch.setattr(narrow_adamw, bound, slice_)
    monkeypatch.setattr(narrow_adamw, "LEAST", 1 << 40)  # all moments in float32
    config = DistillConfig(optimizer="adamw_8bit", weight_decay=0.1)
    ours, theirs = small_model(torch.float32), small_model(torch.float32)
    one, other = Optimizer(ours, config), Optimizer(theirs, DistillConfig(weight_decay=0.1))
    for step in range(4):
        learn(ours, step)
        learn(theirs, step)
        torch.testing.assert_close(one.step(1e-2), other.step(1e-2))

    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, yours)


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("slice_", [512, 1 << 22])
def test_moments_of_8_bits_lead_nearly_where_those_of_32_do(
    dtype: torch.dtype, slice_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("LEAST_AT_ONCE", "MOST_AT_ONCE"):
        monkeypatch.setattr(narrow_adamw, bound, slice_)
    ours, theirs, start = small_model(dtype), small_model(dtype), small_model(dtype)
    one, other = Optimizer(ours, EIGHT), Optimizer(theirs, DistillConfig())
    for step in range(20):
        for model, optimizer in ((ours, one), (theirs, other)):
            learn(model, step % 4)
            optimizer.step(1e-3)
    moved, apart = (
        sum((a - b).square().sum().item() for a, b in zip(*map(_wide, pair), strict=True)) ** 0.5
        for pair in ((other, Optimizer(start, DistillConfig())), (one, other))
    )

    assert apart < 0.1 * moved


def _wide(optimizer: Optimizer) -> list[torch.Tensor]:
    return [weight.detach().float() for weight in optimizer.updated.values()]


@pytest.mark.usefixtures("bitsandbytes")
def test_moments_of_8_bits_take_two_bytes_per_weight_and_a_64th() -> None:
    model = small_model(torch.float32, 1024)
    optimizer = Optimizer(model, EIGHT)
    learn(model, 0)
    optimizer.step(1e-3)
    kept = {name: t for name, t in optimizer.state().items() if name.endswith("0.weight")}
    moments = sum(t.nbytes for name, t in kept.items() if name.startswith("exp_avg"))

    assert moments == 2 * 1024 * 1024 * (1 + 4 / 256)


@pytest.mark.parametrize(("eight_bit", "masters"), [(False, False), (True, False), (True, True)])
def test_a_state_goes_on_to_the_same_weights(eight_bit: bool, masters: bool) -> None:
    if eight_bit:
        pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    optimizer_name = "adamw_8bit" if eight_bit else "adamw"
    config = DistillConfig(optimizer=optimizer_name, master_weights=masters)
    ends = []
    for stop in (None, 3):
        model = small_model(torch.bfloat16)
        optimizer = Optimizer(model, config)
        for step in range(6):
            if step == stop:
                state = {name: tensor.clone() for name, tensor in optimizer.state().items()}
                model = small_model(torch.bfloat16)
                optimizer = Optimizer(model, config)
                torch.manual_seed(12345)
                optimizer.load(state, step)
            learn(model, step)
            optimizer.step(1e-3)
        ends.append(optimizer.state())

    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_a_stopped_run_without_float32_copies_ends_with_the_same_weights(
    optimizer: str,
    learned: tuple[Trace, ...],
    tiny_dir: Path,
    tmp_path: Path,
) -> None:
    if optimizer == "adamw_8bit":
        pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    config = DistillConfig(
        epochs=4,
        batch_size=4,
        learning_rate=1e-2,
        dtype="bfloat16",
        master_weights=False,
        save_steps=1,
        optimizer=optimizer,
    )

    def run(place: Path) -> Path:
        return distill(
            learned,
            student=tiny_dir,
            output_dir=place,
            prompt=PROMPT,
            config=config,
            progress=False,
        )

    whole = run(tmp_path / "whole")
    with stopped_at(3):
        run(tmp_path / "half")
    half = run(tmp_path / "half")
    losses = load_losses(whole).train

    assert load_losses(half).train == losses
    assert losses[-1] < 0.8 * losses[0]
    one, other = (load_file(place / "model.safetensors") for place in (half, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)
