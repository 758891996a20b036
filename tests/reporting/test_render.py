"""The written report: complete, escaped, and usable in a real browser without a network."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposition,
    Question,
    Report,
    Solution,
    Subquestion,
    Trace,
    Usage,
)
from decompose_distill.cost.break_even import Cost, Expense
from decompose_distill.evaluation.results import Result
from decompose_distill.reporting.render import trace_viewer_data, write_report
from decompose_distill.reporting.study import Cell, Flow, Grid, LossCurve, MaskedRow, Study
from decompose_distill.reporting.study_file import load_study, save_study
from tests.support.browser import chromium, emulate

HOSTILE = "<script>document.title='run'</script></script><img src=x onerror=alert(1)> \x1b[31mred"
TEACHER, STUDENT, SOLVER = ("teacher", "solver"), ("S_D-R", "solver"), ("teacher", "S_E-R")


def _report(rights: int, n: int) -> Report:
    results = []
    for number in range(n):
        question = Question(HOSTILE if number == 0 else f"Question {number}?", answer="1")
        split = Decomposition(question, (Subquestion("First?"),), usage=Usage(10, 5))
        answer = "1" if number < rights else "2"
        trace = Trace(question, Solution(split, answer, HOSTILE, Usage(20, 5)))
        results.append(Result(trace, float(number < rights)))
    return Report("row", "exact", tuple(results))


def _cell(place: tuple[str, str], usd: str | None, *rights: int, n: int = 40) -> Cell:
    expense = Expense("solver", Usage(20, 5), None if usd is None else Decimal(usd))
    cost = Cost(n * len(rights), (expense,), Decimal(2) if place == STUDENT else Decimal(0))
    return Cell(*place, tuple(_report(each, n) for each in rights), cost)


def _study(*, price: str | None = "0.1", student: tuple[int, ...] = (35, 37)) -> Study:
    cells = (_cell(TEACHER, "0.4", 36), _cell(STUDENT, price, *student), _cell(SOLVER, "0.2", 8))
    return Study(
        HOSTILE,
        cells,
        teacher=TEACHER,
        decomposer=STUDENT,
        solver=SOLVER,
        transfers=(Grid(HOSTILE, (_cell(STUDENT, price, 20),)),),
        flows=(Flow("S_D-R", 10, 7, Counter({HOSTILE: 3})),),
        losses=(LossCurve(HOSTILE, ((1, 2.0), (2, 1.0))),),
        masked_rows=(MaskedRow("S_D-R", HOSTILE, ("How", HOSTILE)),),
        warnings=(HOSTILE,),
        settings={HOSTILE: HOSTILE},
    )


def test_the_answer_says_what_was_shown_of_each_part_and_what_it_saves(tmp_path: Path) -> None:
    write_report(_study(), tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert figures["answer"].startswith(
        "Distilling the decomposer: no loss detected; this sample would usually detect a loss of "
        "22.3 points or more. "
        "Distilling the solver loses 70.0 points."
    )
    # $0.01 per question before, $0.1 for 80 after: 2 / 0.00875 questions.
    assert "after 229 questions" in figures["answer"]
    assert figures["break_even"]["questions"] == 229


def test_a_difference_stands_beside_those_of_each_seed(tmp_path: Path) -> None:
    page = write_report(_study(), tmp_path).read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    decomposer, solver = figures["comparisons"]

    assert decomposer["by_seed"] == pytest.approx([-1 / 40, 1 / 40])
    assert solver["by_seed"] == []
    assert "(by seed −2.5, +2.5)" in figures["answer"]
    assert "by seed −2.5, +2.5" in page.partition('id="comparisons"')[2]


def test_seeds_that_do_not_pair_or_have_no_score_are_not_set_against_each_other() -> None:
    two, three = _cell(STUDENT, None, 30, 34), _cell(SOLVER, None, 20, 20, 26)

    assert two.compare(three).by_seed == ()
    unscored = tuple(replace(each, score=None) for each in two.reports[1].results)
    half = replace(two, reports=(two.reports[0], replace(two.reports[1], results=unscored)))
    assert half.compare(_cell(TEACHER, None, 28)).by_seed == ()
    assert two.compare(_cell(TEACHER, None, 28)).by_seed == pytest.approx((0.05, 0.15))


def test_figures_of_two_versions_of_a_score_are_not_set_against_each_other() -> None:
    old, new = (replace(_report(30, 40), score_version=version) for version in "12")

    with pytest.raises(ConfigError, match="exact/1, exact/2"):
        Cell(*STUDENT, (old, new))
    with pytest.raises(ConfigError, match="share no question and score"):
        Cell(*STUDENT, (new,)).compare(Cell(*TEACHER, (old,)))


def test_an_unknown_price_is_said_and_not_drawn(tmp_path: Path) -> None:
    write_report(_study(price=None), tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert figures["break_even"] is None
    assert "a price is missing" in figures["answer"]
    assert figures["cells"][1]["cost"]["usd"] is None


def test_a_sample_too_small_to_show_anything_is_not_said_to_have_shown_no_loss(
    tmp_path: Path,
) -> None:
    cells = (_cell(TEACHER, "0.4", 3, n=3), _cell(STUDENT, "0.1", 0, n=3))
    study = replace(_study(), cells=cells, solver=None)
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert "Distilling the decomposer: too few questions to show any difference." in page
    assert figures["comparisons"][0]["smallest_difference"] is None


def test_without_a_student_no_price_is_said_to_be_missing(tmp_path: Path) -> None:
    study = Study("Demo", (_cell(TEACHER, "0.4", 36),), teacher=TEACHER)
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")

    assert "No distilled decomposer was measured" in page
    assert "no distilled decomposer was measured" in markdown
    assert "price is missing" not in page + markdown


def test_a_student_that_loses_is_not_praised(tmp_path: Path) -> None:
    write_report(_study(student=(5,)), tmp_path)
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert figures["answer"].startswith("Distilling the decomposer loses 77.5 points.")


def test_every_figure_has_its_score_and_those_on_other_questions_stand_below(
    tmp_path: Path,
) -> None:
    study = _study()
    versioned = replace(study, cells=tuple(map(_exact_2, study.cells)))
    page = write_report(versioned, tmp_path).read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert "Percent, by exact/2," in page
    assert "On other questions: &lt;script&gt;" in page
    assert markdown.count("| exact/2 |") == 3
    assert [each["score_version"] for each in figures["cells"]] == ["2"] * 3
    assert figures["transfers"][0]["cells"][0]["accuracy"] == 0.5


def _exact_2(cell: Cell) -> Cell:
    reports = tuple(replace(report, score_version="2") for report in cell.reports)
    return replace(cell, reports=reports)


def test_a_study_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    teacher, student, _ = _study().cells
    study = replace(_study(), comparisons=(student.compare(teacher),))
    save_study(study, tmp_path)

    assert load_study(tmp_path) == study
    assert len(study.comparisons[0].by_seed) == 2


def test_a_study_of_an_older_format_is_named(tmp_path: Path) -> None:
    path = save_study(_study(), tmp_path)
    lines = gzip.decompress(path.read_bytes()).replace(b'{"format": 2', b'{"format": 1', 1)
    path.write_bytes(gzip.compress(lines))

    with pytest.raises(DataError, match="format 1; this version reads format 2"):
        load_study(tmp_path)


def test_a_study_that_is_missing_or_damaged_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"study.jsonl.gz: no such study"):
        load_study(tmp_path)
    path = save_study(_study(), tmp_path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"study.jsonl.gz: no study of format 2, or damaged"):
        load_study(tmp_path)


def test_seeds_are_repeats_with_a_spread_between_them() -> None:
    cell = _cell(STUDENT, "0.1", 20, 30)

    assert (cell.n, cell.mean) == (40, 0.625)
    assert cell.spread == pytest.approx(0.25 / 2**0.5)
    assert _cell(TEACHER, "0.1", 20).spread is None


def test_a_flow_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(DataError, match="10 traces came in, kept and dropped are 9"):
        Flow("S_D-R", 10, 7, {"wrong answer": 2})


def test_a_study_that_names_a_cell_it_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decomposer=.*names no cell"):
        Study("Demo", (_cell(TEACHER, None, 3),), teacher=TEACHER, decomposer=STUDENT)


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    page = write_report(_study(), tmp_path).read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")

    assert len(re.findall("<script", page)) == len(re.findall("</script>", page)) == 2
    assert "<img" not in page + markdown
    assert "\x1b" not in page + markdown
    assert "␛[31mred" in page


def test_a_loss_that_was_measured_once_is_drawn_as_a_point(tmp_path: Path) -> None:
    curve = LossCurve("S_D-R", ((1, 2.0), (2, 1.0)), validation=((2, 1.5),))
    page = write_report(replace(_study(), losses=(curve,)), tmp_path).read_text(encoding="utf-8")

    assert page.count('<circle class="point-1"') == 1


def test_the_page_holds_every_trace_once_those_of_transfers_by_themselves(tmp_path: Path) -> None:
    study = _study()
    page = write_report(study, tmp_path).read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    counts = [len(question["a"]) for question in data["questions"]]

    assert data == trace_viewer_data(study)
    # The ids of another file's questions may be the same, and ask something else.
    assert counts == [4] * 40 + [1] * 40
    assert data["rows"][-1]["name"].startswith("S_D-R × solver (<script>")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def _open(driver: Any, page: Path, *, width: int = 1200, scheme: str = "light") -> None:
    emulate(driver, width=width, scheme=scheme)
    driver.get(page.as_uri())


def _type(driver: Any, words: str) -> str:
    code = (
        "const box = document.getElementById('search'); box.value = arguments[0];"
        "box.dispatchEvent(new Event('input'));"
        "return document.getElementById('count').textContent"
    )
    return str(driver.execute_script(code, words))


@pytest.mark.browser
def test_the_page_asks_for_nothing_and_complains_of_nothing(driver: Any, tmp_path: Path) -> None:
    page = write_report(_study(), tmp_path)
    driver.get_log("performance")
    _open(driver, page)
    messages = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    asked = [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
        and each["params"]["documentURL"] == page.as_uri()  # the browser has pages of its own
    ]

    assert page.as_uri() in asked
    assert all(url == page.as_uri() or url.startswith("data:") for url in asked)
    assert driver.get_log("browser") == []


@pytest.mark.browser
def test_a_question_with_a_script_is_shown_as_text_and_does_not_run(
    driver: Any, tmp_path: Path
) -> None:
    _open(driver, write_report(_study(), tmp_path))
    told = _type(driver, "<script>")
    shown = driver.execute_script("return document.getElementById('detail').textContent")

    assert told.startswith("80 of 80")  # it stands in every solver's words
    assert HOSTILE.replace("\x1b", "␛") in shown
    assert driver.title != "run"
    assert driver.execute_script("return document.images.length") == 0


@pytest.mark.browser
def test_search_and_filters_narrow_the_list_and_keys_walk_it(driver: Any, tmp_path: Path) -> None:
    _open(driver, write_report(_study(), tmp_path))

    assert _type(driver, "Question 39").startswith("2 of 80")
    assert _type(driver, "no such words").startswith("No question fits")
    assert _type(driver, "").startswith("80 of 80")
    driver.find_element("id", "list").send_keys("\ue015")  # arrow down
    assert "Question 1?" in driver.find_element("css selector", "#detail h3").text
    driver.execute_script(
        "const box = document.getElementById('outcome'); box.value = 'wrong';"
        "document.getElementById('where').value = '0'; box.dispatchEvent(new Event('input'))"
    )
    assert driver.find_element("id", "count").text.startswith("4 of 80")


@pytest.mark.browser
def test_rows_that_are_not_shown_do_not_make_the_rows_differ(driver: Any, tmp_path: Path) -> None:
    _open(driver, write_report(_study(student=(36,)), tmp_path))
    driver.execute_script(
        "const box = document.getElementById('outcome'); box.value = 'differ';"
        "box.dispatchEvent(new Event('input'))"
    )
    of_all = driver.find_element("id", "count").text
    driver.execute_script("document.querySelectorAll('#rows input')[2].click()")  # the solver's
    of_two = driver.find_element("id", "count").text

    assert of_all.startswith("28 of 80")  # 36 right with the teacher, 8 with its distilled solver
    assert of_two.startswith("No question fits")


@pytest.mark.browser
def test_a_long_trace_is_printed_to_its_end(driver: Any, tmp_path: Path) -> None:
    question = Question("Long? " * 3000, answer="1")
    trace = Trace(question, Solution(Decomposition(question, ()), "1", "", Usage()))
    cell = Cell(*TEACHER, (Report("row", "exact", (Result(trace, 1.0),)),))
    _open(driver, write_report(Study("Demo", (cell,), teacher=TEACHER), tmp_path))
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    code = (
        "const box = document.getElementById('detail'); return box.scrollHeight - box.clientHeight"
    )
    hidden = driver.execute_script(code)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

    assert hidden == 0


@pytest.mark.browser
@pytest.mark.parametrize("where", ["#detail h3", ".item p", ".card .answer"])
def test_words_from_right_to_left_end_at_the_left(driver: Any, tmp_path: Path, where: str) -> None:
    question = Question("כמה שנים (1990)?", answer="1")
    trace = Trace(question, Solution(Decomposition(question, ()), question.text, "", Usage()))
    cell = Cell(*TEACHER, (Report("row", "exact", (Result(trace, 1.0),)),))
    _open(driver, write_report(Study("Demo", (cell,), teacher=TEACHER), tmp_path))
    code = """
    const text = document.querySelector(arguments[0]).firstChild, range = document.createRange();
    return [0, text.length - 1].map((place) => {
      range.setStart(text, place);
      range.setEnd(text, place + 1);
      return range.getBoundingClientRect().left;
    });
    """
    first, last = driver.execute_script(code, where)

    assert last < first


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_page_in_one_direction_only(
    driver: Any, tmp_path: Path, scheme: str
) -> None:
    _open(driver, write_report(_study(), tmp_path), width=375, scheme=scheme)
    width = driver.execute_script("return document.documentElement.scrollWidth")
    background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    captions = driver.execute_script(
        "return [...document.querySelectorAll('caption div')]"
        ".map((told) => told.getBoundingClientRect().right)"
    )

    assert width <= 375
    assert captions
    assert max(captions) <= 375
    assert background == {"light": "rgb(246, 247, 250)", "dark": "rgb(16, 18, 24)"}[scheme]


@pytest.mark.parametrize("usd", [None, "0", "0.1"])
@pytest.mark.parametrize("rights", [0, 40])
def test_a_study_at_its_ends_is_written_too(tmp_path: Path, usd: str | None, rights: int) -> None:
    cells = (_cell(TEACHER, usd, rights), _cell(STUDENT, usd, rights), _cell(SOLVER, usd, 0, n=0))
    losses = (LossCurve("none", ()), LossCurve("broken", ((1, float("nan")), (2, 0.0))))
    study = Study("Ends", cells, teacher=TEACHER, decomposer=STUDENT, solver=SOLVER, losses=losses)
    page = write_report(study, tmp_path).read_text(encoding="utf-8")

    assert "nothing scored" in page
    assert "no question was answered differently" in page
    assert "never pays" in page or "a price is missing" in page
