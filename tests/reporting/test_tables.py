"""The matrix as text: what failed stands in the row, the grid and the headline."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from decompose_distill import Failure, MissingExtraError, Question, Report, Trace
from decompose_distill.evaluation.results import Result
from decompose_distill.reporting.charts import forest_plot
from decompose_distill.reporting.conclusion import conclude, correct_comparisons
from decompose_distill.reporting.render import write_report
from decompose_distill.reporting.study import Cell, Grid, Study
from decompose_distill.reporting.tables import cell_line, grid_text, to_csv, to_latex, to_markdown
from tests.reporting.test_render import STUDENT, TEACHER
from tests.reporting.test_render import _cell as scored_cell


def _failed(count: int, n: int = 40, reason: str = "length") -> Cell:
    """A student whose first answers failed; the others are right."""
    right = scored_cell(STUDENT, "0.1", n, n=n).reports[0].results
    results = []
    for number, result in enumerate(right):
        failure = Failure(result.trace.question, "decompose", reason, "cut off")
        failed = Result(Trace(failure.question, failure), None if reason == "error" else 0.0)
        results.append(failed if number < count else result)
    return Cell(*STUDENT, (Report("S_D-R", "exact", tuple(results)),))


def _study(student: Cell) -> Study:
    cells = (scored_cell(TEACHER, "0.4", 36), student)
    return Study("Demo", cells, teacher=TEACHER, decomposer=STUDENT)


def test_a_student_that_failed_everywhere_says_so_wherever_its_score_stands(
    tmp_path: Path,
) -> None:
    study, told = _study(_failed(40)), "40 of 40 failed (decompose: length)"
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert cell_line(study.cells[1]).endswith(told)
    assert "0.0 (40 failed)" in grid_text(study.grid)
    assert told in conclude(study, correct_comparisons(study)).headline
    assert f'<span class="quiet mostly">{told}</span>' in page
    assert "| 40 of 40 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (figures["cells"][1]["failed"], figures["cells"][1]["answers"]) == (40, 40)
    assert repr(study.cells[1]) == f"<Cell S_D-R × solver: 0.0 % (n = 40, {told})>"


def test_a_few_failures_stand_in_the_row_and_not_in_the_headline() -> None:
    study = _study(_failed(3))

    assert cell_line(study.cells[1]).endswith("3 of 40 failed (decompose: length)")
    assert "failed" not in conclude(study, correct_comparisons(study)).headline


def test_what_a_backend_did_not_answer_is_left_out_and_no_failure_of_the_model() -> None:
    cell = _failed(4, reason="error")

    assert cell.failure_text == ""
    assert "(4 left out)" in cell_line(cell)


def test_the_json_has_each_seed_and_each_question(tmp_path: Path) -> None:
    cells = (scored_cell(TEACHER, "0.4", 36), scored_cell(STUDENT, "0.1", 35, 40))
    settings = {"Training": {"epochs": 2}, "Training seeds": [0, 1]}
    study = replace(_study(cells[1]), cells=cells, settings=settings)
    write_report(study, tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert figures["format"] == 2
    assert figures["settings"] == settings
    assert [seed["accuracy"] for seed in figures["cells"][1]["by_seed"]] == [35 / 40, 1.0]
    assert len(figures["questions"]) == 40
    assert figures["questions"][36]["scores"] == {
        "teacher × solver": [0.0],
        "S_D-R × solver": [0.0, 1.0],
    }


def test_tables_and_charts_are_files_too(tmp_path: Path) -> None:
    write_report(_study(_failed(10)), tmp_path)
    tables, figures = tmp_path / "tables", tmp_path / "figures"
    text = (tables / "accuracy.csv").read_text(encoding="utf-8")
    [head, first, second] = csv.reader(text.splitlines())

    assert dict(zip(head, second, strict=True))["failed"] == "10"
    assert first[3:6] == ["90.0", "76.9", "96.0"]
    assert r"S\_D-R $\times$ solver & teacher" in (tables / "comparisons.tex").read_text("utf-8")
    assert r"| S\_D-R × solver | teacher" in (tables / "comparisons.md").read_text("utf-8")
    assert {path.name for path in figures.iterdir()} == {"accuracy-cost.svg", "differences.svg"}
    for path in figures.iterdir():
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert "var(" not in path.read_text("utf-8")


@pytest.mark.parametrize("write", [to_csv, to_markdown, to_latex])
def test_no_text_ends_its_cell(write: Callable[[Any], str]) -> None:
    hostile = 'a, "b" | c & d_e \\ f'
    plain, odd = (write([["name", "x"], [text, "1"]]) for text in ("plain", hostile))

    assert plain.count("\n") == odd.count("\n")


def test_the_forest_plot_has_one_axis_for_all_differences() -> None:
    study = _study(_failed(10))
    plot = forest_plot(correct_comparisons(study))

    assert plot
    assert [tick.label for tick in plot.ticks] == ["−40", "−20", "0", "+20", "+40"]
    assert [row.verdict for row in plot.rows] == ["open"]
    assert plot.rows[0].low < plot.rows[0].x < plot.rows[0].high
    assert forest_plot(()) is None


def test_settings_that_are_values_read_as_words(tmp_path: Path) -> None:
    study = replace(_study(_failed(0)), settings={"Training": {"epochs": 2, "seeds": [0, 1]}})
    page = write_report(study, tmp_path).read_text(encoding="utf-8")

    assert "<dd>epochs 2, seeds 0, 1</dd>" in page


def test_a_study_prints_short_and_as_a_table_in_notebooks() -> None:
    study = _study(_failed(40))

    assert repr(study) == "<Study 'Demo': 2 cells, 0 comparisons>"
    assert "<td>0.0 (40 failed)</td>" in study._repr_html_()
    report = Report("a < b", "exact", (Result(Trace(Question("Why?"), _failure()), None),))
    assert "a &lt; b" in report._repr_html_()
    assert len(repr(study.cells[0].reports[0])) < 100


class _Frame:
    """Stands in for a data frame of pandas, which is not installed everywhere."""

    def __init__(self, rows: list[tuple[object, ...]], columns: list[str]) -> None:
        self.rows = [dict(zip(columns, row, strict=True)) for row in rows]


def test_a_report_and_a_study_are_rows_of_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=_Frame))
    study = replace(_study(_failed(40)), transfers=(Grid("elsewhere", _study(_failed(0)).cells),))
    report: Any = study.cells[1].reports[0].to_pandas()
    cells: Any = study.to_pandas()

    assert len(report.rows) == 40
    assert {row["failure"] for row in report.rows} == {"decompose: length"}
    assert {row["score"] for row in report.rows} == {0.0}
    assert [row["questions"] for row in cells.rows] == ["", "", "elsewhere", "elsewhere"]
    assert [row["failed"] for row in cells.rows] == [0, 40, 0, 0]
    assert cells.rows[1]["accuracy"] == cells.rows[1]["ci_low"] == 0.0
    assert cells.rows[1]["usd_per_question"] is None


def test_pandas_itself_takes_the_rows() -> None:
    pandas = pytest.importorskip("pandas")
    study = _study(_failed(40))

    assert study.to_pandas().groupby("row")["failed"].sum().to_dict()["S_D-R"] == 40
    assert isinstance(study.cells[0].reports[0].to_pandas(), pandas.DataFrame)
    assert Report("nothing", "exact", ()).to_pandas().columns[0] == "id"


def test_without_pandas_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        Report("teacher", "exact", ()).to_pandas()


def _failure() -> Failure:
    return Failure(Question("Why?"), "solve", "error", "no answer")


def test_a_cell_without_a_score_is_a_dash_in_the_table_and_no_nan() -> None:
    cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
    assert grid_text(Grid("", (cell,))).split() == ["solver", "teacher", "–"]
