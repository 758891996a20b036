"""Updates are those of torch's own AdamW behind its own clipping, in fewer calls."""

import copy
import math
from typing import Any

import pytest
import torch

from decompose_distill import DistillConfig
from decompose_distill.training.engine.optimizer import Optimizer


def _model(dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    layers = torch.nn.Linear(5, 7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 3)
    return torch.nn.Sequential(*layers).to(dtype)


def _learn(model: Any, step: int, scale: float = 1.0) -> None:
    made = torch.Generator().manual_seed(step)
    for weight in model.parameters():
        weight.grad = scale * torch.randn(weight.shape, generator=made).to(weight.dtype)


@pytest.mark.parametrize("max_norm", [0.1, 1e6])
def test_steps_are_those_of_plain_torch(max_norm: float) -> None:
    ours, theirs = _model(torch.float32), _model(torch.float32)
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
            _learn(model, step)
        norm = optimizer.step(1e-2)
        wanted = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm)
        for group in plain.param_groups:
            group["lr"] = 1e-2
        plain.step()

        torch.testing.assert_close(norm, wanted)
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, yours)


def test_float32_copies_are_updated_and_rounded_back() -> None:
    short = _model(torch.bfloat16)
    wide = copy.deepcopy(short).float()
    one, other = (Optimizer(model, DistillConfig()) for model in (short, wide))
    for step in range(4):
        _learn(short, step)
        for weight, source in zip(wide.parameters(), short.parameters(), strict=True):
            weight.grad = source.grad.float()
        one.step(1e-2)
        other.step(1e-2)

    for name, weight in one.weights.items():
        torch.testing.assert_close(one.updated[name], other.weights[name])
        assert torch.equal(weight, one.updated[name].bfloat16())
        assert weight.grad is None is one.updated[name].grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_norm_that_is_not_finite_changes_nothing(dtype: torch.dtype) -> None:
    model = _model(dtype)
    optimizer = Optimizer(model, DistillConfig())
    _learn(model, 0)
    optimizer.step(1e-2)
    before = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    _learn(model, 1, math.inf)

    assert not math.isfinite(optimizer.step(1e-2).item())
    after = optimizer.state()
    assert all(torch.equal(before[name], after[name]) for name in before)
