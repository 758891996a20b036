"""Small models and gradients for tests of updates, and trainings that are stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from decompose_distill.training import recipe


def small_model(dtype: torch.dtype, width: int = 96) -> Any:
    """Matrices, biases and a norm, always the same."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(width, width), torch.nn.LayerNorm(width), torch.nn.Linear(width, 3)
    return torch.nn.Sequential(*layers).to(dtype)


def learn(model: Any, step: int, scale: float = 1.0) -> None:
    """Give each weight a gradient, which the number of the step decides."""
    drawn = torch.Generator().manual_seed(step)
    for weight in model.parameters():
        weight.grad = scale * torch.randn(weight.shape, generator=drawn).to(weight.dtype)


@contextmanager
def stopped_at(step: int) -> Iterator[None]:
    """Press Ctrl-C in a training right after it saved its state of a step."""
    save = recipe.save_state

    def pressed(folder: Path, optimizer: Any, state: Any, *rest: Any) -> None:
        save(folder, optimizer, state, *rest)
        if state.step == step:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "save_state", pressed)
        with pytest.raises(KeyboardInterrupt):
            yield
