"""The training loop, and the loss on rows that are held out."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import torch

from decompose_distill.errors import TrainingError
from decompose_distill.models.attention import is_out_of_memory
from decompose_distill.models.loading import recompute_activations
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.batching import split_rows
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine.forward import Forward
from decompose_distill.training.engine.loss import count_targets
from decompose_distill.training.engine.optimizer import Optimizer, lr_factor

POOL = 256
"""Rows read from disk at a time."""


@torch.no_grad()
def validation_loss(forward: Forward, rows: Sequence[TokenizedExample]) -> float:
    """Mean nats per target token over all rows."""
    forward.model.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    pools = ([rows[at] for at in order[i : i + POOL]] for i in range(0, len(order), POOL))
    with forward.applied():
        parts = (part for pool in pools for part in split_rows(pool, forward.tokens))
        losses = [_halving_loss(forward, part) for part in parts]
    return float(torch.stack(losses).double().sum()) / count_targets(rows)


def _halving_loss(forward: Forward, rows: Sequence[TokenizedExample]) -> torch.Tensor:
    """Summed loss, in halves if the memory runs out."""
    try:
        return forward.loss(forward.lay(rows))
    except RuntimeError as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
    half = len(rows) // 2  # outside the handler, where the tensors of the attempt are gone
    return _halving_loss(forward, rows[:half]) + _halving_loss(forward, rows[half:])


Rows = Sequence[TokenizedExample]


@dataclass(frozen=True, slots=True)
class TrainStep:
    """One finished optimizer step."""

    number: int
    """From 1."""
    loss: float
    """Nats per target token, over the whole step, before the update."""
    _: KW_ONLY
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    examples: int
    tokens: int
    """Of the examples, prompts included."""
    tokens_per_pass: int
    """Of the largest forward pass."""
    out_of_memory: bool
    """Whether memory ran out before that few were few enough."""
    seconds: float


def train(
    forward: Forward,
    optimizer: Optimizer,
    batches: Iterable[Rows],
    steps: int,
    config: DistillConfig,
    *,
    done: int = 0,
) -> Iterator[TrainStep]:
    """Train a model in place, yielding after each step.

    Args:
        forward: The way through the model, of `choose_forward`.
        batches: The rows of one step each; those of finished steps left out.
        steps: How many there are in the whole run, for the schedule.
        done: Steps finished before, by an earlier call.

    Raises:
        TrainingError: A loss or gradient is not finite, or one example exceeds the memory; the
            message names the traces.
    """
    tokens, short = forward.tokens, False
    for number, rows in enumerate(batches, start=done + 1):
        began = time.perf_counter()
        torch.manual_seed(config.seed + number)  # by step, so that a resumed run draws the same
        forward.model.train()  # the caller may have sampled in between
        factor = lr_factor(number - 1, steps, config.warmup_ratio, config.schedule)
        rate = config.learning_rate * factor
        passes = split_rows(rows, tokens, None if short else config.micro_batch_size)
        with forward.applied():
            summed, fitting = _accumulate(forward, optimizer, rows, passes)
        # One read per step: everything before it is only queued on a card.
        loss, norm = torch.stack([summed, optimizer.step(rate)]).tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"loss is {loss} and gradient norm {norm} at step {number}, on traces "
                f"{_names(rows)}: try a smaller learning_rate or dtype='float32'"
            )
        most, halved = max(map(_count, fitting)), len(fitting) > len(passes)
        tokens, short = (most, True) if halved else (tokens, short)
        yield TrainStep(
            number,
            loss,
            learning_rate=rate,
            grad_norm=norm,
            examples=len(rows),
            tokens=_count(rows),
            tokens_per_pass=most,
            out_of_memory=halved,
            seconds=time.perf_counter() - began,
        )


def _accumulate(
    forward: Forward, optimizer: Optimizer, rows: Rows, passes: Sequence[Rows]
) -> tuple[torch.Tensor, Sequence[Rows]]:
    """Gradients of the step's mean loss, in passes that fit the memory: the loss, the passes."""
    recomputed = False
    while True:
        try:
            return _backward(forward, passes, count_targets(rows)), passes
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            single = len(passes) == len(rows)
            if single and recomputed:
                raise TrainingError(
                    f"out of memory with one example per pass, on traces {_names(rows)}: use "
                    "lora_rank=8, or drop the longest traces"
                ) from error
        optimizer.zero_grad()  # outside the handler, where the tensors of the attempt are gone
        if single:
            recompute_activations(forward.model)
            recomputed = True
        else:
            passes = split_rows(rows, max(map(_count, passes)) // 2)


def _backward(forward: Forward, passes: Sequence[Rows], targets: int) -> torch.Tensor:
    losses = []
    for rows in passes:
        # A share of the step's targets, not of the pass's: passes differ in theirs.
        loss = forward.loss(forward.lay(rows), 1 / targets)
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _count(rows: Rows) -> int:
    return sum(len(row.ids) for row in rows)


def _names(rows: Rows) -> str:
    return ", ".join(row.name for row in rows)
