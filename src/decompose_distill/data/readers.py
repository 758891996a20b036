"""Rows of JSON, JSON lines and CSV files, plain or gzipped, each with where it stands."""

import csv
import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from decompose_distill.errors import DataError
from decompose_distill.storage.jsonl import check_nesting, decode_foreign

Located = tuple[str, Any]
"""Where a row stands, `file:line` or `file: row n`, and the row."""
Lines = Iterator[tuple[int, str]]
"""Lines with their ends, each with its number from 1."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OF_LINES = (".jsonl", ".ndjson")
_OF_CELLS = (".csv", ".tsv", ".tab")
_BAMBOOGLE = ["Question", "", "", "", "Answer", "A2", ""]
_MMLU = ["question", "A", "B", "C", "D", "answer"]
_WRAPPERS = ("row", "questions", "qas", "qa_pairs", "examples", "rows", "data", "Data")
"""Fields that hold rows; where an object has several, the first of these counts."""
_INHERITED = ("context", "passage", "article", "task_prefix")
"""Fields of a wrapper that belong to each row inside."""
_ASKED = ("question", "Question", "problem", "input")
_MOST_WRAPPED = 6


def read_rows(path: Path) -> Iterator[Located]:
    """Yield each row of a file; of JSON lines and CSV memory holds one at a time.

    Raises:
        DataError: The file cannot be read, or a line is malformed.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            for where, row in _rows(_lines(file, path), path):
                check_nesting(row, where)
                yield where, row
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def unwrapped(
    where: str, row: Any, fits: Callable[[dict[str, Any]], bool], depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield the rows inside an object that wraps them, at any depth; itself where it is a row.

    Wrappers are such as BIG-bench's `{"examples": [...]}`, SQuAD's `data`, `paragraphs` and
    `qas`, DROP's passages by name, and the `rows` of the hub's viewer.

    Args:
        where: File and line.
        row: As `read_rows` gives it.
        fits: Whether an object is a row and no wrapper.
        depth: Of wrappers around this one.

    Example:
        >>> whole = {"version": 2, "data": [{"question": "Who?"}]}
        >>> list(unwrapped("x.json", whole, lambda row: "question" in row))
        [('x.json, data 1', {'question': 'Who?'})]
    """
    if depth == 0 and (columns := _columns(row)):
        yield from ((f"{where}, row {number}", cells) for number, cells in enumerate(columns, 1))
        return
    wrapper = depth < _MOST_WRAPPED and isinstance(row, dict) and not fits(row)
    inside = _inside(row) if wrapper else None
    if inside is None:
        yield where, row
        return
    inherited = {name: row[name] for name in _INHERITED if isinstance(row.get(name), str)}
    for name, inner in inside:
        yield from unwrapped(f"{where}, {name}", inherited | inner, fits, depth + 1)


def _columns(row: Any) -> list[dict[str, Any]]:
    """The rows of an object of columns: lists of one length, or as data frames by one index."""
    if not isinstance(row, dict) or len(row) < 2:
        return []
    if all(isinstance(column, dict) for column in row.values()):
        first, *others = row.values()
        if any(column.keys() != first.keys() for column in others):
            return []
        row = {name: list(column.values()) for name, column in row.items()}
    if not any(_are_texts(row.get(name)) for name in _ASKED):
        return []
    lengths = {len(column) if isinstance(column, list) else -1 for column in row.values()}
    if len(lengths) > 1:
        return []
    return [dict(zip(row, cells, strict=True)) for cells in zip(*row.values(), strict=True)]


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _inside(row: dict[str, Any]) -> list[tuple[str, dict[str, Any]]] | None:
    """The objects in a wrapper, each with its name; `None` if it is no wrapper."""
    holders = [name for name, value in row.items() if _holds_objects(value, name in _WRAPPERS)]
    name = next((name for name in _WRAPPERS if name in holders), None)
    if name is None and len(holders) == 1:
        [name] = holders
    if name is None:
        named = bool(row) and all(isinstance(value, dict) for value in row.values())
        return [(repr(name), inner) for name, inner in row.items()] if named else None
    if isinstance(row[name], dict):
        return [(name, row[name])]
    return [(f"{name} {number}", inner) for number, inner in enumerate(row[name], start=1)]


def _holds_objects(value: Any, may_be_empty: bool) -> bool:
    """Whether it is an object, or a list of nothing else."""
    if isinstance(value, list):
        return all(isinstance(inner, dict) for inner in value) and (bool(value) or may_be_empty)
    return isinstance(value, dict)


def _lines(file: BinaryIO | gzip.GzipFile, path: Path) -> Lines:
    for number, data in enumerate(file, start=1):
        if number == 1 and data.startswith(_UTF_16):
            raise DataError(f"{path}:1: not UTF-8 but UTF-16; save it as UTF-8")
        try:
            yield number, data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            fault = f"not UTF-8: {error.reason}; save it as UTF-8"
            raise DataError(f"{path}:{number}: {fault}") from None


def _rows(lines: Lines, path: Path) -> Iterator[Located]:
    number, line = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if not line:
        return iter(())
    all_lines = chain([(number, line)], lines)
    if path.name.lower().removesuffix(".gz").endswith(_OF_CELLS):
        return _csv_rows(all_lines, path, _delimiter(line, path))
    if line.lstrip()[0] not in "{[":
        raise DataError(
            f"{path}:{number}: not JSON: it begins with {line.strip()[:20]!r}; "
            "a table of cells must be named .csv or .tsv"
        )
    if line.lstrip()[0] == "{" and _is_whole(line, path):
        return _json_lines(all_lines, path)
    return _document(all_lines, path)


def _is_whole(line: str, path: Path) -> bool:
    """Whether a line of a file that begins with an object is the whole object."""
    try:
        decode_foreign(line, "")
    except DataError:
        return path.name.lower().removesuffix(".gz").endswith(_OF_LINES) and len(line.strip()) > 1
    return True


def _json_lines(lines: Lines, path: Path) -> Iterator[Located]:
    for number, line in lines:
        if line.strip():
            yield f"{path}:{number}", decode_foreign(line.rstrip(), f"{path}:{number}")


def _document(lines: Lines, path: Path) -> Iterator[Located]:
    """Rows of a list, or the one object that a file holds."""
    first, text = next(lines)
    text += "".join(line for _, line in lines)
    whole = decode_foreign(text, str(path), first)
    if not isinstance(whole, list):
        yield str(path), whole
        return
    for number, row in enumerate(whole, start=1):
        yield f"{path}: row {number}", row


def _delimiter(header: str, path: Path) -> str:
    """Tab in `.tsv`; in `.csv` a semicolon or a tab where the first line has no comma."""
    if not path.name.lower().removesuffix(".gz").endswith(".csv"):
        return "\t"
    return next((sign for sign in ",;\t" if sign in header), ",")


def _csv_rows(lines: Lines, path: Path, delimiter: str) -> Iterator[Located]:
    """Rows by header; the files of Bamboogle and MMLU have none."""
    numbers = [0]

    def texts() -> Iterator[str]:
        for numbers[0], line in lines:
            yield line

    header: list[str] | None = None
    try:
        for cells in csv.reader(texts(), delimiter=delimiter, strict=True):
            where = f"{path}:{numbers[0]}"
            if not any(cells):
                continue
            if header is None:
                header = _known_header(cells) or [cell.strip() for cell in cells]
                _check_header(header, where)
                if not _known_header(cells):
                    continue
            if len(cells) != len(header):
                raise DataError(f"{where}: {len(cells)} cells, where {len(header)} are named")
            yield where, _csv_row(header, cells)
    except csv.Error as error:
        raise DataError(f"{path}:{numbers[0]}: not CSV: {error}") from None


def _known_header(cells: list[str]) -> list[str] | None:
    """The header that a published file leaves out, known by the cells of its first row."""
    if len(cells) == 7 and not any(cells[1:4]) and cells[4]:
        return _BAMBOOGLE  # question first, answers from the fifth on
    if len(cells) == 6 and cells[5] in _MMLU[1:5] and not set(cells[1:5]) & set(_MMLU):
        return _MMLU
    return None


def _check_header(header: list[str], where: str) -> None:
    if repeated := {name for name in header if name and header.count(name) > 1}:
        raise DataError(f"{where}: column {min(repeated)!r} stands there twice")


def _csv_row(header: list[str], cells: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(header, map(_cell, cells), strict=True))
    row.pop("", None)
    for name in ("A2", "aliases"):
        if name in row:
            row[name] = [row[name]] if row[name] else []
    return row


def _cell(text: str) -> str | float:
    """A cell; what data frames write for nothing is no word, and refused where it is used."""
    return math.nan if text in ("nan", "NaN") else text
