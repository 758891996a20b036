"""The past of a batch: what was read, in memory with room for more, and attention to it."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer

from decompose_distill.models.attention import fused_attention, product_attention, window_of

NAME = "decompose_distill_cached"
SHORTEST_SHARED = 8
"""Fewer shared tokens than this are not worth a pass of their own."""
PADDING = -1
ROOM = 128
"""Tokens that memory is set aside for at a time."""


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens all prompts begin with, short of the last of any; 0 if they are too few to matter."""
    # In sorted order the outermost two differ first, so that no other pair need be compared.
    first, *_, last = sorted(map(list, [*prompts, *prompts[:1]]))
    most = min(map(len, prompts)) - 1
    same = next((index for index in range(most) if first[index] != last[index]), most)
    return same if same >= SHORTEST_SHARED else 0


@dataclass
class Past:
    """What a batch has read: keys and values, and the position of each slot of them."""

    cache: DynamicCache
    positions: torch.Tensor
    """Position of each slot in its own text (B, slots), also of later ones; else `PADDING`."""
    length: int = 0
    """Slots that are filled."""

    def next_logits(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (B, vocabulary) of what comes next; the past grows by the tokens (B, T)."""
        begin, self.length = self.length, self.length + tokens.shape[1]
        seen = self.positions[:, : self.length]
        output = model(
            input_ids=tokens,
            position_ids=seen[:, begin:].clamp(min=0),
            sight=_Sight(seen[:, begin:], seen),
            use_cache=True,
            logits_to_keep=1,
            **_past_argument(model, self.cache),
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Forget all other rows."""
        self.cache.batch_select_indices(rows)
        self.positions = self.positions[rows]

    def join(self, other: "Past", longest: int) -> None:
        """Take in the rows of another past; slots before the `longest` last ones are dropped."""
        length, theirs = max(longest, other.length), other.length
        join_layers(self.cache, other.cache, longest)
        known = [
            F.pad(positions, (length - positions.shape[1], 0), value=PADDING)
            for positions in (
                self.positions[:, self.length - longest : self.length],
                other.positions[:, :theirs],
            )
        ]
        before = torch.cat(known)
        new = torch.arange(1, other.positions.shape[1] - theirs + 1, device=before.device)
        self.positions = torch.cat([before, before[:, -1:] + new], dim=1)
        self.length = length


@dataclass
class _Sight:
    """Which keys queries see: none of later tokens, of padding, or beyond a layer's window."""

    queries: torch.Tensor
    """Positions (B, T)."""
    keys: torch.Tensor
    """Positions (B, slots)."""
    known: dict[int | None, torch.Tensor] = field(default_factory=dict)
    """By window: layers of one window share it."""

    def mask(self, window: int | None) -> torch.Tensor:
        """Slots that queries see (B, 1, T, slots), as booleans."""
        if window not in self.known:
            back = self.queries[:, :, None] - self.keys[:, None, :]
            seen = (back >= 0) & (self.keys >= 0)[:, None, :]
            seen = seen if window is None else seen & (back < window)
            padding = (self.queries < 0)[:, :, None]  # sees all, for a share to be a number
            self.known[window] = (seen | padding)[:, None]
        return self.known[window]


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    sight: _Sight,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Mix values (B, heads, T, D) as transformers' attention functions do: (B, T, heads, D)."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    seen = sight.mask(window_of(module, sliding_window))
    if softcap is None and s_aux is None:
        return fused_attention(query, key, value, scale, seen).transpose(1, 2), None
    mask = torch.zeros_like(seen, dtype=query.dtype).masked_fill_(~seen, -torch.inf)
    mixed = product_attention(query, key, value, scale, mask, softcap=softcap, sinks=s_aux)
    return mixed.transpose(1, 2), None


AttentionInterface.register(NAME, _attend)


def read_prompts(
    model: Any, prompts: Sequence[Sequence[int]], new: int
) -> tuple[Past, torch.Tensor]:
    """The past after what all prompts begin with, and what each has behind it, padded left."""
    prefix, width = common_prefix(prompts), max(map(len, prompts))
    rest, positions = [], []
    for prompt in prompts:
        padding = width - len(prompt)
        rest.append([0] * padding + list(prompt[prefix:]))
        behind = range(prefix, len(prompt) + new)
        positions.append([*range(prefix), *[PADDING] * padding, *behind])
    past = Past(roomy_cache(), torch.tensor(positions, device=model.device))
    if prefix:
        # Read once as a batch of one row, then copied for the others.
        alone = Past(past.cache, past.positions[:1])
        ids = torch.tensor([list(prompts[0][:prefix])], device=model.device)
        alone.next_logits(model, ids)
        past.cache.batch_repeat_interleave(len(prompts))
        past.length = prefix
    return past, torch.tensor(rest, device=model.device)


def _past_argument(model: Any, past: DynamicCache) -> dict[str, DynamicCache]:
    """A past under the name this model takes it by: transformers 5.24 renamed it."""
    names = inspect.signature(model.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": past}


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

    def join(self, other: "_RoomyLayer", longest: int) -> None:
        """Take in the rows of another layer, ends side by side, and none before the `longest`."""
        parts = (self.keys[:, :, -longest:], self.values[:, :, -longest:])
        length = max(longest, other.keys.shape[2])
        self._whole = tuple(map(_joined, parts, (other.keys, other.values), [length, length]))
        self.keys, self.values = (whole[:, :, :length] for whole in self._whole)


def _joined(first: torch.Tensor, second: torch.Tensor, length: int) -> torch.Tensor:
    """Two batches of rows as one, with room; padding is 0, as its share of attention is."""
    rows, heads, mine, width = first.shape
    whole = first.new_zeros(rows + len(second), heads, length + ROOM, width)
    whole[:rows, :, length - mine : length] = first
    whole[rows:, :, length - second.shape[2] : length] = second
    return whole


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


def join_layers(past: DynamicCache, other: DynamicCache, longest: int) -> None:
    """Take the rows of another past into one, layer by layer, and no slots before the `longest`."""
    for layer, beside in zip(past.layers, other.layers, strict=True):
        layer.join(beside, longest)
