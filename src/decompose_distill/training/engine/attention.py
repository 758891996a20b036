"""Attention over a line of rows that do not see each other, in the fastest form of a device.

Registered with transformers under `NAME` without a mask function: no mask is built, and nothing
is read back from the device.
"""

from functools import lru_cache
from typing import Any

import torch
from transformers import AttentionInterface

from decompose_distill.models.attention import fused_attention, product_attention, window_of
from decompose_distill.training.data.batching import Documents

try:
    import torch.nn.attention.varlen

    varlen_attn: Any = torch.nn.attention.varlen.varlen_attn
except ImportError:  # before torch 2.10
    varlen_attn = None

NAME = "decompose_distill_documents"
SHORT = 512
"""Tokens up to which plain products of 16-bit numbers are faster on a processor: the backward pass
of torch's fused attention takes three times as long there. In float32 they are not."""


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    documents: Documents,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Mix values (1, heads, T, D) as transformers' attention functions do: (1, T, heads, D).

    Args:
        documents: Where the rows lie; handed through the model by `EndToEnd`.
        sliding_window: Tokens that a token sees, itself included.
        softcap: Scores are bent to stay below it (Gemma 2).
        s_aux: A score per head that takes its share of attention and gives nothing (gpt-oss).
    """
    window = window_of(module, sliding_window)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    plain = not dropout and softcap is None and s_aux is None
    if plain and varlen_attn and query.is_cuda and query.dtype != torch.float32:
        return _varlen(query, key, value, documents, scale, window), None
    products = not plain or query.dtype != torch.float32
    mixed = []
    prefix, lengths = documents.prefix, documents.lengths
    cuts = [prefix, *lengths] if prefix else list(lengths)
    splits = (torch.split(tensor, cuts, dim=2) for tensor in (query, key, value))
    for number, (q, k, v) in enumerate(zip(*splits, strict=True)):
        if prefix and number:
            k = torch.cat([key[:, :, :prefix], k], dim=2)
            v = torch.cat([value[:, :, :prefix], v], dim=2)
        if products and (k.shape[2] <= SHORT or not plain):
            mask = _mask(q.shape[2], k.shape[2], window, q)
            rest: dict[str, Any] = {"dropout": dropout, "softcap": softcap, "sinks": s_aux}
            mixed.append(product_attention(q, k, v, scale, mask, **rest))
        else:
            mixed.append(_one_row(q, k, v, scale, window))
    return torch.cat(mixed, dim=2).transpose(1, 2), None


AttentionInterface.register(NAME, attend)


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    documents: Documents,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """On a card: all rows in one kernel, the prefix in another."""
    groups = query.shape[1] != key.shape[1]
    prefix, longest = documents.prefix, documents.longest
    q, k, v = (tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value))
    shape = {"scale": scale, "window_size": (window - 1 if window else -1, 0), "enable_gqa": groups}
    ends = documents.query_ends
    if not prefix:
        mixed: torch.Tensor = varlen_attn(q, k, v, ends, ends, longest, longest, **shape)
        return mixed.unsqueeze(0)
    whole = torch.stack([ends[0], ends[0] + prefix])
    first = varlen_attn(q[:prefix], k[:prefix], v[:prefix], whole, whole, prefix, prefix, **shape)
    rest = varlen_attn(
        q[prefix:],
        k.index_select(0, documents.keys),
        v.index_select(0, documents.keys),
        ends,
        documents.key_ends,
        max(documents.lengths),
        longest,
        **shape,
    )
    return torch.cat([first, rest]).unsqueeze(0)


def _one_row(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
    window: int | None,
) -> torch.Tensor:
    """One row by torch's own attention."""
    length, keys = q.shape[2], k.shape[2]
    if length == keys and (window is None or keys <= window):
        return fused_attention(q, k, v, scale, causal=True)
    return fused_attention(q, k, v, scale, _mask(length, keys, window, q))


def _mask(length: int, keys: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
    """What is added to the scores (length, keys) of a row's last tokens: 0 or minus infinity."""
    size = 1 << (keys - 1).bit_length()
    whole = _whole_mask(size, window, like.dtype, like.device)
    return whole[keys - length : keys, :keys]


@lru_cache(maxsize=8)
def _whole_mask(
    size: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    past = torch.ones(size, size, dtype=torch.bool, device=device).tril()
    if window is not None:
        past = past.triu(1 - window)
    return torch.zeros(size, size, dtype=dtype, device=device).masked_fill_(~past, -torch.inf)
