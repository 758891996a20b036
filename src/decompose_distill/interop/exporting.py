"""Kept traces into a file or folder that another tool trains on."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from decompose_distill import filters
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.interop import hub_dataset as hub
from decompose_distill.interop.training_formats import DATASET_INFO, ROWS, Format, Row
from decompose_distill.prompts import Prompt
from decompose_distill.storage.atomic import replacing, write_text
from decompose_distill.training.data.examples import (
    DEFAULT_PROMPTS,
    Role,
    Target,
    make_examples,
    resolve_target,
    unusable,
)
from decompose_distill.types import Trace

Write = Callable[[Iterable[Row], Path], int]
"""Writes rows to a path and counts them."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where; kept and dropped add up to the traces read."""

    path: Path
    kept: int
    dropped: Counter[str]

    def __str__(self) -> str:
        return f"{self.path}: {filters.counts(self.kept, self.dropped)}"


def export_traces(
    traces: Iterable[Trace],
    path: str | Path,
    *,
    format: Format = "trl",
    role: Role = "decomposer",
    target: Target | None = None,
    prompt: Prompt | None = None,
    keep: filters.Filter = filters.complete,
) -> Exported:
    """Write kept traces as training examples in a form that another tool reads.

    The examples are those `distill` would train on with the same arguments. Streams: memory
    does not grow with the traces. What is written appears whole or not at all.

    Args:
        traces: Such as `read_traces(path)`; read once.
        path: A file of JSON lines; for `hub` and `hub-parquet` a new or empty folder.
        format: `trl` has a conversational `prompt` and `completion`, `axolotl` one chat in
            `messages`, `llamafactory` the same with an entry in the `dataset_info.json` beside
            it, named like the file; `alpaca` has `instruction`, `input`, `output`. `hub` is a
            folder for the Hugging Face Hub with JSON lines, `hub-parquet` with Parquet: rows
            as for `trl`, and the whole trace, which `import_traces` reads back.
        role: What the examples teach.
        target: What a solver learns to write; as in `distill`.
        prompt: The prompt before each completion; by default that of the target.
        keep: Filter that chooses the traces.

    Raises:
        ConfigError: An argument is wrong, or a folder that must be empty is not.
        DataError: No trace is kept, or the `dataset_info.json` there is malformed.
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
    if format not in ROWS:
        raise ConfigError(f"format must be one of {', '.join(ROWS)}, not {format!r}")
    target, path = resolve_target(role, target), Path(path)
    if path.is_dir() and not format.startswith("hub"):
        raise ConfigError(f"{path} is a folder; format {format} is a file of JSON lines")
    prompt = prompt or DEFAULT_PROMPTS[target]
    dropped: Counter[str] = Counter()
    kept = filters.sift(traces, filters.all_of(keep, partial(unusable, target=target)), dropped)

    def rows() -> Iterator[Row]:
        for trace in kept:
            [example] = make_examples([trace], role, prompt, target)
            row = ROWS[format](example)
            yield row | hub.columns(trace) if format.startswith("hub") else row

    written = rows()
    if (first := next(written, None)) is None:  # told before anything is made
        raise DataError(f"nothing to write: {filters.counts(0, dropped)}")
    count = _WRITERS.get(format, write_lines)(chain([first], written), path)
    return Exported(path, count, dropped)


def write_lines(rows: Iterable[Row], path: Path) -> int:
    """Write JSON lines into a file that appears whole or not at all, and count them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_llamafactory(rows: Iterable[Row], path: Path) -> int:
    """JSON lines, and their entry in `dataset_info.json` beside the entries of others."""
    place = path.with_name("dataset_info.json")
    known = {}
    if place.exists():
        try:
            known = json.loads(place.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{place}: not JSON: {error}") from None
        if not isinstance(known, dict):
            raise DataError(f"{place}: expected a JSON object, found {type(known).__name__}")
    count = write_lines(rows, path)
    entry = {path.stem: {"file_name": path.name, **DATASET_INFO}}
    write_text(place, json.dumps(known | entry, indent=2) + "\n")
    return count


def _hub_folder(write: Write, suffix: str) -> Write:
    def write_folder(rows: Iterable[Row], path: Path) -> int:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"{path} holds something; give a new or empty folder")
        count = write(rows, path / "data" / f"train-00000-of-00001.{suffix}")
        (path / "README.md").write_text(hub.card(suffix), encoding="utf-8")
        return count

    return write_folder


_WRITERS: dict[str, Write] = {
    "llamafactory": _write_llamafactory,
    "hub": _hub_folder(write_lines, "jsonl"),
    "hub-parquet": _hub_folder(hub.write_parquet, "parquet"),
}
