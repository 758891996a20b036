"""Continuing a batch of prompts: the shared instruction runs once, finished rows leave."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, GenerationConfig

from decompose_distill.models.attention import (
    attempt,
    attending_by,
    fused_attention,
    logits_match,
    probe_ids,
    product_attention,
    window_of,
)
from decompose_distill.models.kernels import fused_kernels
from decompose_distill.models.past import roomy_cache
from decompose_distill.models.sampling import choose, draw_ahead
from decompose_distill.types import Sampling

NAME = "decompose_distill_cached"
SHORTEST_SHARED = 8
"""Fewer shared tokens than this are not worth a pass of their own."""
LEAVING = 8
"""Finished rows leave once they are more than one in N, because leaving copies the rest."""
PADDING = -1


@torch.inference_mode()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    ends: frozenset[int],
    *,
    fused: bool = False,
) -> list[list[int]]:
    """Continue each prompt until an end token, which is kept, or `max_new_tokens`.

    A sample depends on the seed and its own prompt, not on the other rows. Each token of the
    whole batch is read from the device once.

    Args:
        fused: Compute norms, rotary positions and gated activations by kernels of our own.
    """
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))  # which prompt each row of the batch belongs to
    # Drawn before the first token, so that no sample depends on when other rows leave.
    draws = draw_ahead(prompts, sampling, model.device)
    with _prepared(model, fused):
        past, tokens = _read_prompts(model, prompts, sampling.max_new_tokens)
        for number in range(sampling.max_new_tokens):
            chosen = choose(past.next_logits(model, tokens), sampling, draws[:, number])
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if not written[row] or written[row][-1] not in ends:
                    written[row].append(token)
            going = [at for at, row in enumerate(rows) if written[row][-1] not in ends]
            if not going:
                break
            tokens = chosen.unsqueeze(1)
            if (len(rows) - len(going)) * LEAVING > len(rows):
                keep = torch.tensor(going, device=model.device)
                past.keep(keep)
                tokens, draws, rows = tokens[keep], draws[keep], [rows[at] for at in going]
    return written


@torch.inference_mode()
def generate_plainly(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    ends: frozenset[int],
    *,
    pad: int,
    together: bool = True,
) -> list[list[int]]:
    """Continue each prompt by transformers' `generate`, for models with a past of another kind.

    Args:
        pad: Token id to pad with, left.
        together: Whether the model ignores padding, so that prompts may share a batch.
    """
    if not together:
        return [generate_plainly(model, [prompt], sampling, ends, pad=pad)[0] for prompt in prompts]
    width = max(map(len, prompts))
    sampled = bool(sampling.temperature)
    torch.manual_seed(sampling.seed or 0)
    output = model.generate(
        **_padded_left(prompts, pad, model.device),
        generation_config=GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            do_sample=sampled,
            temperature=sampling.temperature if sampled else None,
            top_p=sampling.top_p if sampled else None,
            top_k=0 if sampled else None,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
        ),
    )
    written: list[list[int]] = output[:, width:].tolist()
    return written


def fastest_decode(model: Any, beyond: int = 0) -> Callable[..., list[list[int]]] | None:
    """`decode` in the cheapest form that this model computes alike, or `None`.

    A card's time for a token goes into the number of kernels, which fused ones halve; a
    processor's does not, and keeps the model's own rounding.

    Args:
        beyond: As for `follows_past`.
    """
    for fused in (True, False) if model.device.type == "cuda" else (False,):
        if follows_past(model, beyond, fused=fused):
            return partial(decode, fused=fused)
    return None


def follows_past(model: Any, beyond: int = 0, *, fused: bool = False) -> bool:
    """Whether a model goes on from a shared past as if it had read each prompt whole.

    Args:
        beyond: Tokens that the longer of the two prompts compared has at least.
        fused: As for `decode`.
    """
    if getattr(model.config.get_text_config(), "attention_chunk_size", None):
        return False  # attention functions are not told of chunks
    prompts = _two_prompts(model, beyond)

    def batched() -> torch.Tensor:
        with _prepared(model, fused):
            past, tokens = _read_prompts(model, prompts, 1)
            return past.next_logits(model, tokens)

    return logits_match(attempt(batched), _alone(model, prompts))


def ignores_padding(model: Any, pad: int) -> bool:
    """Whether a model that reads prompts padded left goes on as if it had read each alone."""
    prompts = _two_prompts(model, 0)
    inputs = _padded_left(prompts, pad, model.device)
    once = GenerationConfig(
        max_new_tokens=1,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=pad,
    )
    padded = attempt(lambda: model.generate(**inputs, generation_config=once).logits[0])
    return logits_match(padded, _alone(model, prompts))


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens all prompts begin with, short of the last of any; 0 if they are too few to matter."""
    # In sorted order the outermost two differ first, so that no other pair need be compared.
    first, *_, last = sorted(map(list, [*prompts, *prompts[:1]]))
    most = min(map(len, prompts)) - 1
    same = next((index for index in range(most) if first[index] != last[index]), most)
    return same if same >= SHORTEST_SHARED else 0


@dataclass
class _Past:
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


@contextmanager
def _prepared(model: Any, fused: bool) -> Iterator[None]:
    """Let a model attend to its past by `_attend`."""
    with attending_by(model, NAME), fused_kernels(model) if fused else nullcontext():
        yield


def _read_prompts(
    model: Any, prompts: Sequence[Sequence[int]], new: int
) -> tuple[_Past, torch.Tensor]:
    """The past after what all prompts begin with, and what each has behind it, padded left."""
    prefix, width = common_prefix(prompts), max(map(len, prompts))
    rest, positions = [], []
    for prompt in prompts:
        padding = width - len(prompt)
        rest.append([0] * padding + list(prompt[prefix:]))
        behind = range(prefix, len(prompt) + new)
        positions.append([*range(prefix), *[PADDING] * padding, *behind])
    past = _Past(roomy_cache(), torch.tensor(positions, device=model.device))
    if prefix:
        # Read once as a batch of one row, then copied for the others.
        alone = _Past(past.cache, past.positions[:1])
        ids = torch.tensor([list(prompts[0][:prefix])], device=model.device)
        alone.next_logits(model, ids)
        past.cache.batch_repeat_interleave(len(prompts))
        past.length = prefix
    return past, torch.tensor(rest, device=model.device)


def _past_argument(model: Any, past: DynamicCache) -> dict[str, DynamicCache]:
    """A past under the name this model takes it by: transformers 5.24 renamed it."""
    names = inspect.signature(model.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": past}


def _padded_left(
    prompts: Sequence[Sequence[int]], pad: int, device: torch.device
) -> dict[str, torch.Tensor]:
    width = max(map(len, prompts))
    rows = [[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    tensor = partial(torch.tensor, device=device)
    return {"input_ids": tensor(rows), "attention_mask": tensor(mask)}


def _two_prompts(model: Any, beyond: int) -> list[list[int]]:
    """Prompts of unlike length with a common beginning."""
    ids = probe_ids(model, 32 + beyond)
    return [ids[: 24 + beyond], [*ids[:SHORTEST_SHARED], *ids[25 + beyond :]]]


def _alone(model: Any, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (B, vocabulary) of what comes next, each prompt read whole."""
    with torch.inference_mode():
        rows = [torch.tensor([list(prompt)], device=model.device) for prompt in prompts]
        return torch.cat([model(input_ids=row, use_cache=False).logits[:, -1] for row in rows])
