"""Which token comes next: the likeliest, or one drawn by numbers of a prompt's own seed."""

import random
from collections.abc import Sequence
from hashlib import sha256

import torch

from decompose_distill.types import Sampling


def draw_ahead(
    prompts: Sequence[Sequence[int]], sampling: Sampling, device: torch.device
) -> torch.Tensor:
    """Numbers from 0 to 1 (B, new tokens) that decide the samples, of each prompt's own seed."""
    count = sampling.max_new_tokens
    if not sampling.temperature:
        return torch.zeros(len(prompts), count, device=device)
    dice = [_die(prompt, sampling.seed or 0) for prompt in prompts]
    return torch.tensor([[die.random() for _ in range(count)] for die in dice], device=device)


def choose(logits: torch.Tensor, sampling: Sampling, drawn: torch.Tensor) -> torch.Tensor:
    """The next token of each row (B,): the likeliest, or the one drawn from the nucleus."""
    if not sampling.temperature:
        return logits.argmax(dim=-1)
    shares = torch.softmax(logits.float() / sampling.temperature, dim=-1)
    shares, order = shares.sort(dim=-1, descending=True)
    before = shares.cumsum(dim=-1) - shares
    nucleus = 1.0 if sampling.top_p is None else sampling.top_p
    # Kept if the likelier ones hold less than the nucleus: the likeliest always is.
    upto = (shares * (before < nucleus)).cumsum(dim=-1)
    # The draw is scaled to the kept shares' sum, which saves dividing each of them.
    ranks = torch.searchsorted(upto, drawn[:, None] * upto[:, -1:], right=True)
    ranks = ranks.clamp(max=logits.shape[-1] - 1)  # a draw of 1, by rounding
    return order.gather(1, ranks).squeeze(1)


def _die(prompt: Sequence[int], seed: int) -> random.Random:
    return random.Random(sha256(f"{seed} {list(prompt)}".encode()).digest())
