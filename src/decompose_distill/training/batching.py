"""The order of training: shuffled by seed, rows of like length together."""

import random
from collections.abc import Iterator, Sequence

from decompose_distill.training.tokenize import Tokens

POOL_BATCHES = 16
"""Batches drawn at once and sorted by length: little padding, and the order stays random."""


def plan_batches(
    rows: Sequence[Tokens], batch_size: int, epochs: int, seed: int
) -> Iterator[list[Tokens]]:
    """Yield every row once an epoch, in batches of like length and random order."""
    order = random.Random(seed)
    for _ in range(epochs):
        shuffled = order.sample(range(len(rows)), len(rows))
        pool = batch_size * POOL_BATCHES
        for start in range(0, len(shuffled), pool):
            drawn = sorted(shuffled[start : start + pool], key=lambda row: len(rows[row].ids))
            batches = [drawn[at : at + batch_size] for at in range(0, len(drawn), batch_size)]
            order.shuffle(batches)
            yield from ([rows[row] for row in batch] for batch in batches)
