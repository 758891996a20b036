"""Cross-entropy of the target tokens: summed for a step, averaged for validation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.batching import collate
from decompose_distill.training.data.tokenization import TokenizedExample
from decompose_distill.training.engine.forward import Forward, choose_forward


@torch.no_grad()
def validation_loss(model: Any, rows: Sequence[TokenizedExample], config: DistillConfig) -> float:
    """Mean nats a target token over all rows."""
    forward = choose_forward(model, replace(config, packing=False))
    model.eval()
    size = config.micro_batch_size or config.batch_size
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    batches = ([rows[at] for at in order[i : i + size]] for i in range(0, len(order), size))
    return sum(_halving_loss(forward, each) for each in batches) / count_targets(rows)


def _halving_loss(forward: Forward, rows: Sequence[TokenizedExample]) -> float:
    """Summed loss, in halves where the memory runs out."""
    try:
        return summed_loss(forward, rows).item()
    except RuntimeError as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
    half = len(rows) // 2  # outside the handler, where the tensors of the attempt are gone
    return _halving_loss(forward, rows[:half]) + _halving_loss(forward, rows[half:])


def summed_loss(
    forward: Forward, rows: Sequence[TokenizedExample], *, packing: bool = False
) -> torch.Tensor:
    """Cross-entropy of the target tokens, summed: a scalar, in nats."""
    batch = collate(rows, packing=packing)
    return F.cross_entropy(forward(batch).float(), batch.ids[batch.targets], reduction="sum")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the processor's allocator ran out."""
    said = str(error)
    words = "can't allocate memory" in said or "out of memory" in said
    return isinstance(error, torch.OutOfMemoryError) or words


def count_targets(rows: Sequence[TokenizedExample]) -> int:
    return sum(row.targets for row in rows)
