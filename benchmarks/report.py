"""Time the search of the report's page over 20,000 traces, in a headless Chromium.

    python benchmarks/report.py --json figures.json

Writes a study of made-up traces, opens its page from a `file:` URL and types searches. A search
is timed in the page, from the keystroke to the list laid out anew. Needs selenium, chromium and
chromedriver; `--keep FOLDER` leaves the page there.
"""

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from decompose_distill import (
    Decomposition,
    Failure,
    Price,
    Question,
    Report,
    Solution,
    Subquestion,
    Trace,
    Usage,
)
from decompose_distill.cost import Cost, Expense, usage_by_role
from decompose_distill.evaluation import Result
from decompose_distill.reporting import Cell, Flow, LossCurve, MaskedRow, Study, write_report

SEARCHES = ("a", "ada", "by how many", "kilometres", "no such words", "escape", "7")
TYPED = """
const box = document.getElementById("search"), began = performance.now();
box.value = arguments[0];
box.dispatchEvent(new Event("input"));
document.getElementById("list").getBoundingClientRect();
document.body.offsetHeight;
return [performance.now() - began, document.getElementById("count").textContent];
"""
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jun")
# Made up: how often a decomposer is right with the solver, and US dollars per million tokens.
ROWS = {"none": 0.31, "teacher": 0.82, "untrained": 0.44, "S_D-T": 0.78, "S_D-R": 0.81}
COLUMNS = {"solver": 1.0, "S_E-R": 0.55}
DEAR, CHEAP = Price(Decimal("0.40"), Decimal("1.60")), Price(Decimal("0.02"), Decimal("0.04"))


def made_up(traces: int) -> Study:
    """A study whose figures mean nothing, as large as asked."""
    places = [(row, column) for row in ROWS for column in COLUMNS]
    questions = [_question(number) for number in range(traces // len(places))]
    cells = tuple(_cell(row, column, questions) for row, column in places)
    by_place = {cell.place: cell for cell in cells}
    best = by_place["S_D-R", "solver"]
    return Study(
        "Made-up figures, to show the page",
        cells,
        teacher=("teacher", "solver"),
        decomposer=("S_D-R", "solver"),
        solver=("teacher", "S_E-R"),
        comparisons=(
            best.compare(by_place["untrained", "solver"]),
            best.compare(by_place["S_D-T", "solver"]),
            by_place["teacher", "solver"].compare(by_place["none", "solver"]),
        ),
        flows=(
            Flow("S_D-T", 1200, 1164, {"decompose: length": 25, "solve: error": 11}),
            Flow(
                "S_D-R",
                1200,
                931,
                {"wrong answer": 233, "decompose: length": 25, "solve: error": 11},
            ),
        ),
        losses=(_losses("S_D-T", 1), _losses("S_D-R", 2)),
        masked_rows=(_masked(),),
        settings={"Teacher and solver": "made up", "Student": "made up", "Traces": f"{traces:,}"},
    )


def _question(number: int) -> Question:
    one, other = NAMES[number % 10], NAMES[(number // 10 + number + 1) % 10]
    text = f"Who is older, {one} or {other}, and by how many years? (number {number})"
    if number == 3:
        text = (
            "<script>document.title = 'run'</script></script> and a terminal \x1b[31mescape\x1b[0m?"
        )
    context = (
        f"{one} walked {number % 17} kilometres. {other} was born in {1950 + number % 40}. " * 2
    )
    return Question(text, answer=str(number % 23), context=context)


def _cell(row: str, column: str, questions: list[Question]) -> Cell:
    trained = row.startswith("S_D") or column.startswith("S_E")
    seeds = range(3) if trained and len(questions) <= 500 else range(1)
    reports = tuple(
        Report(row, "exact", tuple(_result(row, column, each, seed) for each in questions))
        for seed in seeds
    )
    split, solve = usage_by_role(result.trace for each in reports for result in each.results)
    decomposer = DEAR if row == "teacher" else CHEAP
    solver = DEAR if column == "solver" else CHEAP
    expenses = (Expense("solver", solve, solver.usd(solve)),)
    if row != "none":
        expenses = (Expense("decomposer", split, decomposer.usd(split)), *expenses)
    asked = len(questions) * len(reports)
    return Cell(
        row, column, reports, Cost(asked, expenses, Decimal("3.20") if trained else Decimal(0))
    )


def _result(row: str, column: str, question: Question, seed: int) -> Result:
    luck = random.Random(question.id)
    hard, noise = luck.random(), random.Random(f"{row}{column}{question.id}{seed}")
    right = hard * 0.8 + noise.random() * 0.2 < ROWS[row] * COLUMNS[column]
    steps = [f"How old is {word}?" for word in question.text.split()[3:6]] if row != "none" else []
    written = (Usage(210, 45) if steps else Usage()) if noise.random() > 0.02 else None
    if written is None:
        return Result(
            Trace(question, Failure(question, "decompose", "length", usage=Usage(210, 512))), 0.0
        )
    split = Decomposition(question, tuple(map(Subquestion, steps)), usage=written)
    answer = question.answer if right else str(noise.randrange(30, 60))
    words = f"1. The first was born earlier.\n2. They differ by {answer}.\nThe answer is: {answer}"
    return Result(
        Trace(question, Solution(split, answer or "", words, Usage(330, 80))), float(right)
    )


def _losses(name: str, seed: int) -> LossCurve:
    noise = random.Random(seed)
    train = tuple(
        (step, 0.35 + 2.3 / (1 + step / 12) + noise.uniform(-0.08, 0.08)) for step in range(1, 181)
    )
    return LossCurve(
        name, train, tuple((step, 0.45 + 2.2 / (1 + step / 12)) for step in range(20, 181, 20))
    )


def _masked() -> MaskedRow:
    prompt = (
        "<|im_start|>user\nSplit the question into simpler ones.\n\n"
        "Question: Who is older, Ada or Bob?<|im_end|>\n<|im_start|>assistant\n"
    )
    tokens = (
        "1",
        ".",
        " How",
        " old",
        " is",
        " Ada",
        "?",
        "\n",
        "2",
        ".",
        " How",
        " old",
        " is",
        " Bob",
        "?",
        "<|im_end|>",
    )
    return MaskedRow("S_D-R", prompt, tokens)


def measure(page: Path, rounds: int) -> dict[str, object]:
    """Open the page and time its searches."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    quiet = "background-networking component-update sync quic gpu"
    options.add_argument("--headless")
    options.add_argument("--no-first-run")
    options.add_argument("--no-sandbox")
    for each in quiet.split():
        options.add_argument(f"--disable-{each}")
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            began = time.perf_counter()
            driver.get(page.resolve().as_uri())
            opened = 1000 * (time.perf_counter() - began)
            times = {
                words: [driver.execute_script(TYPED, words) for _ in range(rounds)]
                for words in SEARCHES
            }
        finally:
            driver.quit()
    found = {
        words: {"ms": round(statistics.median(each[0] for each in tries), 2), "told": tries[0][1]}
        for words, tries in times.items()
    }
    slowest = max(each[0] for tries in times.values() for each in tries)
    return {"open_ms": round(opened, 1), "slowest_ms": round(slowest, 2), "searches": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--traces", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp())
    began = time.perf_counter()
    page = write_report(made_up(args.traces), folder)
    figures: dict[str, object] = {
        "traces": args.traces,
        "megabytes": round(page.stat().st_size / 1e6, 2),
    }
    figures["write_seconds"] = round(time.perf_counter() - began, 2)
    try:
        figures |= measure(page, args.rounds)
    finally:
        if not args.keep:
            shutil.rmtree(folder)
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
