"""How near a training step comes to what a card can multiply."""

import math
import re
from typing import Any

import torch

PEAKS = {
    "B200": 2250e12,
    "GH200": 989e12,
    "H200": 989e12,
    "H100": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""bfloat16 products per second without sparsity, by the makers' data sheets; the longest name that
a card's own name holds counts."""


def peak_of(card: str) -> float | None:
    """Floating-point operations per second of a card in bfloat16; `None` where unknown.

    Example:
        >>> peak_of("NVIDIA H100 PCIe"), peak_of("Quadro")
        (756000000000000.0, None)
    """
    words = re.split(r"[\s-]+", card)
    known = [name for name in PEAKS if all(word in words for word in name.split())]
    return PEAKS[max(known, key=len)] if known else None


def flops_per_token(model: Any) -> int | None:
    """Least operations of a step per token: of the layers' weights, without attention and head.

    Two per weight forward, two for the gradient of its input, and two for its own where it is
    trained. `None` for mixtures of experts, of which a token uses few.
    """
    config = model.config.get_text_config()
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    if any((getattr(config, name, None) or 0) > 1 for name in names):
        return None
    tables = {id(model.get_input_embeddings().weight)}
    if (head := model.get_output_embeddings()) is not None:
        tables.add(id(head.weight))
    weights = [weight for weight in model.parameters() if id(weight) not in tables]
    return int(sum((6 if weight.requires_grad else 4) * _numbers(weight) for weight in weights))


def _numbers(weight: Any) -> int:
    """How many a weight stands for; in 4 bits it is a column of bytes."""
    held_as = getattr(weight, "quant_state", None)
    return math.prod(held_as.shape) if held_as else weight.numel()


class ProductShare:
    """Tells of each step which share of the device's product rate it reached, where it is known.

    Args:
        model: In the numbers and on the device that it is trained in.
        peak: Operations per second; by default those of the card's name.
    """

    def __init__(self, model: Any, peak: float | None = None) -> None:
        device, short = model.device, model.dtype == torch.bfloat16
        if peak is None and device.type == "cuda" and short:
            peak = peak_of(torch.cuda.get_device_name(device))
        flops = flops_per_token(model)
        self._share = flops / peak if peak and flops else None

    def __call__(self, tokens: int, seconds: float) -> dict[str, float]:
        """The figure under its name; empty where it is not known."""
        return {} if self._share is None else {"product_share": self._share * tokens / seconds}
