"""The loss on rows that are held out."""

from collections.abc import Sequence

import torch

from decompose_distill.models.attention import is_out_of_memory
from decompose_distill.training.data.batching import split_rows
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine.forward import Forward
from decompose_distill.training.engine.loss import count_targets

POOL = 256
"""Rows read from disk at a time."""


@torch.no_grad()
def validation_loss(forward: Forward, rows: Sequence[TokenizedExample]) -> float:
    """Mean nats per target token over all rows."""
    forward.model.eval()
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].ids))
    pools = ([rows[at] for at in order[i : i + POOL]] for i in range(0, len(order), POOL))
    with forward.applied():
        parts = (part for pool in pools for part in split_rows(pool, forward.tokens))
        losses = [_halving_loss(forward, part) for part in parts]
    return float(torch.stack(losses).double().sum()) / count_targets(rows)


def _halving_loss(forward: Forward, rows: Sequence[TokenizedExample]) -> torch.Tensor:
    """Summed loss, in halves where the memory runs out."""
    try:
        return forward.loss(forward.lay(rows))
    except RuntimeError as error:
        if len(rows) == 1 or not is_out_of_memory(error):
            raise
    half = len(rows) // 2  # outside the handler, where the tensors of the attempt are gone
    return _halving_loss(forward, rows[:half]) + _halving_loss(forward, rows[half:])
