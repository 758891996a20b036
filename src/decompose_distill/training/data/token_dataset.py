"""Tokenised examples on disk: written as a stream, read back one at a time.

Memory stays flat however many traces there are: an example costs 48 bytes of index.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np

from decompose_distill.training.data.examples import TokenizedExample

IDS, NAMES = "ids.bin", "names.jsonl"
_BEGIN, _END, _START, _NAME, _PROMPT, _COMPLETION = range(6)  # columns of the index
Index = np.ndarray[tuple[int, int], np.dtype[np.int64]]


class TokenDataset(Sequence[TokenizedExample]):
    """Examples in a file of ids (int32) and a file of names, with an index (rows, 6) in memory."""

    def __init__(self, folder: Path, index: Index) -> None:
        self._folder, self._index = folder, index
        path = folder / IDS
        empty = not path.stat().st_size  # a file of no bytes cannot be mapped
        self._ids = np.zeros(0, np.int32) if empty else np.memmap(path, np.int32, mode="r")

    def __reduce__(self) -> tuple[type["TokenDataset"], tuple[Path, Index]]:
        """Travel to another process without the ids, which it maps itself."""
        return TokenDataset, (self._folder, self._index)

    def where(self, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> "TokenDataset":
        """Some of the rows, over the same files."""
        return TokenDataset(self._folder, self._index[chosen])

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> TokenizedExample: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedExample]: ...
    def __getitem__(self, index: int | slice) -> TokenizedExample | list[TokenizedExample]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        begin, end, start, name, *_ = (int(number) for number in self._index[index])
        with (self._folder / NAMES).open("rb") as names:
            names.seek(name)
            text = json.loads(names.readline())
        return TokenizedExample(text, tuple(self._ids[begin:end].tolist()), start)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each row."""
        lengths: list[int] = (self._index[:, _END] - self._index[:, _BEGIN]).tolist()
        return lengths

    def sizes(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Tokens of these rows, and trained tokens of each, without reading one."""
        index = self._index[rows]
        lengths = index[:, _END] - index[:, _BEGIN]
        return lengths.tolist(), (lengths - index[:, _START]).tolist()

    @property
    def most_targets(self) -> int:
        """Trained tokens of the row that has most."""
        lengths = self._index[:, _END] - self._index[:, _BEGIN]
        return int((lengths - self._index[:, _START]).max())

    @property
    def most_prompt(self) -> int:
        """Prompt tokens of the row that has most."""
        return int(self._index[:, _START].max())

    @property
    def largest_id(self) -> int:
        """Largest token id in any row of the files."""
        return int(self._ids.max())

    @property
    def repeats(self) -> int:
        """Rows that equal an earlier one."""
        return len(self) - len(np.unique(self._index[:, [_PROMPT, _COMPLETION]], axis=0))

    @property
    def different_completions(self) -> int:
        """How many completions there are, each counted once."""
        return len(np.unique(self._index[:, _COMPLETION]))

    def shared_prompts(self, other: "TokenDataset") -> list[TokenizedExample]:
        """Rows whose prompt is also in the other set."""
        shared = np.isin(self._index[:, _PROMPT], other._index[:, _PROMPT])
        return [self[row] for row in np.flatnonzero(shared).tolist()]


def write_rows(rows: Iterable[TokenizedExample], folder: Path) -> TokenDataset:
    """Write rows to a folder as they come, and open them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / IDS).open("wb") as ids, (folder / NAMES).open("wb") as names:
        index = array("q", _write(rows, ids, names))
    return TokenDataset(folder, np.array(index, dtype=np.int64).reshape(-1, 6))


def _write(rows: Iterable[TokenizedExample], ids: BinaryIO, names: BinaryIO) -> Iterator[int]:
    begin = 0
    for row in rows:
        yield from (begin, begin + len(row.ids), row.start, names.tell())
        yield from (_hash(row.ids[: row.start]), _hash(row.ids[row.start :]))
        begin += len(row.ids)
        ids.write(array("i", row.ids).tobytes())
        names.write(json.dumps(row.name).encode() + b"\n")


def _hash(ids: Sequence[int]) -> int:
    digest = blake2b(array("i", ids).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
