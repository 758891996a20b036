"""Files that others wrote, as traces."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decompose_distill.data import read_rows, unwrapped
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.interop import hub_dataset as hub
from decompose_distill.interop.trace_formats import from_chat, from_socratic, from_subq
from decompose_distill.interop.training_formats import FORMS, ChatForm, Row
from decompose_distill.storage.traces import decode_trace
from decompose_distill.training.data.examples import TARGETS, Role
from decompose_distill.types import Trace

_SUBQ = {"problem", "questions", "answers"}
_SOCRATIC = {"question", "answer"}


def import_traces(path: str | Path, *, role: Role = "decomposer") -> Iterator[Trace]:
    """Read another tool's training data as traces, one by one.

    Each row is known by its fields: a chat in `messages`, a `prompt` and `completion` (chats or
    plain texts), ShareGPT's `conversations`, Alpaca's `instruction`, `input` and `output`, the
    layout of GSM8K-AI-SubQ (`problem`, `questions`, `answers`), that of GSM8K's Socratic version
    (`question`, `answer` of `subquestion ** subanswer` lines), or a trace of ours. Chats hold at
    most a system turn, one user turn with the question, and the completion; they say only one
    half of a trace:

    - for a decomposer the completion holds subquestions, and the trace ends in the failure
      `solve: not solved`, which `filters.decomposed` keeps;
    - for a solver it holds the solution, and nothing was decomposed.

    A completion that cannot be read becomes a failure, as if a model had just written it.

    Args:
        path: JSON lines (read as a stream), JSON, CSV or Parquet, also with `.gz` but for
            Parquet; or a folder that `export_traces` wrote for the hub.
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
    else:
        for where, row in read_rows(path):
            yield from unwrapped(where, row, _is_known)


def _is_known(row: Row) -> bool:
    fields = ({"schema"}, _SUBQ, _SOCRATIC)
    return any(form.fits(row) for form in FORMS) or any(known <= set(row) for known in fields)


def _traces(row: Any, where: str, role: Role) -> Iterator[Trace]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    row = hub.present(row)
    form = next((form for form in FORMS if form.fits(row)), None)
    if "schema" in row:
        yield decode_trace(json.dumps(row, default=str), where)
    elif form is not None:
        yield _from_form(form, row, where, role)
    elif set(row) >= _SUBQ:
        yield from from_subq(row, where)
    elif set(row) >= _SOCRATIC:
        yield from_socratic(row, where)
    else:
        raise DataError(
            f"{where}: no known layout has the fields {', '.join(map(str, row)) or '(none)'}; "
            "known: messages; prompt, completion; conversations; instruction, output; "
            "problem, questions, answers; question, answer"
        )


def _from_form(form: ChatForm, row: Row, where: str, role: Role) -> Trace:
    try:
        return from_chat(form.read(row), role)
    except DataError as error:
        fields = "" if str(error).startswith("field") else f"field {form.fields[0]!r}: "
        raise DataError(f"{where}: {fields}{error}") from None
