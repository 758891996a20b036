"""Continuing prompts: the shared instruction runs once, waiting rows take finished ones' slots."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers import GenerationConfig

from decompose_distill.models.attention import (
    attempt,
    attending_by,
    logits_match,
    probe_ids,
)
from decompose_distill.models.kernels import fused_kernels
from decompose_distill.models.past import NAME, SHORTEST_SHARED, read_prompts
from decompose_distill.models.sampling import choose, draw_ahead
from decompose_distill.types import Sampling

HABITS = (
    *("do_sample", "temperature", "top_k", "top_p", "top_h", "min_p", "typical_p"),
    *("epsilon_cutoff", "eta_cutoff", "repetition_penalty", "encoder_repetition_penalty"),
    *("presence_penalty", "frequency_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "sequence_bias"),
    *("forced_bos_token_id", "forced_eos_token_id", "num_beams", "penalty_alpha"),
    *("guidance_scale", "exponential_decay_length_penalty", "watermarking_config"),
)
"""What a generation config says of which token comes next."""
LEAVING = 8
"""Finished rows leave once they are more than one in N, because leaving copies the rest."""


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    ends: frozenset[int],
    *,
    slots: int | None = None,
    fused: bool = False,
) -> list[list[int]]:
    """Continue each prompt until an end token, which is kept, or `max_new_tokens`.

    A sample depends on the seed and its own prompt, not on the other rows. Each token of the
    whole batch is read from the device once.

    Args:
        slots: Prompts that are continued at a time; by default all.
        fused: Compute norms, rotary positions and gated activations by kernels of our own.
    """
    finished = decode_by_turns(model, prompts, sampling, ends, slots or len(prompts), fused=fused)
    return [written for _, written in sorted(finished)]


@torch.inference_mode()
def decode_by_turns(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    ends: frozenset[int],
    slots: int,
    *,
    fused: bool = False,
) -> Iterator[tuple[int, list[int]]]:
    """The same, a prompt's number and what was written as soon as some are finished.

    Slots that finished prompts leave are taken by those that wait, so that all are in use until
    the last ones: a step takes nearly as long with few rows as with many.
    """
    written: list[list[int]] = [[] for _ in prompts]
    waiting, going = deque(range(len(prompts))), _Going([], [], None, None, None)

    def is_done(row: int) -> bool:
        return len(written[row]) == sampling.max_new_tokens or written[row][-1] in ends

    def step(rows: _Going) -> None:
        for row, token in zip(rows.rows, rows.step(model, sampling), strict=True):
            if not written[row] or not is_done(row):
                written[row].append(token)

    while waiting or going.rows:
        # Left between turns, in which the caller may use the model too.
        with _prepared(model, fused):
            if waiting:
                free = min(slots - len(going.rows), len(waiting))
                numbers = [waiting.popleft() for _ in range(free)]
                fresh = _Going.begin(model, numbers, [prompts[at] for at in numbers], sampling)
                step(fresh)
                going = going.join(fresh) if going.rows else fresh
            while sum(map(is_done, going.rows)) * LEAVING <= len(going.rows):
                step(going)
        yield from ((row, written[row]) for row in going.rows if is_done(row))
        going.keep([at for at, row in enumerate(going.rows) if not is_done(row)])


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


def forget_habits(config: Any) -> None:
    """Reset what a model's generation config says of which token comes next; its ends stay.

    It holds for each request that does not say otherwise, on vLLM and in `generate`: a penalty on
    repetition, as Qwen 2.5 brings one, would change what is written at temperature 0 too.
    """
    plain = GenerationConfig()
    for name in HABITS:
        if hasattr(config, name):
            setattr(config, name, getattr(plain, name, None))


def fastest_decode(
    model: Any, beyond: int = 0
) -> Callable[..., Iterator[tuple[int, list[int]]]] | None:
    """`decode_by_turns` in the cheapest form that this model computes alike, or `None`.

    A card's time for a token goes into the number of kernels, which fused ones halve; a
    processor's does not, and keeps the model's own rounding.

    Args:
        beyond: As for `follows_past`.
    """
    for fused in (True, False) if model.device.type == "cuda" else (False,):
        if follows_past(model, beyond, fused=fused):
            return partial(decode_by_turns, fused=fused)
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
            past, tokens = read_prompts(model, prompts, 1)
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


@dataclass
class _Going:
    """Rows that are being continued, all of them by one token a step."""

    rows: list[int]
    """Numbers of their prompts."""
    spans: list[int]
    """Slots from the first to the last of each; others' padding may lie between."""
    past: Any
    tokens: Any
    """Read next (B, T)."""
    draws: Any
    """Of the tokens to come (B, N)."""

    @classmethod
    def begin(
        cls, model: Any, rows: list[int], prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> "_Going":
        """Rows of which nothing is written yet."""
        # Drawn before the first token, so that no sample depends on when other rows leave.
        draws = draw_ahead(prompts, sampling, model.device)
        past, tokens = read_prompts(model, prompts, sampling.max_new_tokens)
        return cls(rows, [past.length] * len(rows), past, tokens, draws)

    def step(self, model: Any, sampling: Sampling) -> list[int]:
        """The next token of each row, read from the device."""
        logits = self.past.next_logits(model, self.tokens)
        self.spans = [span + self.tokens.shape[1] for span in self.spans]
        chosen = choose(logits, sampling, self.draws[:, 0])
        self.tokens, self.draws = chosen.unsqueeze(1), self.draws[:, 1:]
        tokens: list[int] = chosen.tolist()
        return tokens

    def keep(self, at: list[int]) -> None:
        """Forget all other rows."""
        self.rows, self.spans = [self.rows[row] for row in at], [self.spans[row] for row in at]
        if self.rows:
            index = torch.tensor(at, device=self.tokens.device)
            self.past.keep(index)
            self.tokens, self.draws = self.tokens[index], self.draws[index]

    def join(self, others: "_Going") -> "_Going":
        """All rows as one batch."""
        self.past.join(others.past, max(self.spans))
        width = max(self.draws.shape[1], others.draws.shape[1])
        both = [F.pad(draws, (0, width - draws.shape[1])) for draws in (self.draws, others.draws)]
        tokens = torch.cat([self.tokens, others.tokens])
        rows, spans = self.rows + others.rows, self.spans + others.spans
        return _Going(rows, spans, self.past, tokens, torch.cat(both))


@contextmanager
def _prepared(model: Any, fused: bool) -> Iterator[None]:
    """Let a model attend to its past by `_attend`."""
    with attending_by(model, NAME), fused_kernels(model) if fused else nullcontext():
        yield


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
