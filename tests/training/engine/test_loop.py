"""One step's loss and gradients are those of its target tokens, however they are computed."""

import math
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ConfigError, DistillConfig, TrainingError
from decompose_distill.models.generation import common_prefix
from decompose_distill.models.loading import load_model, recompute_activations
from decompose_distill.training.data.batching import Batch, collate, plan_batches
from decompose_distill.training.data.tokenization import TokenizedExample
from decompose_distill.training.engine.forward import Forward, choose_forward
from decompose_distill.training.engine.loop import TrainStep, train
from decompose_distill.training.engine.loss import summed_loss, validation_loss
from decompose_distill.training.engine.optimizer import Optimizer, lr_factor

Gradients = dict[str, torch.Tensor]


@pytest.fixture
def model(tiny_dir: Path) -> Any:
    return load_model(tiny_dir, dtype=torch.float32)


def _steps(model: Any, rows: list[TokenizedExample], config: DistillConfig) -> Iterator[TrainStep]:
    plan = plan_batches([len(row.ids) for row in rows], config.batch_size, config.epochs, 0)
    batches = [[rows[place] for place in places] for places in plan]
    return train(model, Optimizer(model, config), batches, len(batches), config)


def _learn(model: Any, forward: Forward, parts: list[Batch]) -> tuple[float, Gradients]:
    model.zero_grad()
    total = sum(int(part.targets.sum()) for part in parts)
    loss = torch.zeros(())
    for part in parts:
        labels = part.ids[part.targets]
        loss = loss + torch.nn.functional.cross_entropy(forward(part), labels, reduction="sum")
    (loss / total).backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    return loss.item() / total, gradients


def _assert_same(one: tuple[float, Gradients], other: tuple[float, Gradients]) -> None:
    """Float32 sums in another order differ by a few units of the seventh digit."""
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, other[1][name], atol=1e-5), name


def test_loss_agrees_with_that_of_transformers(model: Any, rows: list[TokenizedExample]) -> None:
    row = rows[0]
    ids = torch.tensor([row.ids])
    labels = ids.clone()
    labels[:, : row.start] = -100
    with torch.no_grad():
        ours = summed_loss(choose_forward(model, DistillConfig()), [row]).item() / row.targets
        theirs = model(input_ids=ids, labels=labels).loss.item()

    assert ours == pytest.approx(theirs, rel=1e-5)


def test_packed_rows_give_the_loss_and_gradients_of_unpacked_ones(
    model: Any, rows: list[TokenizedExample]
) -> None:
    short = [TokenizedExample(row.name, row.ids[row.start - 4 :], 4) for row in rows]
    both = rows[:2] + short
    packed = collate(both, packing=True)

    assert len(packed.ids) < len(both)
    _assert_same(
        _learn(model, choose_forward(model, DistillConfig(packing=True)), [packed]),
        _learn(model, choose_forward(model, DistillConfig()), [collate([row]) for row in both]),
    )


def test_parts_of_a_step_add_up_to_the_whole(model: Any, rows: list[TokenizedExample]) -> None:
    forward = choose_forward(model, DistillConfig())
    uneven = [TokenizedExample(rows[0].name, rows[0].ids[:-5], rows[0].start), *rows[1:4]]

    _assert_same(
        _learn(model, forward, [collate(uneven)]),
        _learn(model, forward, [collate(uneven[:1]), collate(uneven[1:])]),
    )


def test_a_shared_prefix_changes_neither_loss_nor_gradients(
    model: Any, rows: list[TokenizedExample]
) -> None:
    forward, four = choose_forward(model, DistillConfig()), rows[:4]
    whole = collate(four)
    shared = common_prefix([row.ids[: row.start] for row in four])

    assert shared >= 8
    assert whole.prefix == 0
    _assert_same(
        _learn(model, forward, [whole]),
        _learn(model, forward, [Batch(whole.ids, whole.targets, shared)]),
    )


def test_gradient_checkpointing_changes_neither_loss_nor_gradients(
    model: Any, rows: list[TokenizedExample]
) -> None:
    batch = collate(rows[:4])
    forward = choose_forward(model, DistillConfig(gradient_checkpointing=True))
    model.train()
    plain = _learn(model, forward, [batch])
    recompute_activations(model)

    _assert_same(plain, _learn(model, forward, [batch]))


