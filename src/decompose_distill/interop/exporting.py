"""Kept traces into a file or folder that another tool trains on."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from decompose_distill import filters
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.interop import hub_dataset as hub
from decompose_distill.interop.training_formats import DATASET_INFO, WRITTEN, Format, Row
from decompose_distill.prompts import Prompt
from decompose_distill.storage.atomic import creating, write_text
from decompose_distill.storage.traces import TraceSource, as_traces
from decompose_distill.training.data.examples import (
    DEFAULT_PROMPTS,
    Role,
    Target,
    make_examples,
    resolve_target,
    unusable,
)
from decompose_distill.types import Message

Write = Callable[[Iterable[Row], Path], int]
"""Writes rows to a path and counts them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where; kept and dropped add up to the traces read.

    Example:
        >>> print(Exported(Path("sft.jsonl"), 3, Counter({"wrong answer": 1})))
        sft.jsonl: kept 3 of 4 traces, dropped 1 wrong answer
    """

    path: Path
    kept: int
    dropped: Counter[str]

    def __str__(self) -> str:
        return f"{self.path}: {filters.counts(self.kept, self.dropped)}"


def export_traces(
    traces: TraceSource,
    path: str | Path,
    *,
    format: Format = "trl",
    role: Role = "decomposer",
    target: Target | None = None,
    prompt: Prompt | None = None,
    keep: filters.Filter | filters.FilterName = filters.complete,
) -> Exported:
    """Write kept traces as training examples in a form that another tool reads.

    The examples are those `distill` would train on with the same arguments. Streams: memory
    does not grow with the traces. What is written appears whole or not at all.

    Args:
        traces: Such as `read_traces(path)`; read once.
        path: A file of JSON lines; for `hub` and `hub-parquet` a new or empty folder. What
            stands there already is not overwritten; the same export once more changes nothing.
        format: `trl` has a conversational `prompt` and `completion`, `axolotl` one chat in
            `messages`, `llamafactory` the same with an entry in the `dataset_info.json` beside
            it, named like the file; `sharegpt` has `conversations`, `alpaca` `instruction`,
            `input`, `output`. `hub` is a folder for the Hugging Face Hub with JSON lines,
            `hub-parquet` with Parquet: rows as for `trl`, and the whole trace, which
            `import_traces` reads back.
        role: What the examples teach.
        target: What a solver learns to write; as in `distill`.
        prompt: The prompt before each completion; by default that of the target.
        keep: Filter that chooses the traces.

    Raises:
        ConfigError: An argument is wrong, or the path holds something else.
        DataError: No trace is kept, the `dataset_info.json` there is malformed, or the path
            cannot be written.
        MissingExtraError: Parquet needs `decompose-distill[datasets]`.

    Example:
        >>> import pathlib, tempfile
        >>> from decompose_distill import Decomposition, Question, Solution, Subquestion
        >>> split = Decomposition(Question("Is Ada over 9?"), (Subquestion("How old is Ada?"),))
        >>> path = pathlib.Path(tempfile.mkdtemp(), "sft.jsonl")
        >>> export_traces([Trace(split.question, Solution(split, "yes"))], path).kept
        1
        >>> json.loads(path.read_text())["completion"]
        [{'role': 'assistant', 'content': '1. How old is Ada?'}]
    """
    if format not in WRITTEN:
        raise ConfigError(f"format must be one of {', '.join(WRITTEN)}, not {format!r}")
    target, path = resolve_target(role, target), Path(path)
    if path.is_dir() and not format.startswith("hub"):
        raise ConfigError(f"{path} is a folder; format {format} is a file of JSON lines")
    prompt = prompt or DEFAULT_PROMPTS[target]
    dropped: Counter[str] = Counter()
    kept = filters.sift(
        as_traces(traces), filters.all_of(keep, partial(unusable, target=target)), dropped
    )

    def rows() -> Iterator[Row]:
        for trace in kept:
            [example] = make_examples([trace], role, prompt, target)
            row = WRITTEN[format].write(
                [*example.messages, Message("assistant", example.completion)]
            )
            yield row | hub.columns(trace) if format.startswith("hub") else row

    written = rows()
    if (first := next(written, None)) is None:  # told before anything is made
        raise DataError(f"nothing to write: {filters.counts(0, dropped)}")
    count = _WRITERS.get(format, write_lines)(chain([first], written), path)
    return Exported(path, count, dropped)


def write_lines(rows: Iterable[Row], path: Path) -> int:
    """Write JSON lines into a file that appears whole or not at all, and count them."""
    count = 0
    with creating(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_llamafactory(rows: Iterable[Row], path: Path) -> int:
    """JSON lines, and their entry in `dataset_info.json` beside the entries of others."""
    index, entry = path.with_name("dataset_info.json"), {"file_name": path.name, **DATASET_INFO}
    known = _known_datasets(index)
    if known.setdefault(path.stem, entry) != entry:
        raise ConfigError(f"{index} names another data set {path.stem!r}: name another file")
    count = write_lines(rows, path)
    write_text(index, json.dumps(known, indent=2) + "\n")
    return count


def _known_datasets(index: Path) -> dict[str, Any]:
    if not index.exists():
        return {}
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{index}: not JSON: {error}") from None
    if not isinstance(known, dict):
        raise DataError(f"{index}: expected a JSON object, found {type(known).__name__}")
    return known


def _hub_folder(write: Write, suffix: str) -> Write:
    def write_folder(rows: Iterable[Row], path: Path) -> int:
        data, card = path / "data" / f"train-00000-of-00001.{suffix}", path / "README.md"
        if path.is_dir() and {*path.rglob("*")} - {data.parent, data, card}:
            raise ConfigError(f"{path} holds something else; give a new or empty folder")
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file; give a new or empty folder")
        count = write(rows, data)
        with creating(card) as partial:
            partial.write_text(hub.card(suffix), encoding="utf-8")
        return count

    return write_folder


_WRITERS: dict[str, Write] = {
    "llamafactory": _write_llamafactory,
    "hub": _hub_folder(write_lines, "jsonl"),
    "hub-parquet": _hub_folder(hub.write_parquet, "parquet"),
}
