"""Shards into the one file that a single process would have written, with what lies beside it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any

from decompose_distill.collection.shards import Shard, shard_files, shard_folder
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import merged_lines, read_accounts
from decompose_distill.cost.pricing import format_usd
from decompose_distill.cost.shares import CLAIMS, claim_as_merged
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.storage.atomic import chunks
from decompose_distill.storage.jsonl import JsonlFile, beside, decode_object
from decompose_distill.storage.traces import TraceStore, scan_traces

ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Merged:
    """What was put together."""

    path: Path
    shards: int
    traces: int
    """In the file now."""
    missing: tuple[int, ...]
    """Numbers of shards that were not there."""
    spent_usd: Decimal | None
    """What the file has cost; `None` where a price is unknown."""

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.traces} traces, {self.shards} shards merged"]
        names = ", ".join(map(str, self.missing))
        parts += [f"not there: shard {names}"] if self.missing else []
        spent = "cost unknown" if self.spent_usd is None else f"{format_usd(self.spent_usd)} spent"
        return "; ".join([*parts, *([spent] if self.spent_usd != 0 else [])])


def merge_shards(path: str | Path, shards: Sequence[str | Path] = ()) -> Merged:
    """Put shards together into one file of traces, and remove them.

    The traces stand as one process would have written them, if the shards are finished; what the
    file held before comes first, but for traces that a shard has anew. The journals of requests
    and the ledgers are put together too, so that a later call finds all work and all spending.
    Killed in between, the same call goes on. Memory does not grow with the shards; it holds some
    thirty bytes per trace that the file held before.

    Args:
        path: The file of traces, created or added to.
        shards: Files of traces, in their order; by default those in the folder beside the file.

    Raises:
        ConfigError: A shard, or the file, is being written by another run.
        DataError: There is no shard, one is no file of traces, or the disk is full.

    Example:
        >>> import tempfile
        >>> from decompose_distill import write_traces
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_traces([], folder / "1.jsonl")
        >>> print(merge_shards(folder / "all.jsonl", [folder / "1.jsonl"]).traces)
        0
    """
    path = Path(path)
    files = [Path(shard) for shard in shards] or [*shard_files(path)]
    if not files:
        raise DataError(f"{shard_folder(path)}: no shard is there to merge into {path}")
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such shard; they are {shard_folder(path)}/*.jsonl")
        if path.exists() and file.samefile(path):
            raise ConfigError(f"{file} is the file to merge into, not a shard")
    known = [shard for file, shard in shard_files(path).items() if file in files]
    with TraceStore(path) as store:
        merge_into(store, files)
    traces = sum(chunk.count(b"\n") for chunk in chunks(path))
    spent = read_accounts(ledger_path(path)).spent_usd
    return Merged(path, len(files), traces, _missing(known), spent)


def merge_leftovers(path: Path) -> None:
    """Put together what shards of earlier calls left, so that it is found."""
    if files := [*shard_files(path)]:
        with TraceStore(path) as store:
            merge_into(store, files)


def merge_into(store: TraceStore, shards: Sequence[Path]) -> None:
    """Put shards into a file that is open, and remove them when everything is on the disk."""
    with ExitStack() as open_files:
        for shard in shards:
            open_files.enter_context(TraceStore(shard))
            next(scan_traces(shard), None)  # refuses what is no file of traces
        if shards:
            _merge_requests(store.path, shards)
            _merge_ledgers(store.path, shards)
            _merge_traces(store, shards)
        for shard in shards:
            _remove(shard)
    folder = shard_folder(store.path)
    if folder.is_dir() and not shard_files(store.path):
        (folder / CLAIMS).unlink(missing_ok=True)
        with suppress(OSError):  # something of somebody else's is in it
            folder.rmdir()


def _missing(known: Sequence[Shard]) -> tuple[int, ...]:
    numbers = {shard.number for shard in known}
    count = max((shard.count for shard in known), default=0)
    return tuple(number for number in range(1, count + 1) if number not in numbers)


def _merge_requests(path: Path, shards: Sequence[Path]) -> None:
    journals = _whole(beside(shard, ".requests") for shard in shards)
    if journals:
        with JsonlFile(beside(path, ".requests"), guarded=True) as requests:
            requests.append_all(chain.from_iterable(map(chunks, journals)))


def _merge_ledgers(path: Path, shards: Sequence[Path]) -> None:
    ledgers = _whole(ledger_path(shard) for shard in shards)
    if ledgers:
        with JsonlFile(ledger_path(path), guarded=True) as ledger:
            ledger.append_all(merged_lines(ledgers, ledger.path))
    if (shard_folder(path) / CLAIMS).exists():
        numbers = shard_files(path)
        spent = {numbers[shard].number: _spent(shard) for shard in shards if shard in numbers}
        claim_as_merged(path, shard_folder(path), spent)


def _whole(files: Iterable[Path]) -> list[Path]:
    """Those that are there, after a last line that a kill has torn is cut off."""
    there = [file for file in files if file.exists()]
    for file in there:
        with JsonlFile(file, guarded=True):  # which cuts it off as it opens
            continue
    return there


def _spent(shard: Path) -> Decimal:
    accounts = read_accounts(ledger_path(shard))
    return (accounts.spent_usd or Decimal(0)) + accounts.reserved_usd


def _merge_traces(store: TraceStore, shards: Sequence[Path]) -> None:
    before = store.path
    others = _others(before, shards) if before.stat().st_size else iter(())
    store.rewrite(chain(others, *map(chunks, shards)))


def _others(path: Path, shards: Sequence[Path]) -> Iterator[bytes]:
    """The lines of the file whose traces no shard has."""
    import numpy as np

    own = np.fromiter(_digests(path), np.uint64)
    known = np.sort(own)
    anew = np.zeros(len(own), np.bool_)
    for shard in shards:
        rows = _digests(shard)
        while len(some := np.fromiter(islice(rows, ROWS_AT_ONCE), np.uint64)):
            first, last = (np.searchsorted(known, some, side) for side in ("left", "right"))
            anew[first[last > first]] = True
    anew = anew[np.searchsorted(known, own)]
    with path.open("rb") as lines:
        numbered = zip(filter(bytes.strip, lines), anew, strict=True)
        yield from (line for line, is_anew in numbered if not is_anew)


def _digests(path: Path) -> Iterator[int]:
    """What a trace answers, hashed: who asked what, and which of its samples and solves it is."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _digest(decode_object(line, f"{path}:{number}"))


def _digest(row: Mapping[str, Any]) -> int:
    question = row["question"]
    names = (question["id"], question["text"], question.get("context"))
    parts = json.dumps([row["key"], row["sample"], row.get("solve", 0), *names])
    return int.from_bytes(blake2b(parts.encode(), digest_size=8).digest())


def _remove(shard: Path) -> None:
    """The traces last, by which the others are known."""
    for file in (beside(shard, ".requests"), ledger_path(shard), shard):
        file.unlink(missing_ok=True)
        Path(f"{file}.lock").unlink(missing_ok=True)
