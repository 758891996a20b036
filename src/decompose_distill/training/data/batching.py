"""Which rows share a step, and rows as tensors: padded, or packed several to a line."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from decompose_distill.models.generation import common_prefix
from decompose_distill.training.data.tokenization import TokenizedExample

POOL_BATCHES = 16
"""Batches drawn at once and sorted by length: little padding, and the order stays random."""


LEAST_SAVED = 512
"""Tokens; measured with 135M weights on two cores, where 112 saved ones made a step slower."""


PADDING = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors for one forward pass."""

    ids: torch.Tensor
    """Token ids (B, T), padded right with 0. Without a mask: a causal model never looks ahead,
    and the padding itself is no target."""
    targets: torch.Tensor
    """Where the trained tokens are (B, T)."""
    prefix: int = 0
    """Tokens that all rows begin with and that are worth running once."""
    documents: torch.Tensor | None = None
    """Packed: which row each token belongs to (B, T), `PADDING` for none; else `None`."""


def plan_batches(
    lengths: Sequence[int], batch_size: int, epochs: int, seed: int, *, group: bool = True
) -> Iterator[list[int]]:
    """Yield every row's place once an epoch, in batches of random order.

    Args:
        lengths: Tokens of each row.
        group: Let rows of like length share a batch.
    """
    order = random.Random(seed)
    for _ in range(epochs):
        shuffled = order.sample(range(len(lengths)), len(lengths))
        pool = batch_size * POOL_BATCHES
        for start in range(0, len(shuffled), pool):
            drawn = shuffled[start : start + pool]
            if group:
                drawn.sort(key=lambda row: lengths[row])
            batches = [drawn[at : at + batch_size] for at in range(0, len(drawn), batch_size)]
            order.shuffle(batches)
            yield from batches


def collate(rows: Sequence[TokenizedExample], *, packing: bool = False) -> Batch:
    """Put rows into one batch: a row a line, or as many as fit the length of the longest."""
    lines = pack(rows) if packing else [[row] for row in rows]
    width = max(sum(len(row.ids) for row in line) for line in lines)
    ids = torch.zeros(len(lines), width, dtype=torch.long)
    targets = torch.zeros(len(lines), width, dtype=torch.bool)
    documents = torch.full((len(lines), width), PADDING)
    for place, line in enumerate(lines):
        at = 0
        for number, row in enumerate(line):
            end = at + len(row.ids)
            ids[place, at:end] = torch.tensor(row.ids)
            targets[place, at + row.start : end] = True
            documents[place, at:end] = number
            at = end
    return Batch(
        ids, targets, 0 if packing else shared_prefix(rows), documents if packing else None
    )


def pack(rows: Sequence[TokenizedExample]) -> list[list[TokenizedExample]]:
    """Distribute rows over lines no longer than the longest row: best fit, longest first.

    Lines as short as possible keep attention as cheap as without packing.
    """
    width = max(len(row.ids) for row in rows)
    lines: list[list[TokenizedExample]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        fitting = [place for place, left in enumerate(room) if left >= len(row.ids)]
        if not fitting:
            lines.append([])
            room.append(width)
            fitting = [len(lines) - 1]
        best = min(fitting, key=lambda place: room[place])
        lines[best].append(row)
        room[best] -= len(row.ids)
    return lines


def shared_prefix(rows: Sequence[TokenizedExample]) -> int:
    """Prompt tokens all rows begin with, short of the last, which predicts a target.

    0 where running them once would save less than the second pass over the weights costs.
    """
    length = common_prefix([row.ids[: row.start] for row in rows])
    return length if length * (len(rows) - 1) >= LEAST_SAVED else 0
