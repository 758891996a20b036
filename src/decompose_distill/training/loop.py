"""The training loop: one optimizer step a batch, yielded for the caller to log or stop."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from decompose_distill.decoding import SHORTEST_SHARED, common_prefix, run_prefix
from decompose_distill.errors import TrainingError
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.tokenize import Tokens

Forward = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""Ids (B, T), where the targets are (B, T) and the length of the prefix all rows share, to the
logits of the targets (targets, vocabulary)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One finished optimizer step."""

    number: int
    """From 1."""
    loss: float
    """Nats a target token, over the whole step, before the update."""
    learning_rate: float
    examples: int
    seconds: float


def train(
    model: Any, batches: Iterable[Sequence[Tokens]], steps: int, config: DistillConfig
) -> Iterator[Step]:
    """Train a model in place, yielding after each step.

    Args:
        model: A Hugging Face causal language model.
        batches: One a step.
        steps: How many there will be, for the schedule.

    Raises:
        TrainingError: The loss is not finite; the message names the batch.
    """
    torch.manual_seed(config.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=0.0, fused=True
    )
    forward = choose_forward(model)
    for number, batch in enumerate(batches, start=1):
        began = time.perf_counter()
        model.train()  # the caller may have sampled in between
        rate = config.learning_rate * schedule(number - 1, steps, config.warmup_ratio)
        optimizer.param_groups[0]["lr"] = rate
        loss = batch_loss(model, forward, batch)
        if not math.isfinite(value := loss.item()):
            names = ", ".join(row.name for row in batch)
            raise TrainingError(f"loss is {value} at step {number}, on traces {names}")
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        yield Step(number, value, rate, len(batch), time.perf_counter() - began)


def schedule(done: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak learning rate: linear rise, then half a cosine down to 0."""
    warmup = max(1, round(steps * warmup_ratio))
    if done < warmup:
        return (done + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, steps - warmup)))


def batch_loss(model: Any, forward: Forward, batch: Sequence[Tokens]) -> torch.Tensor:
    """Summed cross-entropy of the target tokens over their number: a scalar."""
    ids, targets = collate(batch)
    ids, targets = ids.to(model.device), targets.to(model.device)
    logits = forward(ids, targets, shared_prefix(batch))
    labels = ids[targets]
    return F.cross_entropy(logits.float(), labels, reduction="sum") / labels.numel()


def collate(batch: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T), padded right with 0, and where the targets are (B, T).

    Right padding needs no attention mask: a causal model never looks ahead, and the padding
    itself is no target.
    """
    width = max(len(row.ids) for row in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.zeros(len(batch), width, dtype=torch.bool)
    for place, row in enumerate(batch):
        ids[place, : len(row.ids)] = torch.tensor(row.ids)
        targets[place, row.start : len(row.ids)] = True
    return ids, targets


def shared_prefix(batch: Sequence[Tokens]) -> int:
    """Prompt tokens all rows begin with, short of the last, which predicts a target.

    0 where running them once would save less than the second pass over the weights costs.
    """
    length = common_prefix([row.ids[: row.start] for row in batch])
    return length if length * (len(batch) - 1) >= LEAST_SAVED else 0


LEAST_SAVED = 512
"""Tokens; measured with 135M weights on two cores, where 112 saved ones made a step slower."""


def choose_forward(model: Any) -> Forward:
    """The cheapest way to the target's logits that this model computes alike.

    A plain head is applied to the target positions only, and the instruction that all rows of a
    batch share is run once. Some models scale or cap their logits behind the head, or keep
    their past in another form; comparing once on a few tokens tells.
    """

    def shared(ids: torch.Tensor, targets: torch.Tensor, prefix: int) -> torch.Tensor:
        past = run_prefix(model, ids[0, :prefix].tolist(), len(ids))
        rest = model.base_model(input_ids=ids[:, prefix:], past_key_values=past, use_cache=True)
        return head(rest.last_hidden_state[:, :-1][targets[:, prefix + 1 :]])

    def alone(ids: torch.Tensor, targets: torch.Tensor, prefix: int) -> torch.Tensor:
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return head(hidden[:, :-1][targets[:, 1:]])

    def plain(ids: torch.Tensor, targets: torch.Tensor, prefix: int) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
        return logits[:, :-1][targets[:, 1:]]

    def fast(ids: torch.Tensor, targets: torch.Tensor, prefix: int) -> torch.Tensor:
        return (shared if prefix else alone)(ids, targets, prefix)

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits

    return next((way for way in (fast, alone) if _agree(model, way, plain)), plain)


def _agree(model: Any, one: Forward, other: Forward) -> bool:
    """Whether two ways give the same logits on two short rows that share a prefix."""
    ids = torch.arange(2 * SHORTEST_SHARED, device=model.device).repeat(2, 1)
    ids[1, SHORTEST_SHARED:] += 1
    targets = torch.zeros_like(ids, dtype=torch.bool)
    targets[:, SHORTEST_SHARED + 1 :] = True
    model.eval()
    try:
        with torch.no_grad():
            found, wanted = (way(ids, targets, SHORTEST_SHARED) for way in (one, other))
    except (TypeError, AttributeError, NotImplementedError, ValueError):
        return False  # another kind of cache, or no head of its own
    rounding = 1e-4 if wanted.dtype == torch.float32 else 0.02  # bfloat16 keeps three digits
    return bool((found - wanted).abs().max() <= rounding * wanted.abs().max())
