"""The past of a batch: keys and values of what was read, in memory with room for more."""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 128
"""Tokens that memory is set aside for at a time."""


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values with room behind them: a token is written there, and nothing is copied."""

    keys: Any
    values: Any
    _whole: tuple[torch.Tensor, ...] | None = None
    """Both, with their room; `None` while `keys` and `values` have none."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append (B, heads, T, D) and give all there is."""
        begin = self.get_seq_length()
        end, added = begin + key_states.shape[2], (key_states, value_states)
        if self._whole is None or end > self._whole[0].shape[2]:
            held = (self.keys, self.values) if begin else (None, None)
            self._whole = tuple(map(_with_room, held, added, [end, end]))
        for whole, states in zip(self._whole, added, strict=True):
            whole[:, :, begin:end] = states
        self.keys, self.values = (whole[:, :, :end] for whole in self._whole)
        self.device, self.is_initialized = key_states.device, True
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        super().batch_repeat_interleave(repeats)
        self._whole = None

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        super().batch_select_indices(indices)
        self._whole = None


def _with_room(held: torch.Tensor | None, added: torch.Tensor, end: int) -> torch.Tensor:
    rows, heads, _, width = added.shape
    whole = added.new_empty(rows, heads, end + ROOM, width)
    if held is not None:
        whole[:, :, : held.shape[2]] = held
    return whole


def roomy_cache() -> DynamicCache:
    """An empty past whose layers have room."""
    cache = DynamicCache()
    cache.layer_class_to_replicate = _RoomyLayer
    return cache
