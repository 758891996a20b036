"""Folders as the Hugging Face Hub and `datasets.load_dataset` read them.

Data in `data/train-*`, and a README whose head names files and columns:
https://huggingface.co/docs/hub/datasets-manual-configuration. Every row has every column, and the
head says their types, so that a column that is empty at first keeps its type.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from decompose_distill.errors import DataError, MissingExtraError
from decompose_distill.interop.training_formats import Row
from decompose_distill.storage.atomic import creating
from decompose_distill.storage.traces import encode_trace
from decompose_distill.types import Trace

Kind = str | list[Any] | Mapping[str, Any]
"""Type of a column: a list holds its one kind, a mapping is an object of fields."""

_USAGE: Mapping[str, Kind] = {"input_tokens": "int64", "output_tokens": "int64"}
_TURNS: Kind = [{"role": "string", "content": "string"}]
_WORDS: Kind = ["string"]
COLUMNS: Mapping[str, Kind] = {
    "prompt": _TURNS,
    "completion": _TURNS,
    "schema": "int64",
    "key": "string",
    "sample": "int64",
    "solve": "int64",
    "question": {
        "id": "string",
        "text": "string",
        "answer": "string",
        "context": "string",
        "aliases": _WORDS,
    },
    "decomposition": {"subquestions": _WORDS, "text": "string", "usage": _USAGE},
    "solution": {"answer": "string", "text": "string", "usage": _USAGE},
    "failure": {
        "stage": "string",
        "reason": "string",
        "message": "string",
        "text": "string",
        "usage": _USAGE,
    },
}
ROWS_PER_GROUP = 1000


def columns(trace: Trace) -> Row:
    """A trace as `read_traces` knows it, with null where a field is absent."""
    row: Row = json.loads(encode_trace(trace))
    empty = {"solve": 0, "decomposition": None, "solution": None, "failure": None}
    nothing: dict[str, object] = {"answer": None, "context": None, "aliases": None}
    return empty | row | {"question": nothing | row["question"]}


def card(suffix: str) -> str:
    """The README of a folder; its head is YAML, of which JSON is a part."""
    head = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": f"data/train-*.{suffix}"}],
            }
        ],
        "dataset_info": {"features": _features(COLUMNS)},
        "tags": ["decompose-distill"],
    }
    lines = "\n".join(f"{name}: {json.dumps(value)}" for name, value in head.items())
    return (
        f"---\n{lines}\n---\n\n# Traces of decompose-distill\n\n"
        "Each row is one pass of a question through a decomposer and a solver. `prompt` and "
        "`completion` are what a student is trained on; the other columns are the trace.\n"
    )


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write rows into one Parquet file, a group at a time, and count them.

    Raises:
        MissingExtraError: pyarrow is missing.
        DataError: A text cannot be stored, such as half of a surrogate pair.
    """
    arrow, parquet = _pyarrow()
    schema = arrow.schema([(name, _arrow_type(kind)) for name, kind in COLUMNS.items()])
    count, rest = 0, iter(rows)
    with creating(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        while group := list(islice(rest, ROWS_PER_GROUP)):
            try:
                writer.write_table(arrow.Table.from_pylist(group, schema))
            except (arrow.ArrowException, UnicodeError) as error:
                raise DataError(f"rows {count + 1} to {count + len(group)}: {error}") from None
            count += len(group)
    return count


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, without what is null.

    Raises:
        MissingExtraError: pyarrow is missing.
        DataError: It is no Parquet file.
    """
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path) as file:
            for group in file.iter_batches(ROWS_PER_GROUP):
                yield from group.to_pylist()
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not Parquet: {error}") from None


def present(value: Any) -> Any:
    """A row without the fields that are null, at every depth."""
    if isinstance(value, dict):
        return {name: present(item) for name, item in value.items() if item is not None}
    return value


def _features(kinds: Mapping[str, Kind]) -> list[Row]:
    """Columns as the head of a README names them."""
    return [{"name": name} | _feature(kind) for name, kind in kinds.items()]


def _feature(kind: Kind) -> Row:
    if isinstance(kind, str):
        return {"dtype": kind}
    if isinstance(kind, list):
        [inner] = kind
        return {"list": inner if isinstance(inner, str) else _features(inner)}
    return {"struct": _features(kind)}


def _arrow_type(kind: Kind) -> Any:
    arrow, _ = _pyarrow()
    if isinstance(kind, str):
        return arrow.int64() if kind == "int64" else arrow.string()
    if isinstance(kind, list):
        return arrow.list_(_arrow_type(kind[0]))
    return arrow.struct([(name, _arrow_type(inner)) for name, inner in kind.items()])


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "Parquet needs pyarrow: pip install 'decompose-distill[datasets]', or use format hub, "
            "which writes JSON lines"
        ) from error
    return pyarrow, pyarrow.parquet
