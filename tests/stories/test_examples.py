"""Each example runs by itself, offline, and prints what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

PROMISED = {
    "01_pipeline.py": ["  3. What is #1 plus #2?", "answer: 42"],
    "02_collect_and_screen.py": [
        "traces.jsonl: 2 new traces, 0 already there",
        "traces.jsonl: 1 new traces, 2 already there, 1 failed (1 decompose: empty completion)",
        "complete: kept 3 of 4 traces, dropped 1 decompose: empty completion",
        "correct: kept 2 of 4 traces, dropped 1 wrong answer, 1 decompose: empty completion",
    ],
    "03_distill_tiny.py": ["teacher: exact 100.0 %", "student: exact "],
    "04_tool_as_solver.py": ["→ 18", "failed: not a calculation: 'Who knows?'"],
    "05_own_backend.py": [
        "the backend keeps the protocol",
        "slow service: exact 100.0 %",
        "faster than one by one: True",
    ],
}


def _run(name: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PROMISED)
def test_an_example_prints_what_it_promises(name: str, tmp_path: Path) -> None:
    printed = _run(name, tmp_path)

    for line in PROMISED[name]:
        assert line in printed
    for figure in re.findall(r"student: exact ([\d.]+) %", printed):
        assert float(figure) >= 50, "the tiny student learns its one kind of question"


def test_every_example_is_run_and_fits_on_a_page() -> None:
    found = sorted(EXAMPLES.glob("0*.py"))  # flat_loop.py has tests of its own

    assert [path.name for path in found] == list(PROMISED)
    for path in found:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
