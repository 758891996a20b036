"""Recompute a published decomposer × solver grid from its recorded answers.

    python benchmarks/recorded_grid.py --json grid.json

Reads `gsm8k/test.jsonl` and every `ai_subq/eval_responses/SOLVER/*.jsonl` (DT6A/GSM8K-AI-SubQ),
writes the answers as traces, replays them through `Pipeline`, evaluates, and compares plain with
filtered behaviour cloning in pairs. Rows are joined by place, as the recorded `answer` is wrong
on 16 of them; an answer is the first number after the last "Final answer:". A cell further than
0.6 points from its published figure is said aloud, with what the recorded `answer` would give.
`--data DIR` has these folders, or only those of the solvers; GSM8K is then taken from
DECOMPOSE_DISTILL_DATA, else ../shared/data. The paired tests go to `FILE` with `.paired.json`.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import decompose_distill as dd
from decompose_distill.backends import ReplayBackend
from decompose_distill.scores import versioned

ROWS = (1000, 1319)
BC, FILTERED, CHAT = "eval_finetune_medium", "eval_filtered_bc_medium", "eval_chat_first1000"
PUBLISHED = {
    ("chatgpt", CHAT): 0.682,
    ("chatgpt", BC): 0.538,
    ("chatgpt", FILTERED): 0.576,
    ("llama13b", CHAT): 0.353,
    ("llama13b", BC): 0.247,
    ("llama13b", FILTERED): 0.245,
}
_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("DECOMPOSE_DISTILL_DATA", _BESIDE))
_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")


@versioned("1")
def first_number(answer: str, golds: Sequence[str]) -> float | None:
    """1 where the first number of the answer is the gold's, as the grid was published."""
    found, [gold] = _NUMBER.search(answer), golds
    return float(found is not None and _value(found[0]) == _value(gold.rpartition("####")[2]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        figures, paired = measure(args.data)
    except dd.DataError as error:
        print(f"cannot measure: {error}; name the data folder with --data", file=sys.stderr)
        return 3
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
        beside = args.json.with_suffix(".paired.json")
        beside.write_text(json.dumps(paired, indent=2), encoding="utf-8")
    return 0


def measure(data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Every recorded file's figures, and the paired test of each solver."""
    asked, recorded = Path("gsm8k", "test.jsonl"), data / "ai_subq" / "eval_responses"
    questions = dd.load_questions((data if (data / asked).is_file() else DATA) / asked)
    files = sorted((recorded if recorded.is_dir() else data).glob("*/*.jsonl"))
    if not files:
        raise dd.DataError(f"{data}: no recorded answers as SOLVER/DECOMPOSER.jsonl")
    figures, reports = [], {}
    for path in files:
        solver, decomposer = path.parent.name, path.stem
        report = replayed(path, questions)
        reports[solver, decomposer] = report
        low, high = report.interval
        figures.append(
            {"solver": solver, "decomposer": decomposer, "n": report.n, "accuracy": report.mean}
            | {"ci_low": low, "ci_high": high, "published": PUBLISHED.get((solver, decomposer))}
        )
        print(report, "published:", figures[-1]["published"] or "unknown", flush=True)
        if figures[-1]["published"] and abs(_gap(figures[-1])) > 0.006:
            recorded = replayed(path, questions, by_recorded_answer=True).mean
            print(
                f"  OFF by {100 * _gap(figures[-1]):+.1f} points; by its own `answer`: {recorded}"
            )
    paired = []
    for solver in sorted({solver for solver, _ in reports}):
        if (solver, BC) in reports and (solver, FILTERED) in reports:
            test = reports[solver, FILTERED].compare(reports[solver, BC])
            print(test)
            low, high = test.interval
            row = {"solver": solver, "difference": test.difference, "ci_low": low, "ci_high": high}
            row |= {"better": test.better}
            row |= {"worse": test.worse, "p_value": test.p_value, "n": len(test.pairs)}
            paired.append(row)
    return figures, paired


def replayed(
    path: Path, questions: Sequence[dd.Question], *, by_recorded_answer: bool = False
) -> dd.Report:
    """Write a recorded file as traces, replay them, and score what comes back."""
    rows = _rows(path)
    asked = questions[: len(rows)]
    if by_recorded_answer:
        golds = (str(row.get("answer", "nan")) for _, row in rows)
        asked = [replace(each, answer=gold) for each, gold in zip(asked, golds, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        traces = Path(folder) / "traces.jsonl"
        dd.write_traces(
            (_trace(row, each, path) for row, each in zip(rows, asked, strict=True)), traces
        )
        backend = ReplayBackend(traces)
        pipeline = dd.Pipeline(_Recorded(traces), dd.Solver(backend))
        name = f"{path.parent.name} / {path.stem}"
        return dd.evaluate(pipeline, asked, score=first_number, name=name, progress=False)


class _Recorded:
    """Recorded decompositions as they are: reading the words again could split them otherwise."""

    def __init__(self, path: Path) -> None:
        self._made = {each.question.id: each.decomposition for each in dd.read_traces(path)}

    def decompose(self, questions: Any, sample: int = 0) -> Any:
        return (self._made[question.id] for question in questions)


def _rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise dd.DataError(f"{where}: not JSON: {error}") from None
        for field in ("problem", "questions", "answers"):
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                raise dd.DataError(f"{where}: field {field!r} must be a string")
        rows.append((where, row))
    if len(rows) not in ROWS:
        raise dd.DataError(f"{path}: holds {len(rows)} rows, not {' or '.join(map(str, ROWS))}")
    return rows


def _trace(numbered: tuple[str, dict[str, str]], question: dd.Question, path: Path) -> dd.Trace:
    where, row = numbered
    if _letters(row["problem"]) != _letters(question.text):
        raise dd.DataError(f"{where}: field 'problem' is not problem {question.id} of GSM8K's test")
    lines = [re.sub(r"^(?:Q\d+:\s*)+", "", line) for line in row["questions"].splitlines()]
    steps = tuple(dd.Subquestion(line.strip()) for line in lines if line.strip())
    decomposition = dd.Decomposition(question, steps, row["questions"])
    text = row["answers"]
    answer = text.rpartition("Final answer:")[2].strip()
    if not text.strip():
        return dd.Trace(question, dd.Failure(question, "solve", "empty", "empty", text))
    return dd.Trace(question, dd.Solution(decomposition, answer, text))


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text)  # four recorded problems lost a space before ".5"


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", "").replace("$", "").strip())


def _gap(row: dict[str, Any]) -> float:
    return float(row["accuracy"] - row["published"])


if __name__ == "__main__":
    sys.exit(main())
