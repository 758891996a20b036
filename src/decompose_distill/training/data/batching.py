"""Which rows share a step and a pass, and rows as tensors: end to end on one line, or padded."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapreplace

import numpy as np
import torch

from decompose_distill.models.past import common_prefix
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.data.token_dataset import TokenDataset

POOL_BATCHES = 16
"""Batches drawn at once and sorted by length: passes of like length, and the order stays random."""

Ids = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Documents:
    """Bounds of the rows of a line, for attention to keep them apart.

    The line is the prefix that all rows share, then what each row has behind it.
    """

    prefix: int
    """Tokens that all rows begin with, once at the beginning of the line; 0 for none."""
    lengths: tuple[int, ...]
    """Tokens of each row behind the prefix."""
    query_ends: torch.Tensor
    """Ends of the rows, (rows + 1,) of int32 from 0, counted behind the prefix."""
    key_ends: torch.Tensor
    """The same among the keys, where each row has the prefix of its own."""
    keys: torch.Tensor
    """Position in the line of each of those keys."""

    @property
    def longest(self) -> int:
        """Tokens of the longest row, with the prefix."""
        return self.prefix + max(self.lengths)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors for one forward pass."""

    ids: torch.Tensor
    """Token ids (B, T)."""
    positions: torch.Tensor
    """Position of each token in its own row (B, T)."""
    predicting: torch.Tensor
    """Which of the B · T positions predict a trained token (N,)."""
    labels: torch.Tensor
    """The trained tokens (N,)."""
    documents: Documents | None = None
    """Of rows that lie end to end; else `None`, and each row is a line, padded right with 0.
    Padding needs no mask: a causal model never looks ahead."""


@dataclass(frozen=True, slots=True)
class Share:
    """The rows of an optimizer step that one process takes."""

    rows: Sequence[TokenizedExample]
    targets: int
    """Trained tokens of the whole step."""
    lengths: Sequence[Sequence[int]]
    """Tokens of the rows of each process."""
    spare: TokenizedExample
    """Goes through the model without counting, if another process makes more passes."""

    @classmethod
    def whole(cls, rows: Sequence[TokenizedExample]) -> "Share":
        """All rows of a step, for one process alone."""
        lengths = [len(row.ids) for row in rows]
        return cls(rows, sum(row.targets for row in rows), [lengths], rows[0])

    @classmethod
    def dealt(
        cls, rows: TokenDataset, indices: Sequence[int], process: int, processes: int
    ) -> "Share":
        """Read one process's rows of a step, and of the others' only how long they are."""
        lengths, targets = rows.sizes(indices)
        parts = deal(lengths, processes)
        mine = [rows[indices[at]] for at in parts[process]]
        of_all = [[lengths[at] for at in part] for part in parts]
        return cls(mine, sum(targets), of_all, mine[0] if mine else rows[indices[0]])

    @property
    def examples(self) -> int:
        """Of the whole step."""
        return sum(map(len, self.lengths))

    @property
    def tokens(self) -> int:
        """Of the whole step, prompts included."""
        return sum(map(sum, self.lengths))

    def passes(self, tokens: int, most: int | None) -> int:
        """Most passes that any process makes; the arguments are those of `split_rows`."""
        return max(len(cut(lengths, tokens, most)) for lengths in self.lengths)


