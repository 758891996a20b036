"""The training loop: one optimizer step a batch, yielded for the caller to log or stop."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from decompose_distill.errors import TrainingError
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.tokenize import Tokens

Logits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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
    logits = choose_logits(model)
    for number, batch in enumerate(batches, start=1):
        began = time.perf_counter()
        model.train()  # the caller may have sampled in between
        rate = config.learning_rate * schedule(number - 1, steps, config.warmup_ratio)
        optimizer.param_groups[0]["lr"] = rate
        loss = batch_loss(model, logits, batch)
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


def batch_loss(model: Any, logits: Logits, batch: Sequence[Tokens]) -> torch.Tensor:
    """Summed cross-entropy of the target tokens over their number: a scalar."""
    ids, targets = collate(batch)
    ids, targets = ids.to(model.device), targets.to(model.device)
    scores = logits(ids, targets[:, 1:])  # (targets, vocabulary)
    labels = ids[:, 1:][targets[:, 1:]]
    return F.cross_entropy(scores.float(), labels, reduction="sum") / labels.numel()


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


def choose_logits(model: Any) -> Logits:
    """Logits at target positions only, where the model's head is a plain last layer.

    Some models scale or cap their logits behind the head; comparing once on a few tokens
    tells, and those compute all logits.
    """

    def at_targets(ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        chosen: torch.Tensor = model.get_output_embeddings()(hidden[:, :-1][where])
        return chosen

    def everywhere(ids: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        chosen: torch.Tensor = model(input_ids=ids, use_cache=False).logits[:, :-1][where]
        return chosen

    model.eval()
    probe = torch.arange(8, device=model.device).unsqueeze(0)
    where = torch.ones(1, 7, dtype=torch.bool, device=model.device)
    with torch.no_grad():
        same = torch.allclose(at_targets(probe, where), everywhere(probe, where), atol=1e-3)
    return at_targets if same else everywhere