def test_a_model_that_scales_its_logits_computes_all_of_them(
    model: Any, rows: list[TokenizedExample]
) -> None:
    forward = model.forward

    def scaled(**inputs: object) -> object:
        output = forward(**inputs)
        output.logits = output.logits * 3
        return output

    with torch.no_grad():
        before = summed_loss(choose_forward(model, DistillConfig()), rows[:1]).item()
        model.forward = scaled
        after = summed_loss(choose_forward(model, DistillConfig()), rows[:1]).item()
        ids = torch.tensor([rows[0].ids])
        logits = model(input_ids=ids).logits[0, rows[0].start - 1 : -1]
        wanted = torch.nn.functional.cross_entropy(
            logits, ids[0, rows[0].start :], reduction="sum"
        ).item()

    assert after == pytest.approx(wanted, rel=1e-5)
    assert after != pytest.approx(before, rel=1e-3)


def test_a_model_with_a_mask_of_its_own_is_not_packed(
    model: Any, rows: list[TokenizedExample]
) -> None:
    forward = model.base_model.forward

    def deaf(attention_mask: object = None, position_ids: object = None, **inputs: Any) -> object:
        return forward(**inputs)

    model.base_model.forward = deaf

    with pytest.raises(ConfigError, match="packing: LlamaForCausalLM does not keep packed rows"):
        choose_forward(model, DistillConfig(packing=True))


def test_out_of_memory_halves_the_micro_batch_and_keeps_the_step(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    config = DistillConfig(epochs=1, batch_size=8)
    steady, tight = (load_model(tiny_dir, dtype=torch.float32) for _ in range(2))
    [wanted] = _steps(steady, rows, config)
    forward = tight.base_model.forward

    @wraps(forward)
    def limited(input_ids: torch.Tensor, **inputs: Any) -> object:
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError("the card is full")
        return forward(input_ids=input_ids, **inputs)

    tight.base_model.forward = limited
    [found] = _steps(tight, rows, config)

    assert (wanted.micro_batch_size, wanted.out_of_memory) == (8, False)
    assert (found.micro_batch_size, found.out_of_memory) == (2, True)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    for one, other in zip(steady.parameters(), tight.parameters(), strict=True):
        # AdamW's first step is ±learning_rate for any gradient, also for one that is all rounding
        assert torch.allclose(one, other, atol=2.1e-4)
        assert (one - other).abs().gt(1e-6).float().mean() < 0.01


def test_validation_goes_on_in_halves_where_memory_runs_out(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    steady, tight = (load_model(tiny_dir, dtype=torch.float32) for _ in range(2))
    forward = tight.base_model.forward

    @wraps(forward)
    def limited(input_ids: torch.Tensor, **inputs: Any) -> object:
        if len(input_ids) > 2:
            raise RuntimeError("MPS backend out of memory")
        return forward(input_ids=input_ids, **inputs)

    tight.base_model.forward = limited
    wanted, found = (validation_loss(each, rows, DistillConfig()) for each in (steady, tight))

    assert found == pytest.approx(wanted, rel=1e-5)


def test_one_example_beyond_the_memory_is_named(model: Any, rows: list[TokenizedExample]) -> None:
    def full(**inputs: Any) -> object:
        if torch.is_grad_enabled():
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        raise TypeError

    config = DistillConfig(epochs=1)
    steps = _steps(model, rows, config)
    model.base_model.forward = full
    model.forward = full

    with pytest.raises(TrainingError, match="out of memory with one example a pass, on traces"):
        list(steps)


def test_a_weight_that_never_had_a_gradient_is_saved_and_loaded(tiny_dir: Path) -> None:
    def make() -> tuple[Any, Optimizer]:
        model = load_model(tiny_dir, dtype=torch.float32)
        model.unused = torch.nn.Parameter(torch.ones(3))
        return model, Optimizer(model, DistillConfig())

    (model, optimizer), (other, loaded) = make(), make()
    list(train(model, optimizer, [[TokenizedExample("a", (1, 2, 3), 1)]], 2, DistillConfig()))
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
    model.get_output_embeddings().register_forward_hook(lambda *_: _[2] * poison)

    with pytest.raises(TrainingError, match=f"at step 1, on traces {rows[0].name}"):
        list(steps)
    assert all(torch.equal(before[name], weight) for name, weight in model.named_parameters())


def test_validation_loss_is_the_mean_over_all_target_tokens(
    model: Any, rows: list[TokenizedExample]
) -> None:
    forward = choose_forward(model, DistillConfig())
    with torch.no_grad():
        sums = [summed_loss(forward, [row]).item() for row in rows]
    found = validation_loss(model, rows, DistillConfig(batch_size=3))

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


def test_master_weights_keep_what_bfloat16_would_lose(
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

    assert moved[True] > moved[False] > 0
