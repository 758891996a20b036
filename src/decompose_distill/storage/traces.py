"""Traces on disk: JSON lines with a schema version, appended durably, read strictly."""

import glob
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from decompose_distill.errors import DataError, check_path, wrong_kind
from decompose_distill.storage.atomic import replacing
from decompose_distill.storage.jsonl import JsonlFile, decode_object, is_json, typed, writing
from decompose_distill.storage.remote import is_remote, open_remote, remote_files, writing_remote
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
TraceSource = str | Path | Iterable[Trace | str | Path]
"""What is taken for traces: paths of files, folders or patterns, or values."""


def read_traces(path: str | Path) -> Iterator[Trace]:
    """Read traces one by one, in the order of the file, also while it is being written.

    A last line without its end that is not whole is left out: its writer is not done with it.

    Args:
        path: A file, a folder whose files `*.jsonl` are read in the order of their names, a
            pattern such as `runs/*.jsonl`, or an address such as `s3://bucket/traces.jsonl` of
            any of these.

    Raises:
        DataError: A line is malformed, or there is no file; the message names file, line and
            field.
        MissingExtraError: The package for that kind of address is missing.

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> write_traces([], path)
        >>> list(read_traces(path))
        []
    """
    check_path("path", path)
    return (trace for file in trace_files(path) for _, trace in scan_traces(file))


def trace_files(path: str | Path) -> Iterator[str | Path]:
    """The files of traces that a path means, in the order of their names.

    Raises:
        DataError: There is none in the folder, or none fits the pattern.
    """
    if is_remote(path):
        yield from remote_files(str(path))
        return
    files: list[Path] = [Path(path)]
    if Path(path).is_dir():
        files = sorted(Path(path).glob("*.jsonl"))
    elif not Path(path).exists() and glob.has_magic(str(path)):
        files = sorted(map(Path, glob.glob(str(path))))
    if not files:
        raise DataError(f"{path}: no file of traces (*.jsonl) is there")
    yield from files


def as_traces(source: TraceSource) -> Iterable[Trace]:
    """Traces as they come, or those of files one after the other; see `read_traces`.

    Raises:
        ConfigError: They are something else; the message says what.
        DataError: A file is missing or malformed.

    Example:
        >>> list(as_traces([]))
        []
    """
    if isinstance(source, str | Path):
        return read_traces(source)
    if not isinstance(source, Iterable):
        raise wrong_kind("traces", source, "paths, or values as read_traces gives them")
    return chain.from_iterable(map(_traces_of, source))


def _traces_of(item: Trace | str | Path) -> Iterable[Trace]:
    if isinstance(item, str | Path):
        return read_traces(item)
    if not isinstance(item, Trace):
        raise wrong_kind("traces", item, "Trace values, as read_traces gives them, or paths")
    return (item,)


def write_traces(traces: Iterable[Trace], path: str | Path) -> None:
    """Write traces as JSON lines; the file appears whole or not at all.

    Args:
        path: A file, or an address such as `s3://bucket/traces.jsonl`.

    Raises:
        DataError: The file cannot be written.
        MissingExtraError: The package for that kind of address is missing.

    Example:
        >>> import tempfile
        >>> write_traces([], tempfile.mkdtemp() + "/traces.jsonl")
    """
    check_path("path", path)
    lines = (encode_trace(trace).encode() + b"\n" for trace in as_traces(traces))
    if is_remote(path):
        with writing_remote(str(path)) as file:
            file.writelines(lines)
        return
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            file.writelines(lines)


def scan_traces(path: str | Path) -> Iterator[tuple[int, Trace]]:
    """Read traces as `read_traces` does, each with where its line begins, in bytes."""
    begins = 0
    with _opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n") and not is_json(line):
                return  # its writer is not done with it, or was killed
            if line.strip():
                yield begins, decode_trace(line, f"{path}:{number}")
            begins += len(line)


def _opened(path: str | Path) -> BinaryIO:
    if is_remote(path):
        return open_remote(str(path))
    if Path(path).is_dir():
        raise DataError(f"{path} is a folder: name a file of traces in it")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file of traces")
    return Path(path).open("rb")


class TraceStore(JsonlFile):
    """A file of traces that is added to; see `JsonlFile` for what is durable when."""

    def add(self, trace: Trace) -> int:
        """Write one trace, and tell where its line begins."""
        return self.append(encode_trace(trace))

    def trace(self, begins: int) -> Trace:
        """Read back the trace whose line begins there."""
        return decode_trace(self.read(begins), f"{self.path} at byte {begins}")


