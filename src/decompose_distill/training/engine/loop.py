"""The training loop, and the loss on rows that are held out."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass

import torch

from decompose_distill.errors import TrainingError
from decompose_distill.models.attention import is_out_of_memory
from decompose_distill.models.loading import recompute_activations
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.batching import Share, split_rows
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine.forward import Forward
from decompose_distill.training.engine.loss import count_targets
from decompose_distill.training.engine.optimizer import Optimizer, lr_factor
from decompose_distill.training.engine.ranks import ALONE, Ranks
from decompose_distill.training.engine.sharding import is_split

POOL = 256
"""Rows read from disk at a time."""

Rows = Sequence[TokenizedExample]


@torch.no_grad()
def validation_loss(
    forward: Forward, rows: Sequence[TokenizedExample], ranks: Ranks = ALONE
) -> float:
    """Mean nats per target token over all rows, of which several processes take turns."""
    forward.model.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    pools = ([rows[at] for at in order[i : i + POOL]] for i in range(0, len(order), POOL))
    with forward.applied():
        parts = (part for pool in pools for part in split_rows(pool, forward.tokens))
        turns = ranks.turns(parts)
        losses = [_halving_loss(forward, part, float(counts)) for part, counts in turns]
    summed = float(torch.stack(losses).double().sum())
    return sum(ranks.gather(summed)) / count_targets(rows)


def _halving_loss(forward: Forward, rows: Rows, share: float) -> torch.Tensor:
    """Summed loss, in halves if the memory runs out."""
    try:
        return forward.loss(forward.lay(rows), share)
    except RuntimeError as error:
        if len(rows) == 1 or not is_out_of_memory(error) or is_split(forward.model):
            raise
    half = len(rows) // 2  # outside the handler, where the tensors of the attempt are gone
    return _halving_loss(forward, rows[:half], share) + _halving_loss(forward, rows[half:], share)


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
    stopping: bool = False
    """Whether any of several processes is to stop."""

    @property
    def figures(self) -> dict[str, float]:
        """What is reported of it, by name."""
        return {
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "grad_norm": self.grad_norm,
            "examples_per_second": self.examples / self.seconds,
            "tokens_per_second": self.tokens / self.seconds,
        }


def train(
    forward: Forward,
    optimizer: Optimizer,
    batches: Iterable[Rows | Share],
    steps: int,
    config: DistillConfig,
    *,
    done: int = 0,
    ranks: Ranks = ALONE,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrainStep]:
    """Train a model in place, yielding after each step.

    Args:
        forward: The way through the model, of `choose_forward`.
        batches: The rows of one step each, or this process's share of them; those of finished
            steps left out.
        steps: How many there are in the whole run, for the schedule.
        done: Steps finished before, by an earlier call.
        ranks: The processes that train it together.
        stop: Whether this process is to stop.

    Raises:
        TrainingError: A loss or gradient is not finite, or one example exceeds the memory; the
            message names the traces.
    """
    tokens, short, split = forward.tokens, False, is_split(forward.model)
    for number, batch in enumerate(batches, start=done + 1):
        began = time.perf_counter()
        share = batch if isinstance(batch, Share) else Share.whole(batch)
        torch.manual_seed(config.seed + number)  # by step, so that a resumed run draws the same
        forward.model.train()  # the caller may have sampled in between
        factor = lr_factor(number - 1, steps, config.warmup_ratio, config.schedule)
        rate = config.learning_rate * factor
        size = tokens, None if short else config.micro_batch_size
        passes = split_rows(share.rows, *size)
        # Split weights come from all processes, so that all must pass equally often.
        idle = (share.passes(*size) if split else 1) - len(passes)
        with forward.applied():
            summed, fitting = _accumulate(forward, optimizer, share, passes, idle)
        # One read per step: everything before it is only queued on a card.
        figures = ranks.total(summed, optimizer.norm(), stop(), split=optimizer.split)
        optimizer.step(rate, figures[1])
        loss, norm, *stops = figures.tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"loss is {loss} and gradient norm {norm} at step {number}, on traces "
                f"{', '.join(filter(None, ranks.gather(_names(share.rows))))}: try a smaller "
                "learning_rate or dtype='float32'"
            )
        most, halved = max(map(_count, fitting), default=0), len(fitting) > len(passes)
        tokens, short = (most, True) if halved else (tokens, short)
        yield TrainStep(
            number,
            loss,
            learning_rate=rate,
            grad_norm=norm,
            examples=share.examples,
            tokens=share.tokens,
            tokens_per_pass=most,
            out_of_memory=halved,
            seconds=time.perf_counter() - began,
            stopping=any(stops),
        )


def _accumulate(
    forward: Forward, optimizer: Optimizer, share: Share, passes: Sequence[Rows], idle: int
) -> tuple[torch.Tensor, Sequence[Rows]]:
    """Gradients of the step's mean loss, in passes that fit the memory: the loss, the passes."""
    rows, recomputed = share.rows, False
    while True:
        try:
            return _backward(forward, share, passes, idle), passes
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if is_split(forward.model):
                raise TrainingError(
                    f"out of memory with {max(map(_count, passes), default=0)} tokens per pass: "
                    "start again with tokens_per_pass half as large, or gradient_checkpointing; "
                    "the run goes on from its last state"
                ) from error
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


def _backward(forward: Forward, share: Share, passes: Sequence[Rows], idle: int) -> torch.Tensor:
    losses = []
    # A share of the step's targets, not of the pass's: passes differ in theirs.
    turns = [(rows, 1 / share.targets) for rows in passes]
    for rows, part in turns + [([share.spare], 0.0)] * idle:
        loss = forward.loss(forward.lay(rows), part)
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def _count(rows: Rows) -> int:
    return sum(len(row.ids) for row in rows)


def _names(rows: Rows) -> str:
    return ", ".join(row.name for row in rows)
