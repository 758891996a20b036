"""Files that others wrote, as traces."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decompose_distill.data.readers import read_rows
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.interop import hub_dataset as hub
from decompose_distill.interop.trace_formats import from_chat, from_socratic, from_subq
from decompose_distill.storage.traces import decode_trace
from decompose_distill.training.data.examples import TARGETS, Role
from decompose_distill.types import Trace


def import_traces(path: str | Path, *, role: Role = "decomposer") -> Iterator[Trace]:
    """Read another tool's training data as traces, one by one.

    Each row is known by its fields: a chat in `messages`, a `prompt` and `completion` (chats or
    plain texts), the layout of GSM8K-AI-SubQ (`problem`, `questions`, `answers`), that of
    GSM8K's Socratic version (`question`, `answer` of `subquestion ** subanswer` lines), or a
    trace of ours. Chats hold at most a system turn, one user turn, which is the question, and
    the completion; they say only one half of a trace:

    - for a decomposer the completion holds subquestions, and the trace ends in the failure
      `solve: not solved`, which `filters.decomposed` keeps;
    - for a solver it holds the solution, and nothing was decomposed.

    A completion that cannot be read becomes a failure, as if a model had just written it.

    Args:
        path: JSON lines (read as a stream), JSON or Parquet, also with `.gz` where it is
            JSON; or a folder that `export_traces` wrote for the hub.
        role: What the completions of chats are.

    Raises:
        ConfigError: The role is unknown.
        DataError: A row is malformed or of no known layout; names file, line and field.
        MissingExtraError: Parquet needs `decompose-distill[datasets]`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "sft.jsonl")
        >>> row = {"prompt": "Is Ada over 9?", "completion": "1. How old is Ada?"}
        >>> _ = path.write_text(json.dumps(row))
        >>> next(import_traces(path)).decomposition.subquestions
        (Subquestion(text='How old is Ada?'),)
    """
    if role not in TARGETS:
        raise ConfigError(f"role must be one of {', '.join(TARGETS)}, not {role!r}")
    for where, row in _rows(Path(path)):
        yield from _traces(row, where, role)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_dir():
        files = sorted([*path.glob("data/train-*.jsonl"), *path.glob("data/train-*.parquet")])
        if not files:
            raise DataError(f"{path}: holds no data/train-*.jsonl or data/train-*.parquet")
        for file in files:
            yield from _rows(file)
    elif not path.is_file():
        raise DataError(f"{path}: no such file")
    elif path.suffix == ".parquet":
        for number, row in enumerate(hub.read_parquet(path), start=1):
            yield f"{path}: row {number}", row
    elif path.suffix == ".jsonl":
        yield from _lines(path)
    else:
        yield from read_rows(path)


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as lines:  # as bytes, so that a wrong one is told with its line
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield f"{path}:{number}", json.loads(line.decode("utf-8-sig"))
                except ValueError as error:
                    raise DataError(f"{path}:{number}: not JSON: {error}") from None


def _traces(row: Any, where: str, role: Role) -> Iterator[Trace]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    row = hub.present(row)
    if "schema" in row:
        yield decode_trace(json.dumps(row, default=str), where)
    elif "messages" in row or {"prompt", "completion"} <= set(row):
        yield from_chat(row, where, role)
    elif {"problem", "questions", "answers"} <= set(row):
        yield from from_subq(row, where)
    elif {"question", "answer"} <= set(row):
        yield from_socratic(row, where)
    else:
        raise DataError(
            f"{where}: no known layout has the fields {', '.join(map(str, row)) or '(none)'}; "
            "known: messages; prompt, completion; problem, questions, answers; question, answer"
        )
