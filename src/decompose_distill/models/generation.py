"""Continuing a batch of prompts: the shared instruction runs once, finished rows leave."""

import inspect
import random
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import torch
from transformers import DynamicCache

from decompose_distill.models.probing import attempt, logits_match, probe_ids
from decompose_distill.types import Sampling

SHORTEST_SHARED = 8
"""Fewer shared tokens than this are not worth a pass of their own."""
LEAVING = 8
"""Finished rows leave once they are more than one in so many, as leaving copies the rest."""


@torch.inference_mode()
def decode(
    model: Any, prompts: Sequence[Sequence[int]], sampling: Sampling, ends: frozenset[int]
) -> list[list[int]]:
    """Continue each prompt until an end token, which is kept, or `max_new_tokens`.

    A sample depends on the seed and its own prompt, not on the other rows.
    """
    written: list[list[int]] = [[] for _ in prompts]
    dice = [_die(prompt, sampling.seed or 0) for prompt in prompts]
    rows = list(range(len(prompts)))  # which prompt each row of the batch belongs to
    prefix = common_prefix(prompts)
    past = run_prefix(model, prompts[0][:prefix], len(prompts))
    tokens, mask = _pad_left(model, prompts, prefix)
    for _ in range(sampling.max_new_tokens):
        logits = _step(model, tokens, mask, past)
        chosen = _choose(logits, sampling, [dice[row] for row in rows])
        for row, token in zip(rows, chosen, strict=True):
            if not written[row] or written[row][-1] not in ends:
                written[row].append(token)
        going = [at for at, row in enumerate(rows) if written[row][-1] not in ends]
        if not going:
            break
        tokens = torch.tensor(chosen, device=model.device).unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        if (len(rows) - len(going)) * LEAVING > len(rows):
            keep = torch.tensor(going, device=model.device)
            past.batch_select_indices(keep)
            tokens, mask, rows = tokens[keep], mask[keep], [rows[at] for at in going]
    return written


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Tokens all prompts begin with, short of the last of any; 0 where too few to matter."""
    first, *_, last = sorted(map(list, [*prompts, *prompts[:1]]))
    most = min(map(len, prompts)) - 1
    same = next((place for place in range(most) if first[place] != last[place]), most)
    return same if same >= SHORTEST_SHARED else 0


def run_prefix(model: Any, prefix: Sequence[int], rows: int) -> DynamicCache:
    """The past after a prefix, for so many rows; an empty one for no prefix."""
    past = DynamicCache(config=model.config)
    if prefix:
        ids = torch.tensor([list(prefix)], device=model.device)
        model.base_model(input_ids=ids, use_cache=True, **past_argument(model.base_model, past))
        past.batch_repeat_interleave(rows)
    return past


def past_argument(model: Any, past: DynamicCache) -> dict[str, DynamicCache]:
    """A past under the name this model takes it by: transformers 5.24 renamed it."""
    names = inspect.signature(model.forward).parameters
    return {"cache" if "cache" in names else "past_key_values": past}


def follows_past(model: Any) -> bool:
    """Whether a model goes on from a shared past as if it had read each prompt whole."""
    ids = probe_ids(model, 24)
    whole = [ids[:16], [*ids[:SHORTEST_SHARED], *ids[16:]][:15]]
    prefix = common_prefix(whole)

    def batched() -> torch.Tensor:
        tokens, mask = _pad_left(model, whole, prefix)
        return _step(model, tokens, mask, run_prefix(model, whole[0][:prefix], 2))

    rows = [torch.tensor([ids], device=model.device) for ids in whole]
    with torch.inference_mode():
        wanted = torch.cat([model(input_ids=ids).logits[:, -1] for ids in rows])
        return logits_match(attempt(batched), wanted)


def _pad_left(
    model: Any, prompts: Sequence[Sequence[int]], prefix: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What follows the prefix, (B, T), padded left, and the mask over prefix and it."""
    width = max(map(len, prompts))
    padding = [width - len(prompt) for prompt in prompts]
    rest = [[0] * pad + list(prompt[prefix:]) for pad, prompt in zip(padding, prompts, strict=True)]
    mask = torch.ones(len(prompts), width, dtype=torch.long, device=model.device)
    for row, pad in enumerate(padding):
        mask[row, prefix : prefix + pad] = 0
    return torch.tensor(rest, device=model.device), mask


def _step(model: Any, tokens: torch.Tensor, mask: torch.Tensor, past: DynamicCache) -> torch.Tensor:
    """Logits (B, vocabulary) of what comes next; the past grows by the tokens (B, T)."""
    places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=places,
        use_cache=True,
        logits_to_keep=1,
        **past_argument(model, past),
    )
    logits: torch.Tensor = output.logits[:, -1]
    return logits


def _choose(logits: torch.Tensor, sampling: Sampling, dice: Sequence[random.Random]) -> list[int]:
    """The next token of each row: the likeliest, or one drawn from the nucleus."""
    if not sampling.temperature:
        return [int(token) for token in logits.argmax(dim=-1)]
    shares = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    shares, order = shares.sort(dim=-1, descending=True)
    before = shares.cumsum(dim=-1) - shares
    upto = (shares * (before < (sampling.top_p or 1.0))).cumsum(dim=-1)
    drawn = torch.tensor([[die.random()] for die in dice], device=logits.device)
    places = torch.searchsorted(upto, drawn * upto[:, -1:], right=True)
    places = places.clamp(max=logits.shape[-1] - 1)
    return [int(token) for token in order.gather(1, places).squeeze(1)]


def _die(prompt: Sequence[int], seed: int) -> random.Random:
    return random.Random(sha256(f"{seed} {list(prompt)}".encode()).digest())
