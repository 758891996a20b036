"""How fast a model would train here, guessed from a matrix product of a moment."""

import time
from functools import cache
from pathlib import Path

import torch

from decompose_distill.models.devices import best_device, best_dtype, named_device
from decompose_distill.models.loading import load_outline

SIZE, SECONDS = 512, 0.1
"""Of the matrices, and how long they are multiplied."""
PASSES = 6
"""Operations per weight and token: a product and a sum forward, and twice as many backward."""


@cache
def training_seconds_per_token(name: str | Path, device: str | None = None) -> float:
    """Time of one trained token if all of it were matrix products at full speed.

    What is measured takes some two to eight times as long: attention, norms, the update of the
    weights and small shapes are left out.

    Args:
        name: Hub id, directory or `.gguf` file; its weights are not loaded.
        device: Where it would train; by default `best_device()`.
    """
    at = best_device() if device is None else named_device(device)
    return PASSES * count_weights(name) / _operations_per_second(at)


def count_weights(name: str | Path) -> int:
    """How many numbers a model has, from its configuration alone."""
    return sum(weight.numel() for weight in load_outline(name).parameters())


def _operations_per_second(device: torch.device) -> float:
    numbers = torch.ones(SIZE, SIZE, dtype=best_dtype(device), device=device)
    product, rounds = numbers @ numbers, 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS:
        product = numbers @ numbers
        float(product[0, 0])  # waits for the device
        rounds += 1
    return float(2 * SIZE**3 * rounds / passed)
