"""The training loop: yields after each optimizer step, for the caller to log, save or stop."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from decompose_distill.errors import ConfigError, TrainingError
from decompose_distill.models.generation import (
    SHORTEST_SHARED,
    agree,
    past_argument,
    probe_ids,
    run_prefix,
)
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.batching import Batch, collate, packed_mask, packed_positions
from decompose_distill.training.data.tokenization import Tokens
from decompose_distill.training.engine.optimizer import Optimizer, scheduled

Forward = Callable[[Batch], torch.Tensor]
"""A batch to the logits of its targets (targets, vocabulary)."""


@dataclass(frozen=True, slots=True)
class Step:
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
    batches: Iterable[Sequence[Tokens]],
    steps: int,
    config: DistillConfig,
    *,
    done: int = 0,
) -> Iterator[Step]:
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
        share = scheduled(number - 1, steps, config.warmup_ratio, config.schedule)
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
        yield Step(number, loss, rate, norm, len(rows), fitting, short, seconds)


@torch.no_grad()
def validation_loss(model: Any, rows: Sequence[Tokens], config: DistillConfig) -> float:
    """Mean nats a target token over all rows."""
    forward = choose_forward(model, replace(config, packing=False))
    model.eval()
    size = config.micro_batch_size or config.batch_size
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    batches = ([rows[at] for at in order[i : i + size]] for i in range(0, len(order), size))
    return sum(_halving_loss(forward, each) for each in batches) / _targets(rows)


def _halving_loss(forward: Forward, rows: Sequence[Tokens]) -> float:
    """Summed loss, in halves where the memory runs out."""
    try:
        return summed_loss(forward, rows).item()
    except RuntimeError as error:
        if len(rows) == 1 or not _out_of_memory(error):
            raise
    half = len(rows) // 2  # outside the handler, where the tensors of the attempt are gone
    return _halving_loss(forward, rows[:half]) + _halving_loss(forward, rows[half:])


def summed_loss(forward: Forward, rows: Sequence[Tokens], *, packing: bool = False) -> torch.Tensor:
    """Cross-entropy of the target tokens, summed: a scalar, in nats."""
    batch = collate(rows, packing=packing)
    return F.cross_entropy(forward(batch).float(), batch.ids[batch.targets], reduction="sum")


def _accumulate(
    forward: Forward, optimizer: Optimizer, rows: Sequence[Tokens], micro: int, packing: bool
) -> tuple[float, int]:
    """Gradients of the step's mean loss, in parts that fit the memory: the loss, their size."""
    while True:
        try:
            return _backward(forward, rows, micro, packing), micro
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if micro == 1:
                raise TrainingError(
                    f"out of memory with one example a pass, on traces {_names(rows)}: use "
                    "gradient_checkpointing=True or lora_rank=8, or drop the longest traces"
                ) from error
        optimizer.zero_grad()  # outside the handler, where the tensors of the attempt are gone
        micro = -(-micro // 2)


def _backward(forward: Forward, rows: Sequence[Tokens], micro: int, packing: bool) -> float:
    total, loss = _targets(rows), 0.0
    for start in range(0, len(rows), micro):
        part = summed_loss(forward, rows[start : start + micro], packing=packing) / total
        torch.autograd.backward(part)
        loss += part.item()
    return loss


def _pass_size(model: Any, rows: Sequence[Tokens]) -> int:
    """Examples a pass where nobody says: all of them, on a processor about `PASS_TOKENS`."""
    if model.device.type != "cpu":
        return len(rows)
    passes = -(-sum(len(row.ids) for row in rows) // PASS_TOKENS)
    return -(-len(rows) // passes)


PASS_TOKENS = 1024
"""More at once are no faster on a processor, and activations are most of the memory."""


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the processor's allocator ran out."""
    said = str(error)
    words = "can't allocate memory" in said or "out of memory" in said
    return isinstance(error, torch.OutOfMemoryError) or words


def _targets(rows: Sequence[Tokens]) -> int:
    return sum(row.targets for row in rows)


def _names(rows: Sequence[Tokens]) -> str:
    return ", ".join(row.name for row in rows)


def choose_forward(model: Any, config: DistillConfig) -> Forward:
    """The cheapest way to the target's logits that this model computes alike.

    A plain head is applied to the target positions only, and the instruction that all rows of a
    batch share is run once. Some models scale or cap their logits behind the head, keep their
    past in another form, or have a mask of their own; comparing once on a few tokens tells.

    Raises:
        ConfigError: The model cannot keep packed rows apart.
    """

    def shared(batch: Batch) -> torch.Tensor:
        past = run_prefix(model, batch.ids[0, : batch.prefix].tolist(), len(batch.ids))
        rest = batch.ids[:, batch.prefix :].to(model.device)
        base = model.base_model
        output = base(input_ids=rest, use_cache=True, **past_argument(base, past))
        return head(output.last_hidden_state[:, :-1][batch.targets[:, batch.prefix + 1 :]])

    def alone(batch: Batch) -> torch.Tensor:
        output = model.base_model(**inputs(batch))
        return head(output.last_hidden_state[:, :-1][batch.targets[:, 1:]])

    def plain(batch: Batch) -> torch.Tensor:
        logits: torch.Tensor = model(**inputs(batch)).logits
        return logits[:, :-1][batch.targets[:, 1:]]

    def fast(batch: Batch) -> torch.Tensor:
        return (shared if batch.prefix else alone)(batch)

    def inputs(batch: Batch) -> dict[str, Any]:
        found = {"input_ids": batch.ids.to(model.device), "use_cache": False}
        if batch.documents is None:
            return found
        documents = batch.documents.to(model.device)
        mask, places = packed_mask(documents), packed_positions(documents)
        return found | {"attention_mask": mask, "position_ids": places}

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits

    rows = _probe(model)
    apart = [collate([row]) for row in rows]
    wanted = _attempt(model, plain, apart)
    plain_head = _same(_attempt(model, alone, apart), wanted, HEAD_ROUNDING)
    cheapest = alone if plain_head else plain
    if config.packing:
        if _same(_attempt(model, cheapest, [collate(rows, packing=True)]), wanted):
            return cheapest
        raise ConfigError(
            f"packing: {type(model).__name__} does not keep packed rows apart; use packing=False"
        )
    if plain_head and not config.gradient_checkpointing:  # which would add to a past twice
        batch = replace(collate(rows), prefix=SHORTEST_SHARED)
        return fast if _same(_attempt(model, fast, [batch]), wanted) else alone
    return cheapest


HEAD_ROUNDING = 0.005
"""Of 16-bit logits of the same hidden states; a cap or scale behind the head is larger."""


def _probe(model: Any) -> list[Tokens]:
    """Rows with a common beginning; the shorter two fit the length of the longest."""
    ids = tuple(probe_ids(model, 36))
    begin = ids[:SHORTEST_SHARED]
    long, first, second = ids[:26], (*begin, *ids[26:31]), (*begin, *ids[31:36])
    return [Tokens("", long, 24), Tokens("", first, 11), Tokens("", second, 9)]


def _attempt(model: Any, way: Forward, batches: Sequence[Batch]) -> torch.Tensor | None:
    """Logits of the targets in the way given, or `None` where the model cannot go it."""
    model.eval()
    with torch.no_grad():
        try:
            return torch.cat([way(batch) for batch in batches])
        except (TypeError, AttributeError, NotImplementedError, ValueError, RuntimeError):
            return None  # another kind of cache or mask, or no head of its own


def _same(found: torch.Tensor | None, wanted: torch.Tensor | None, short: float = 0.05) -> bool:
    return found is not None and wanted is not None and agree(found, wanted, short)
