"""Traces on disk: JSON lines with a schema version, appended durably, read strictly."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TextIO

from decompose_distill.errors import DataError
from decompose_distill.types import (
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    Usage,
)

SCHEMA = 1
SYNC_SECONDS = 1.0
"""Longest time a written trace may wait for the disk; a killed process loses none."""


def read_traces(path: str | Path) -> Iterator[Trace]:
    """Read traces one by one, in the order they were written.

    Raises:
        DataError: A line is malformed; the message names file, line and field.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> write_traces([], path)
        >>> list(read_traces(path))
        []
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file of traces")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield decode_trace(line, f"{path}:{number}")


def write_traces(traces: Iterable[Trace], path: str | Path) -> None:
    """Write traces as JSON lines; the file appears whole or not at all.

    Example:
        >>> import tempfile
        >>> write_traces([], tempfile.mkdtemp() + "/traces.jsonl")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for trace in traces:
            file.write(encode_trace(trace) + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class Journal:
    """An append-only file of traces; each is with the operating system before the next.

    Opening repairs a last line torn by a kill. Use as a context manager.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self.path)
        self._file: TextIO = self.path.open("a", encoding="utf-8")
        self._synced = time.monotonic()

    def append(self, trace: Trace) -> None:
        """Write one trace; it survives a kill of this process at once."""
        self._file.write(encode_trace(trace) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sync()
        self._file.close()


def _cut_torn_line(path: Path) -> None:
    """Drop what follows the last line end: a kill came in the middle of a write."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                file.truncate(start + found + 1)
                return
            end = start
        file.truncate(0)


def encode_trace(trace: Trace) -> str:
    """One trace as one line of JSON, without its line end."""
    row: dict[str, Any] = {"schema": SCHEMA, "key": trace.key, "sample": trace.sample}
    if trace.solve:
        row["solve"] = trace.solve
    row["question"] = _encode_question(trace.question)
    if trace.decomposition is not None:
        row["decomposition"] = {
            "subquestions": [each.text for each in trace.decomposition.subquestions],
            "text": trace.decomposition.text,
            "usage": _encode_usage(trace.decomposition.usage),
        }
    outcome = trace.outcome
    if isinstance(outcome, Solution):
        row["solution"] = {"answer": outcome.answer, "text": outcome.text}
        row["solution"]["usage"] = _encode_usage(outcome.usage)
    else:
        row["failure"] = {"stage": outcome.stage, "reason": outcome.reason}
        row["failure"] |= {"message": outcome.message, "text": outcome.text}
        row["failure"]["usage"] = _encode_usage(outcome.usage)
    return json.dumps(row)


def decode_trace(line: str, where: str) -> Trace:
    """Read one line; `where` (file and line) starts every error message.

    Raises:
        DataError: The line is no trace of this schema.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    schema = _field(row, "schema", int, where)
    if schema != SCHEMA:
        raise DataError(f"{where}: schema {schema}; this version reads schema {SCHEMA}")
    question = decode_question(_field(row, "question", dict, where), where)
    sample = _field(row, "sample", int, where)
    decomposition = _decode_decomposition(row, question, sample, where)
    outcome = _decode_outcome(row, question, decomposition, sample, where)
    solve = _field(row, "solve", int, where) if "solve" in row else 0
    return Trace(question, outcome, sample, solve, _field(row, "key", str, where))


def decode_question(row: Mapping[str, Any], where: str) -> Question:
    """Read a question from a JSON object.

    Raises:
        DataError: A field is missing, empty or of another type.
    """
    texts: dict[str, Any] = {}
    for name in ("answer", "context", "id"):
        if row.get(name) is not None:
            texts[name] = _field(row, name, str, where)
    aliases = row.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise DataError(f"{where}: field 'aliases' must be a list of strings")
    try:
        return Question(_field(row, "text", str, where), aliases=tuple(aliases), **texts)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from None


def _encode_question(question: Question) -> dict[str, Any]:
    fields = {"id": question.id, "text": question.text, "answer": question.answer}
    fields |= {"context": question.context}
    present: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    return present | ({"aliases": list(question.aliases)} if question.aliases else {})


def _encode_usage(usage: Usage) -> dict[str, int]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _decode_usage(row: Mapping[str, Any], where: str) -> Usage:
    usage = _field(row, "usage", dict, where)
    read, written = (_field(usage, f"{kind}_tokens", int, where) for kind in ("input", "output"))
    return Usage(read, written)


def _decode_decomposition(
    row: Mapping[str, Any], question: Question, sample: int, where: str
) -> Decomposition | None:
    if "decomposition" not in row:
        return None
    part = _field(row, "decomposition", dict, where)
    texts = _field(part, "subquestions", list, where)
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: field 'subquestions' must be a list of strings")
    subquestions = tuple(Subquestion(text) for text in texts)
    text = _field(part, "text", str, where)
    return Decomposition(question, subquestions, text, sample, _decode_usage(part, where))


def _decode_outcome(
    row: Mapping[str, Any],
    question: Question,
    decomposition: Decomposition | None,
    sample: int,
    where: str,
) -> Solution | Failure:
    if "solution" in row:
        if decomposition is None:
            raise DataError(f"{where}: missing field 'decomposition'")
        part = _field(row, "solution", dict, where)
        answer, text = _field(part, "answer", str, where), _field(part, "text", str, where)
        return Solution(decomposition, answer, text, _decode_usage(part, where))
    part = _field(row, "failure", dict, where)
    stage = _field(part, "stage", str, where)
    if stage not in ("decompose", "solve"):
        raise DataError(f"{where}: field 'stage' must be 'decompose' or 'solve', not {stage!r}")
    reason, message = _field(part, "reason", str, where), _field(part, "message", str, where)
    text, usage = _field(part, "text", str, where), _decode_usage(part, where)
    return Failure(question, stage, reason, message, text, decomposition, sample, usage)


def _field(row: Any, name: str, kind: type, where: str) -> Any:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    if name not in row:
        raise DataError(f"{where}: missing field {name!r}")
    if not isinstance(row[name], kind) or (kind is int and isinstance(row[name], bool)):
        found = type(row[name]).__name__
        raise DataError(f"{where}: field {name!r} must be {kind.__name__}, not {found}")
    return row[name]
