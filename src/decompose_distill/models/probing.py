"""Trying whether a model computes the same in a cheaper way, on a few tokens, before it is used."""

from collections.abc import Callable
from typing import Any

import torch

CANNOT = (TypeError, AttributeError, NotImplementedError, ValueError, RuntimeError)
"""What a model raises where it has another kind of cache, mask or head."""
REACHES = ("sliding_window", "attention_chunk_size", "attention_window_size")
"""Where configurations say how far a layer looks back."""


def attempt(way: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """What a way computes, or `None` where the model cannot go it.

    Raises:
        RuntimeError: Memory ran out, which says nothing about the model.
    """
    with torch.no_grad():
        try:
            return way()
        except CANNOT as error:
            if is_out_of_memory(error):
                raise
            return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the processor's allocator ran out."""
    text = str(error)
    words = "can't allocate memory" in text or "out of memory" in text
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and words)


def probe_ids(model: Any, length: int) -> list[int]:
    """Token ids to compare two ways on: from all over the vocabulary.

    The first ids are special tokens, on which 16-bit numbers go wrong by a tenth and more.
    """
    size = model.get_input_embeddings().weight.shape[0]
    return [(37 * place * place + 101 * place + size // 3) % size for place in range(length)]


def logits_match(
    computed: torch.Tensor | None, wanted: torch.Tensor | None, short: float = 0.05
) -> bool:
    """Whether two ways give the same logits, to rounding.

    Args:
        computed: `None` where the model cannot go that way.
        short: Rounding of 16-bit numbers. Measured with SmolLM2: 0.01 where both ways are
            right, 0.2 and more where tokens see what they should not.
    """
    if computed is None or wanted is None:
        return False
    rounding = 1e-4 if wanted.dtype == torch.float32 else short
    return bool((computed - wanted).float().norm() <= rounding * wanted.float().norm())


def reach(config: Any) -> int | None:
    """Fewest tokens that a layer of a model looks back; `None` where all layers see everything.

    Two ways that agree on shorter texts may differ on longer ones.
    """
    config = config.get_text_config()
    if getattr(config, "use_sliding_window", True) is False:
        return None
    windows = [getattr(config, name, None) for name in REACHES]
    return min((window for window in windows if isinstance(window, int)), default=None)
