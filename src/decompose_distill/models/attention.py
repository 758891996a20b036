"""How a model's attention is called, and probes that tell what it computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F


@contextmanager
def attending_by(model: torch.nn.Module, name: str) -> Iterator[None]:
    """Let a model attend by the function registered with transformers under this name."""
    parts: list[Any] = [part for part in model.modules() if hasattr(part, "config")]
    configs = {id(part.config): part.config for part in parts}
    before = [(config, config._attn_implementation) for config in configs.values()]
    for config, _ in before:
        config._attn_implementation = name
    try:
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def window_of(module: torch.nn.Module, sliding_window: int | None) -> int | None:
    """Tokens that a layer sees, the current one included, as its call or the layer says."""
    own: Any = getattr(module, "sliding_window", None)
    return sliding_window or own


def fused_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None = None,
    *,
    causal: bool = False,
) -> torch.Tensor:
    """Mix values (B, heads, T, D) by torch's own attention; groups of heads share keys."""
    (rows, heads, length, width), groups = q.shape, k.shape[1]
    shared = heads != groups
    if shared and length == 1 and not causal:
        # All heads of a group see the same keys: they are the texts of one head.
        q = q.reshape(rows, groups, heads // groups, width)
    elif shared and mask is not None and q.is_cuda:
        # With a mask and shared keys a card would take torch's slowest form.
        k, v = (states.repeat_interleave(heads // groups, dim=1) for states in (k, v))
    mixed = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    return mixed.reshape(rows, heads, length, v.shape[-1])


def product_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    mask: torch.Tensor | None,
    *,
    dropout: float = 0.0,
    softcap: float | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mix values by plain products: softmax(q · kᵀ · scale + mask) · v, a group as one product.

    Args:
        mask: 0 or minus infinity, to add to the scores (B, heads, T, keys).
        softcap: Scores are bent to stay below it (Gemma 2).
        sinks: A score per head that takes its share of attention and gives nothing (gpt-oss).
    """
    (rows, heads, length, width), (groups, keys) = q.shape, k.shape[1:3]
    # Heads that share keys are stacked: one product per group, and no copy of its keys.
    grouped = (q * scale).reshape(rows, groups, heads // groups * length, width)
    scores = torch.matmul(grouped, k.transpose(2, 3)).view(rows, heads, length, keys)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    if sinks is None:
        shares = scores.softmax(-1)
    else:
        # A sink has a score but no value: it takes part in the softmax and is then cut off.
        aside = sinks.view(1, heads, 1, 1).expand(rows, heads, length, 1).to(scores.dtype)
        shares = torch.cat([scores, aside], dim=-1).softmax(-1)[..., :-1]
    shares = F.dropout(shares, dropout) if dropout else shares
    mixed = torch.matmul(shares.reshape(rows, groups, heads // groups * length, keys), v)
    return mixed.view(rows, heads, length, v.shape[-1])


CANNOT = (TypeError, AttributeError, NotImplementedError, ValueError, IndexError, RuntimeError)
"""What a model raises if it has another kind of cache, mask or head."""
REACHES = ("sliding_window", "attention_chunk_size", "attention_window_size")
"""Where configurations say how far a layer looks back."""


def attempt(way: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    """Result of a way through the model, or `None` if the model cannot go it.

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
    # A quadratic walk through the vocabulary: spread out, and the same on every machine.
    size = model.get_input_embeddings().weight.shape[0]
    return [
        (37 * position * position + 101 * position + size // 3) % size for position in range(length)
    ]


def logits_match(
    computed: torch.Tensor | None, wanted: torch.Tensor | None, short: float = 0.05
) -> bool:
    """Whether two ways give the same logits, to rounding.

    Args:
        computed: `None` if the model cannot go that way.
        short: Rounding of 16-bit numbers. Measured with SmolLM2: 0.01 where both ways are
            right, 0.2 and more where tokens see what they should not.
    """
    if computed is None or wanted is None:
        return False
    rounding = 1e-4 if wanted.dtype == torch.float32 else short
    return bool((computed - wanted).float().norm() <= rounding * wanted.float().norm())


def reach(config: Any) -> int | None:
    """Fewest tokens that a layer of a model looks back; `None` if all layers see everything.

    Two ways that agree on shorter texts may differ on longer ones.
    """
    config = config.get_text_config()
    if getattr(config, "use_sliding_window", True) is False:
        return None
    windows = [getattr(config, name, None) for name in REACHES]
    return min((window for window in windows if isinstance(window, int)), default=None)
