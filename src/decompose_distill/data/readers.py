"""Rows of JSON, JSON lines and CSV files, plain or gzipped, each with its place."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decompose_distill.errors import DataError

Row = tuple[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield each row with where it stands, `file:line` or `file: row n`.

    Raises:
        DataError: The file cannot be read, or a line is malformed.
    """
    text = _text(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return _csv_rows(text, path, "\t" if name.endswith(".tsv") else ",")
    try:
        whole = json.loads(text)
    except ValueError:
        return _lines(text, path)
    one_document = isinstance(whole, list) or _holds_passages(whole) or "\n" in text.strip()
    return _json_rows(whole, path) if one_document else _lines(text, path)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: not UTF-8: {error.reason}; save it as UTF-8") from None


def _holds_passages(whole: Any) -> bool:
    """Whether this is DROP's own layout, which says all in one object."""
    return isinstance(whole, dict) and all(
        isinstance(part, dict) and "qa_pairs" in part for part in whole.values()
    )


def _lines(text: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"{path}:{number}", json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON: {error}") from None


def _json_rows(whole: Any, path: Path) -> Iterator[Row]:
    """Rows of a list, or of DROP's own layout: passages, each with its questions."""
    if isinstance(whole, list):
        for number, row in enumerate(whole, start=1):
            yield f"{path}: row {number}", row
    elif _holds_passages(whole):
        for name, part in whole.items():
            if not isinstance(part.get("passage"), str) or not isinstance(part["qa_pairs"], list):
                raise DataError(f"{path}: passage {name!r}: fields 'passage', 'qa_pairs' are wrong")
            for number, pair in enumerate(part["qa_pairs"], start=1):
                where = f"{path}: passage {name!r}, question {number}"
                if not isinstance(pair, dict):
                    raise DataError(f"{where}: expected a JSON object")
                yield where, {**pair, "passage": part["passage"]}
    else:
        yield f"{path}: row 1", whole


def _csv_rows(text: str, path: Path, delimiter: str) -> Iterator[Row]:
    """Rows by header; Bamboogle's file has none: question first, answers from the fifth on."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not any(cells):
                continue
            if header is None and len(cells) == 7 and not any(cells[1:4]) and cells[4]:
                header = ["Question", "", "", "", "Answer", "A2", ""]
            elif header is None:
                header = [cell.strip() for cell in cells]
                continue
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} cells, where {len(header)} are named")
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            row.pop("", None)
            for name in ("A2", "aliases"):
                if name in row:
                    row[name] = [row[name]] if row[name] else []
            yield where, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error}") from None
