"""The command `paper`, killed with SIGKILL in the middle and started again."""

import json
import os
import signal
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from tests.support.killed import run_command
from tests.support.processes import FORKS
from tests.support.samples import QUESTIONS

PLUGIN = """
import os, re, signal
from pathlib import Path
from decompose_distill import Completion, Usage
LOG, KILL_AT = Path(os.environ["ASKED_LOG"]), int(os.environ["KILL_AT"])
class Backend:
    def __init__(self, model):
        self.identity = f"logged:{model}"
    def generate(self, requests):
        for request in requests:
            text = request.messages[-1].content
            with LOG.open("a") as log:
                log.write(f"{self.identity} {request.messages} \\n".replace("\\\\n", " "))
            if len(LOG.read_text().splitlines()) == KILL_AT:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Completion(request.id, self.answer(text), usage=Usage(9, 5))
    def answer(self, text):
        if "Subquestions:" in text:
            return f"The answer is: {len(text) % 7}"
        first, second = re.findall(r"are (\\w+) and (\\w+)", text)[0]
        return f"1. How old is {first}?\\n2. How old is {second}?\\n3. What is #1 plus #2?"
"""


@pytest.fixture
def asking(tmp_path: Path) -> Path:
    """A folder with questions and a backend that notes what it is asked, and may kill itself."""
    (tmp_path / "logged.py").write_text(PLUGIN)
    info = tmp_path / "logged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: logged\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[decompose_distill.backends]\nlogged = logged:Backend\n"
    )
    for name, asked in (("train", QUESTIONS[:5]), ("test", QUESTIONS[5:])):
        rows = ({"question": each.text, "answer": "3"} for each in asked)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def _run(asking: Path, tiny_dir: Path, place: str, kill_at: int = 0) -> BaseProcess:
    options = {
        "--teacher": "logged:teacher",
        "--student": str(tiny_dir),
        "--train": "train.jsonl",
        "--test": "test.jsonl",
        "--output-dir": place,
        "--rows": "teacher,shuffled,S_D-T",
        "--columns": "solver,untrained student",
        "--max-new-tokens": "16",
        "--epochs": "1",
    }
    arguments = ["paper", *(text for pair in options.items() for text in pair)]
    names = {"ASKED_LOG": str(asking / f"{place}.log"), "KILL_AT": str(kill_at)}
    process = FORKS.Process(target=run_command, args=(arguments, asking, names, place))
    process.start()
    return process


def _finish(asking: Path, process: BaseProcess, place: str) -> str:
    process.join(600)
    assert process.exitcode == 0, (asking / f"{place}.errors").read_text()
    return (asking / f"{place}.out").read_text()


def _cells(place: Path) -> list[Any]:
    figures = json.loads((place / "report.json").read_text(encoding="utf-8"))
    return [{**cell, "cost": None} for cell in figures["cells"]]  # seconds are never the same


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_matrix_killed_twice_repeats_no_finished_cell_and_ends_in_the_same_table(
    asking: Path, tiny_dir: Path
) -> None:
    straight = _run(asking, tiny_dir, "straight")
    # While traces are collected, and in the second cell: 10 requests for the traces, one of them
    # twice, then 3 decompositions and the 3 of the first cell.
    for kill_at in (7, 18):
        killed = _run(asking, tiny_dir, "killed", kill_at)
        killed.join(600)
        assert killed.exitcode == -signal.SIGKILL, (asking / "killed.errors").read_text()
    said = _finish(asking, _run(asking, tiny_dir, "killed"), "killed")
    expected = _finish(asking, straight, "straight")

    assert _cells(asking / "killed") == _cells(asking / "straight")
    assert said.split("\n\n")[2] == expected.split("\n\n")[2]  # the table of accuracies
    asked, once = (
        Counter((asking / f"{place}.log").read_text().splitlines())
        for place in ("killed", "straight")
    )
    again = asked - once
    assert not once - asked
    assert again.total() == 2  # what was under way at each kill was asked, and never answered
