"""How many tokens a forward pass takes, by what the device can hold."""

from typing import Any

import torch

PROCESSOR_TOKENS = 2048
"""A step in one pass needs no more memory than in two halves: while the activations of one pass go,
its gradients come, and those of two would stand beside the second half's activations."""
LEAST, MOST = 1024, 32768
"""Bounds on a card; more tokens than the upper one do not make its products faster."""
SHARE = 0.7
"""Of the free memory: the rest is for the logits of a chunk and what an allocator cannot use."""
OPTIMIZER_BYTES = 16
"""Per trained weight, at most: a copy, a gradient and two moments in float32."""


def tokens_that_fit(model: Any) -> int:
    """Tokens of a forward pass to begin with; memory that runs out halves them later."""
    if model.device.type != "cuda":
        return PROCESSOR_TOKENS
    free, _ = torch.cuda.mem_get_info(model.device)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    room = SHARE * (free - OPTIMIZER_BYTES * trained)
    return int(min(MOST, max(LEAST, room / _bytes_per_token(model))))


def _bytes_per_token(model: Any) -> int:
    """Activations that a layer keeps for its gradients: about ten vectors, and three of the MLP."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = config.num_hidden_layers * (10 * config.hidden_size + 3 * inner)
    return int(numbers * model.dtype.itemsize)
