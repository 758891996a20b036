"""The training loop: yields after each optimizer step, for the caller to log, save or stop."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from decompose_distill.errors import TrainingError
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.tokenization import TokenizedExample
from decompose_distill.training.engine.forward import Forward, choose_forward
from decompose_distill.training.engine.loss import count_targets, is_out_of_memory, summed_loss
from decompose_distill.training.engine.optimizer import Optimizer, lr_factor


@dataclass(frozen=True, slots=True)
class TrainStep:
    """One finished optimizer step."""

    number: int
    """From 1."""
    loss: float
    """Nats a target token, over the whole step, before the update."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    examples: int
    micro_batch_size: int
    """Examples a forward pass."""
    out_of_memory: bool
    """Whether memory ran out before that many were few enough."""
    seconds: float


def train(
    model: Any,
    optimizer: Optimizer,
    batches: Iterable[Sequence[TokenizedExample]],
    steps: int,
    config: DistillConfig,
    *,
    done: int = 0,
) -> Iterator[TrainStep]:
    """Train a model in place, yielding after each step.

    Args:
        model: A Hugging Face causal language model.
        batches: The rows of one step each; those of finished steps left out.
        steps: How many there are in the whole run, for the schedule.
        done: Steps finished before, by an earlier call.

    Raises:
        TrainingError: A loss or gradient is not finite, or one example exceeds the memory; the
            message names the traces.
    """
    forward = choose_forward(model, config)
    most = config.micro_batch_size or config.batch_size
    for number, rows in enumerate(batches, start=done + 1):
        began = time.perf_counter()
        torch.manual_seed(config.seed + number)  # by step, so that a resumed run draws the same
        model.train()  # the caller may have sampled in between
        share = lr_factor(number - 1, steps, config.warmup_ratio, config.schedule)
        rate = config.learning_rate * share
        micro = min(most, config.micro_batch_size or _pass_size(model, rows))
        loss, fitting = _accumulate(forward, optimizer, rows, micro, config.packing)
        short = fitting < micro
        most = fitting if short else most
        norm = optimizer.step(rate)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"loss is {loss} and gradient norm {norm} at step {number}, on traces "
                f"{_names(rows)}: try a smaller learning_rate or dtype='float32'"
            )
        seconds = time.perf_counter() - began
        yield TrainStep(number, loss, rate, norm, len(rows), fitting, short, seconds)


def _accumulate(
    forward: Forward,
    optimizer: Optimizer,
    rows: Sequence[TokenizedExample],
    micro: int,
    packing: bool,
) -> tuple[float, int]:
    """Gradients of the step's mean loss, in parts that fit the memory: the loss, their size."""
    while True:
        try:
            return _backward(forward, rows, micro, packing), micro
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if micro == 1:
                raise TrainingError(
                    f"out of memory with one example a pass, on traces {_names(rows)}: use "
                    "gradient_checkpointing=True or lora_rank=8, or drop the longest traces"
                ) from error
        optimizer.zero_grad()  # outside the handler, where the tensors of the attempt are gone
        micro = -(-micro // 2)


def _backward(
    forward: Forward, rows: Sequence[TokenizedExample], micro: int, packing: bool
) -> float:
    total, loss = count_targets(rows), 0.0
    for start in range(0, len(rows), micro):
        part = summed_loss(forward, rows[start : start + micro], packing=packing) / total
        torch.autograd.backward(part)
        loss += part.item()
    return loss


def _pass_size(model: Any, rows: Sequence[TokenizedExample]) -> int:
    """Examples a pass where nobody says: all of them, on a processor about `PASS_TOKENS`."""
    if model.device.type != "cpu":
        return len(rows)
    passes = -(-sum(len(row.ids) for row in rows) // PASS_TOKENS)
    return -(-len(rows) // passes)


PASS_TOKENS = 1024
"""More at once are no faster on a processor, and activations are most of the memory."""


def _names(rows: Sequence[TokenizedExample]) -> str:
    return ", ".join(row.name for row in rows)