def plan_batches(
    lengths: Sequence[int], batch_size: int, epochs: int, seed: int, *, group: bool = True
) -> Iterator[list[int]]:
    """Yield every row's index once per epoch, in batches of random order.

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


def split_rows(
    rows: Sequence[TokenizedExample], tokens: int, most: int | None = None
) -> list[Sequence[TokenizedExample]]:
    """Cut the rows of a step into passes, in order and alike in size.

    Args:
        tokens: Of a pass, about.
        most: Rows of a pass; by default what `tokens` says.
    """
    lengths = [len(row.ids) for row in rows]
    return [[rows[index] for index in part] for part in cut(lengths, tokens, most)]


def cut(lengths: Sequence[int], tokens: int, most: int | None = None) -> list[Sequence[int]]:
    """The same of indices, for rows of these lengths."""
    if most:
        return [range(len(lengths))[start : start + most] for start in range(0, len(lengths), most)]
    total = sum(lengths)
    passes: list[list[int]] = [[] for _ in range(-(-total // tokens))]
    before = 0
    for index, length in enumerate(lengths):
        # Its middle decides, so that passes differ by no more than a row.
        middle = before + length // 2
        passes[middle * len(passes) // total].append(index)
        before += length
    return [part for part in passes if part]


def deal(lengths: Sequence[int], processes: int) -> list[list[int]]:
    """Indices of the rows that each process takes of a step, alike in tokens.

    Example:
        >>> deal([5, 1, 2, 3], 2)
        [[0, 1], [2, 3]]
    """
    loads = [(0, process) for process in range(processes)]
    parts: list[list[int]] = [[] for _ in loads]
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        load, process = loads[0]
        parts[process].append(index)
        heapreplace(loads, (load + lengths[index], process))
    return [sorted(part) for part in parts]


def lay_end_to_end(rows: Sequence[TokenizedExample], device: torch.device) -> Batch:
    """Put rows on one line, what all of them begin with only once: no padding at all."""
    prefix = shared_prefix(rows)
    rests = [np.array(row.ids[prefix:]) for row in rows]
    ends = np.cumsum([0, *map(len, rests)])
    begins = [end + prefix for end in ends[:-1]]
    line = np.arange(prefix + ends[-1])
    parts = [
        np.concatenate([rows[0].ids[:prefix], *rests]),
        np.concatenate([line[:prefix], *(np.arange(prefix, len(row.ids)) for row in rows)]),
        # A row's token 0 would stand `prefix` before what follows it.
        *_targets(rows, [begin - prefix for begin in begins]),
        ends,
        # Before row N, N rows have been given the prefix once more.
        ends + prefix * np.arange(len(ends)),
        np.concatenate(
            [
                part
                for begin, rest in zip(begins, rests, strict=True)
                for part in (line[:prefix], line[begin : begin + len(rest)])
            ]
        ),
    ]
    ids, positions, predicting, labels, query_ends, key_ends, keys = _upload(parts, device)
    lengths = tuple(map(len, rests))
    documents = Documents(prefix, lengths, query_ends.int(), key_ends.int(), keys)
    return Batch(ids[None], positions[None], predicting, labels, documents)


def pad_rows(rows: Sequence[TokenizedExample], device: torch.device) -> Batch:
    """Put each row on its own line, as long as the longest."""
    width = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    for line, row in zip(ids, rows, strict=True):
        line[: len(row.ids)] = row.ids
    positions = np.tile(np.arange(width), len(rows))
    targets = _targets(rows, [width * line for line in range(len(rows))])
    parts = [ids.reshape(-1), positions, *targets]
    flat, flat_positions, predicting, labels = _upload(parts, device)
    shape = (len(rows), width)
    return Batch(flat.view(shape), flat_positions.view(shape), predicting, labels)


def shared_prefix(rows: Sequence[TokenizedExample]) -> int:
    """Prompt tokens all rows begin with, short of the last, which predicts a target."""
    return common_prefix([row.ids[: row.start] for row in rows]) if len(rows) > 1 else 0


def _targets(rows: Sequence[TokenizedExample], begins: Sequence[int]) -> tuple[Ids, Ids]:
    """Positions that predict a trained token, and these tokens; rows' tokens 0 are at `begins`."""
    # The logits at a position predict the token after it.
    positions = [
        np.arange(begin + row.start - 1, begin + len(row.ids) - 1)
        for begin, row in zip(begins, rows, strict=True)
    ]
    return np.concatenate(positions), np.concatenate([row.ids[row.start :] for row in rows])


def _upload(parts: Sequence[Ids], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Bring whole numbers to a device in one copy, for which it does not wait."""
    flat = torch.from_numpy(np.concatenate(parts).astype(np.int64))
    if device.type == "cuda":
        flat = flat.pin_memory()  # from other memory the copy would wait
    return torch.split(flat.to(device, non_blocking=True), [len(part) for part in parts])