def encode_trace(trace: Trace) -> str:
    """One trace as one line of JSON, without its line end."""
    row: dict[str, Any] = {"schema": SCHEMA, "key": trace.key, "sample": trace.sample}
    if trace.solve:
        row["solve"] = trace.solve
    row["question"] = _encode_question(trace.question)
    if trace.decomposition is not None:
        row["decomposition"] = {
            "subquestions": [step.text for step in trace.decomposition.subquestions],
            "text": trace.decomposition.text,
            "usage": _encode_usage(trace.decomposition.usage),
            **_present(trace.decomposition, "reasoning", "leftover"),
        }
    outcome = trace.outcome
    if isinstance(outcome, Solution):
        row["solution"] = {"answer": outcome.answer, "text": outcome.text}
        row["solution"] |= _present(outcome, "reasoning")
        row["solution"]["usage"] = _encode_usage(outcome.usage)
    else:
        row["failure"] = {"stage": outcome.stage, "reason": outcome.reason}
        row["failure"] |= {"message": outcome.message, "text": outcome.text}
        row["failure"]["usage"] = _encode_usage(outcome.usage)
    return json.dumps(row)


def decode_trace(line: str | bytes, where: str) -> Trace:
    """Read one line; `where` (file and line) starts every error message.

    Raises:
        DataError: The line is no trace of this schema.
    """
    row = decode_object(line, where)
    if "schema" not in row:
        if isinstance(row.get("question"), str):
            raise DataError(f"{where}: a question, not a trace: collect makes traces of questions")
        raise DataError(
            f"{where}: missing field 'schema', so this is no trace: collect writes traces, "
            "load_questions reads questions, import_traces training data"
        )
    schema = typed(row, "schema", int, where)
    if schema != SCHEMA:
        raise DataError(f"{where}: schema {schema}; this version reads schema {SCHEMA}")
    question = decode_question(typed(row, "question", dict, where), where)
    sample = typed(row, "sample", int, where)
    decomposition = _decode_decomposition(row, question, sample, where)
    outcome = _decode_outcome(row, question, decomposition, sample, where)
    solve = typed(row, "solve", int, where) if "solve" in row else 0
    return Trace(question, outcome, sample, solve, typed(row, "key", str, where))


def decode_question(row: Mapping[str, Any], where: str) -> Question:
    """Read a question from a JSON object.

    Raises:
        DataError: A field is missing, empty or of another type.
    """
    texts: dict[str, Any] = {}
    for name in ("answer", "context", "id"):
        if row.get(name) is not None:
            texts[name] = typed(row, name, str, where)
    aliases = _texts(row, "aliases", where) if "aliases" in row else ()
    try:
        return Question(typed(row, "text", str, where), aliases=tuple(aliases), **texts)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from None


def _texts(row: Mapping[str, Any], name: str, where: str) -> list[str]:
    texts = row[name] if name in row else typed(row, name, list, where)
    if type(texts) is not list or not set(map(type, texts)) <= {str}:
        raise DataError(f"{where}: field {name!r} must be a list of strings")
    return list(texts)


def _encode_question(question: Question) -> dict[str, Any]:
    fields = {"id": question.id, "text": question.text, "answer": question.answer}
    fields |= {"context": question.context}
    present: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    return present | ({"aliases": list(question.aliases)} if question.aliases else {})


def _encode_usage(usage: Usage) -> dict[str, int]:
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return counts | _present(usage, "cached_tokens", "reasoning_tokens")


def _present(value: object, *names: str) -> dict[str, Any]:
    """Fields that not every value has; a line without them is as short as it always was."""
    return {name: getattr(value, name) for name in names if getattr(value, name)}


def _decode_usage(row: Mapping[str, Any], where: str) -> Usage:
    usage = typed(row, "usage", dict, where)
    counts = [typed(usage, name, int, where) for name in ("input_tokens", "output_tokens")]
    parts = {
        name: typed(usage, name, int, where)
        for name in ("cached_tokens", "reasoning_tokens")
        if name in usage
    }
    return Usage(*counts, **parts)


def _optional_texts(row: Mapping[str, Any], where: str, *names: str) -> dict[str, str]:
    return {name: typed(row, name, str, where) for name in names if name in row}


def _decode_decomposition(
    row: Mapping[str, Any], question: Question, sample: int, where: str
) -> Decomposition | None:
    if "decomposition" not in row:
        return None
    part = typed(row, "decomposition", dict, where)
    subquestions = tuple(map(Subquestion, _texts(part, "subquestions", where)))
    text = typed(part, "text", str, where)
    usage, more = _decode_usage(part, where), _optional_texts(part, where, "reasoning", "leftover")
    return Decomposition(question, subquestions, text, sample, usage, **more)


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
        part = typed(row, "solution", dict, where)
        answer, text = typed(part, "answer", str, where), typed(part, "text", str, where)
        more = _optional_texts(part, where, "reasoning")
        return Solution(decomposition, answer, text, _decode_usage(part, where), **more)
    part = typed(row, "failure", dict, where)
    stage = typed(part, "stage", str, where)
    if stage not in ("decompose", "solve"):
        raise DataError(f"{where}: field 'stage' must be 'decompose' or 'solve', not {stage!r}")
    reason, message = typed(part, "reason", str, where), typed(part, "message", str, where)
    text, usage = typed(part, "text", str, where), _decode_usage(part, where)
    return Failure(question, stage, reason, message, text, decomposition, sample, usage)
