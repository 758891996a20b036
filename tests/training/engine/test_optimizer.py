"""Updates are those of torch's own AdamW behind its own clipping, in fewer calls."""

import copy
import math

import pytest
import torch

from decompose_distill import DistillConfig
from decompose_distill.training.engine.optimizer import Optimizer
from tests.support.training import learn, small_model


@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_steps_are_those_of_plain_torch(max_norm: float) -> None:
    ours, theirs = small_model(torch.float32), small_model(torch.float32)
    config = DistillConfig(max_grad_norm=max_norm, weight_decay=0.1)
    optimizer = Optimizer(ours, config)
    plain = torch.optim.AdamW(
        [
            {"params": [w for w in theirs.parameters() if w.ndim > 1], "weight_decay": 0.1},
            {"params": [w for w in theirs.parameters() if w.ndim == 1], "weight_decay": 0.0},
        ]
    )
    for step in range(4):
        for model in (ours, theirs):
            learn(model, step)
        norm = optimizer.step(1e-2)
        wanted = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
        for group in plain.param_groups:
            group["lr"] = 1e-2
        plain.step()

        torch.testing.assert_close(norm, wanted)
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, yours)


def test_float32_copies_are_updated_and_rounded_back() -> None:
    short = small_model(torch.bfloat16)
    wide = copy.deepcopy(short).float()
    one, other = (Optimizer(model, DistillConfig()) for model in (short, wide))
    for step in range(4):
        learn(short, step)
        for weight, source in zip(wide.parameters(), short.parameters(), strict=True):
            weight.grad = source.grad.float()
        one.step(1e-2)
        other.step(1e-2)

    for name, weight in one.weights.items():
        torch.testing.assert_close(one.updated[name], other.weights[name])
        assert torch.equal(weight, one.updated[name].bfloat16())
        assert weight.grad is None is one.updated[name].grad


@pytest.mark.parametrize(
    ("dtype", "masters"),
    [(torch.float32, True), (torch.bfloat16, True), (torch.bfloat16, False)],
)
def test_a_norm_that_is_not_finite_changes_nothing(dtype: torch.dtype, masters: bool) -> None:
    model = small_model(dtype)
    optimizer = Optimizer(model, DistillConfig(master_weights=masters))
    learn(model, 0)
    optimizer.step(1e-2)
    before = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    learn(model, 1, math.inf)

    assert not math.isfinite(optimizer.step(1e-2).item())
    after = optimizer.state()
    assert all(torch.equal(before[name], after[name]) for name in before)
