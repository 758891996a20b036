"""Attention of our own in a model's place: who sees whom is told exactly, and no mask is built.

transformers measures a sliding window by places in a batch or a cache, so that padding between
tokens, or several texts on a line, eat it. Functions registered here measure by positions.
"""

from collections.abc import Iterator
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
    """How many tokens a layer sees, itself included, as its call or the layer says."""
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
    groups = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=groups
    )


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
    grouped = (q * scale).reshape(rows, groups, heads // groups * length, width)
    scores = torch.matmul(grouped, k.transpose(2, 3)).view(rows, heads, length, keys)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask
    if sinks is None:
        shares = scores.softmax(-1)
    else:
        aside = sinks.view(1, heads, 1, 1).expand(rows, heads, length, 1).to(scores.dtype)
        shares = torch.cat([scores, aside], dim=-1).softmax(-1)[..., :-1]
    shares = F.dropout(shares, dropout) if dropout else shares
    mixed = torch.matmul(shares.reshape(rows, groups, heads // groups * length, keys), v)
    return mixed.view(rows, heads, length, v.shape[-1])
