"""A study on disk, with its traces, so that its report can be written anew."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from decompose_distill.cost.break_even import Cost, Expense
from decompose_distill.errors import DataError
from decompose_distill.evaluation.contamination import Overlap
from decompose_distill.evaluation.results import Comparison, Report, Result
from decompose_distill.reporting.study import (
    Cell,
    Flow,
    Grid,
    LossCurve,
    MaskedRow,
    Place,
    Study,
)
from decompose_distill.storage.atomic import replacing
from decompose_distill.storage.traces import decode_trace, encode_trace
from decompose_distill.types import Usage

STUDY = "study.jsonl.gz"
FORMAT = 2


def save_study(study: Study, folder: str | Path) -> Path:
    """Write a study as compressed JSON lines: its figures first, then a line per trace.

    Example:
        >>> import tempfile
        >>> cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
        >>> study, folder = Study("Demo", (cell,), teacher=cell.place), tempfile.mkdtemp()
        >>> save_study(study, folder).name
        'study.jsonl.gz'
        >>> load_study(folder) == study
        True
    """
    path = Path(folder) / STUDY
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, gzip.open(partial, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _lines(study))
    return path


def load_study(folder: str | Path) -> Study:
    """Read a study that was saved in a folder.

    Raises:
        DataError: There is none, or it is damaged.

    Example:
        >>> load_study("runs/none")
        Traceback (most recent call last):
        decompose_distill.errors.DataError: runs/none/study.jsonl.gz: no such study; ...
    """
    path = Path(folder) / STUDY
    if not path.is_file():
        raise DataError(f"{path}: no such study; `paper` saves one into its output_dir")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return _decode(json.loads(next(lines)), lines, str(path))
    except (OSError, EOFError, ValueError, KeyError, TypeError, StopIteration) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no study of format {FORMAT}, or damaged: {error!r}") from error


def _lines(study: Study) -> Iterator[str]:
    names = ("title", "teacher", "decomposer", "solver", "warnings", "settings")
    head: dict[str, Any] = {"format": FORMAT} | {name: getattr(study, name) for name in names}
    for name in ("comparisons", "losses", "masked_rows"):
        head[name] = [asdict(part) for part in getattr(study, name)]
    head["flows"] = [asdict(flow) | {"dropped": dict(flow.dropped)} for flow in study.flows]
    grids = (study.cells, *(grid.cells for grid in study.transfers))
    head["transfers"] = [grid.name for grid in study.transfers]
    head["cells"] = [[_cell(cell) for cell in cells] for cells in grids]
    yield json.dumps(head, default=str)
    for report, where in _reports(grids):
        for result in report.results:
            yield json.dumps([*where, result.score, encode_trace(result.trace)])


def _reports(grids: tuple[tuple[Cell, ...], ...]) -> Iterator[tuple[Report, tuple[int, int, int]]]:
    for grid, cells in enumerate(grids):
        for index, cell in enumerate(cells):
            for seed, report in enumerate(cell.reports):
                yield report, (grid, index, seed)


def _cell(cell: Cell) -> dict[str, Any]:
    reports = [asdict(replace(report, results=())) for report in cell.reports]
    return {
        "row": cell.row,
        "column": cell.column,
        "reports": reports,
        "cost": asdict(cell.cost) if cell.cost else None,
    }


def _decode(head: Mapping[str, Any], lines: Iterator[str], where: str) -> Study:
    if head["format"] != FORMAT:
        raise DataError(f"{where}: format {head['format']}; this version reads format {FORMAT}")
    results: dict[tuple[int, int, int], tuple[Result, ...]] = {}
    numbered = (json.loads(line) for line in lines)
    for key, rows in groupby(numbered, lambda row: tuple(row[:3])):
        results[key] = tuple(Result(decode_trace(row[4], where), row[3]) for row in rows)
    grids = [
        tuple(_read_cell(row, results, grid, index) for index, row in enumerate(rows))
        for grid, rows in enumerate(head["cells"])
    ]
    return Study(
        head["title"],
        grids[0],
        teacher=_read_place(head["teacher"]),
        decomposer=head["decomposer"] and _read_place(head["decomposer"]),
        solver=head["solver"] and _read_place(head["solver"]),
        comparisons=tuple(map(_comparison, head["comparisons"])),
        transfers=tuple(map(Grid, head["transfers"], grids[1:])),
        flows=tuple(Flow(**row) for row in head["flows"]),
        losses=tuple(
            LossCurve(row["name"], _points(row["train"]), _points(row["validation"]))
            for row in head["losses"]
        ),
        masked_rows=tuple(
            MaskedRow(row["name"], row["prompt"], tuple(row["tokens"]))
            for row in head["masked_rows"]
        ),
        warnings=tuple(head["warnings"]),
        settings=head["settings"],
    )


def _comparison(row: Mapping[str, Any]) -> Comparison:
    pairs = tuple(map(_pair, row["pairs"]))
    return Comparison(row["name"], row["baseline"], pairs, tuple(row["by_seed"]))


def _read_cell(
    row: Mapping[str, Any],
    results: Mapping[tuple[int, int, int], tuple[Result, ...]],
    grid: int,
    index: int,
) -> Cell:
    reports = tuple(
        Report(
            report["name"],
            report["score_name"],
            results.get((grid, index, seed), ()),
            report["score_version"],
            report["overlap"] and _overlap(report["overlap"]),
        )
        for seed, report in enumerate(row["reports"])
    )
    return Cell(row["row"], row["column"], reports, row["cost"] and _cost(row["cost"]))


def _overlap(row: Mapping[str, Any]) -> Overlap:
    return Overlap(tuple(row["exact"]), tuple(row["near"]), row["n"])


def _cost(row: Mapping[str, Any]) -> Cost:
    expenses = tuple(
        Expense(part["role"], Usage(**part["usage"]), _usd(part["usd"])) for part in row["expenses"]
    )
    return Cost(row["questions"], expenses, _usd(row["training_usd"]))


def _usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _read_place(names: list[str]) -> Place:
    return (names[0], names[1])


def _pair(pair: list[float]) -> tuple[float, float]:
    return (pair[0], pair[1])


def _points(points: list[list[Any]]) -> tuple[tuple[int, float], ...]:
    return tuple((step, loss) for step, loss in points)
