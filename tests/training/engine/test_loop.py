"""A step: its passes add up, memory that runs out halves them, and what is not finite stops it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import DistillConfig, TrainingError
from decompose_distill.models.loading import load_model
from decompose_distill.training.data.batching import plan_batches
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine.forward import choose_forward
from decompose_distill.training.engine.loop import TrainStep, train, validation_loss
from decompose_distill.training.engine.optimizer import Optimizer, lr_factor


@pytest.fixture
def model(tiny_dir: Path) -> Any:
    return load_model(tiny_dir, dtype=torch.float32)


def _steps(model: Any, rows: list[TokenizedExample], config: DistillConfig) -> Iterator[TrainStep]:
    plan = plan_batches([len(row.ids) for row in rows], config.batch_size, config.epochs, 0)
    batches = [[rows[place] for place in places] for places in plan]
    forward = choose_forward(model)
    return train(forward, Optimizer(model, config), batches, len(batches), config)


def _limit(model: Any, tokens: int, error: Exception) -> None:
    """Let memory run out beyond so many tokens of a forward pass."""
    forward = model.base_model.forward

    @wraps(forward)
    def limited(input_ids: torch.Tensor, **inputs: Any) -> object:
        if input_ids.numel() > tokens:
            raise error
        return forward(input_ids=input_ids, **inputs)

    model.base_model.forward = limited


def _recomputes(model: Any) -> bool:
    return any(getattr(part, "gradient_checkpointing", False) for part in model.modules())


def _assert_moved_alike(one: Any, other: Any) -> None:
    for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
        # AdamW's first step is ±learning_rate for any gradient, also for one that is all rounding
        assert torch.allclose(mine, yours, atol=2.1e-4)
        assert (mine - yours).abs().gt(1e-6).float().mean() < 0.01


def test_out_of_memory_halves_the_pass_and_keeps_the_step(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    config = DistillConfig(epochs=1, batch_size=8)
    steady, tight = (load_model(tiny_dir, dtype=torch.float32) for _ in range(2))
    [wanted] = _steps(steady, rows, config)
    steps = _steps(tight, rows, config)
    _limit(tight, 120, torch.OutOfMemoryError("the card is full"))
    [found] = steps

    assert not wanted.out_of_memory
    assert wanted.tokens_per_pass == wanted.tokens == found.tokens
    assert found.out_of_memory
    assert found.tokens_per_pass < 240
    assert not _recomputes(tight)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    _assert_moved_alike(steady, tight)


def test_where_one_example_exceeds_the_memory_its_activations_are_computed_twice(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    config = DistillConfig(epochs=1, batch_size=4)
    steady, tight = (load_model(tiny_dir, dtype=torch.float32) for _ in range(2))
    wanted = [step.loss for step in _steps(steady, rows, config)]
    steps, forward = _steps(tight, rows, config), tight.base_model.forward

    @wraps(forward)
    def limited(**inputs: Any) -> object:
        if not _recomputes(tight):
            raise torch.OutOfMemoryError("the card is full")
        return forward(**inputs)

    tight.base_model.forward = limited

    assert [step.loss for step in steps] == pytest.approx(wanted, rel=1e-5)


def test_one_example_beyond_the_memory_is_named(model: Any, rows: list[TokenizedExample]) -> None:
    steps = _steps(model, rows, DistillConfig(epochs=1))
    _limit(model, 1, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"))

    with pytest.raises(TrainingError, match="out of memory with one example per pass, on traces"):
        list(steps)


def test_validation_goes_on_in_halves_where_memory_runs_out(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    steady, tight = (choose_forward(load_model(tiny_dir, dtype=torch.float32)) for _ in range(2))
    _limit(tight.model, 120, RuntimeError("MPS backend out of memory"))

    assert validation_loss(tight, rows) == pytest.approx(validation_loss(steady, rows), rel=1e-5)


def test_a_weight_that_never_had_a_gradient_is_saved_and_loaded(tiny_dir: Path) -> None:
    def make() -> tuple[Any, Optimizer]:
        model = load_model(tiny_dir, dtype=torch.float32)
        model.unused = torch.nn.Parameter(torch.ones(3))
        return model, Optimizer(model, DistillConfig())

    (model, optimizer), (other, loaded) = make(), make()
    batch = [TokenizedExample("a", (1, 2, 3), 1)]
    list(train(choose_forward(model), optimizer, [batch], 2, DistillConfig()))
    loaded.load({name: weight.clone() for name, weight in optimizer.state().items()}, 1)

    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)


def test_the_same_seed_gives_the_same_losses(tiny_dir: Path, rows: list[TokenizedExample]) -> None:
    config = DistillConfig(epochs=2, batch_size=4)
    one, other = ([step.loss for step in _steps(load_model(tiny_dir), rows, config)] for _ in "ab")

    assert one == other


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_what_is_not_finite_stops_with_the_traces_named_and_the_weights_kept(
    poison: float, model: Any, rows: list[TokenizedExample]
) -> None:
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    steps = _steps(model, rows[:1], DistillConfig(epochs=1))
    model.base_model.norm.register_forward_hook(lambda *_: _[2] * poison)

    with pytest.raises(TrainingError, match=f"at step 1, on traces {rows[0].name}"):
        list(steps)
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_validation_loss_is_the_mean_over_all_target_tokens(
    model: Any, rows: list[TokenizedExample]
) -> None:
    forward = choose_forward(model)
    with torch.no_grad(), forward.applied():
        sums = [forward.loss(forward.lay([row])).item() for row in rows]
    found = validation_loss(replace(forward, tokens=150), rows)

    assert found == pytest.approx(sum(sums) / sum(row.targets for row in rows), rel=1e-5)


@given(st.integers(1, 500), st.floats(0, 0.9), st.sampled_from(["cosine", "linear"]))
def test_the_schedule_rises_to_1_and_falls_towards_0(steps: int, warmup: float, kind: str) -> None:
    rates = [lr_factor(done, steps, warmup, kind) for done in range(steps)]  # type: ignore[arg-type]
    peak = rates.index(max(rates))

    assert max(rates) == 1
    assert all(0 <= rate <= 1 for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_weight_decay_spares_norms_and_biases(model: Any) -> None:
    optimizer = Optimizer(model, DistillConfig(weight_decay=0.5, learning_rate=1.0))
    before = {name: weight.detach().clone() for name, weight in optimizer.weights.items()}
    for weight in optimizer.weights.values():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(1.0)

    for name, weight in optimizer.weights.items():
        wanted = before[name] * (0.5 if weight.ndim > 1 else 1.0)
        assert torch.allclose(weight, wanted), name


def test_small_updates_reach_bfloat16_weights_with_master_weights_and_without(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    moved = {}
    for master in (False, True):
        model = load_model(tiny_dir, dtype=torch.bfloat16)
        config = DistillConfig(
            epochs=20, batch_size=8, learning_rate=2e-4, master_weights=master, schedule="linear"
        )
        start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        list(_steps(model, rows, config))
        changed = [
            (weight != start[name]).float().mean() for name, weight in model.named_parameters()
        ]
        moved[master] = float(sum(changed) / len(changed))

    assert moved[False] == pytest.approx(moved[True], rel=0.1)  # rounded at random, none is lost
