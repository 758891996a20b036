"""The command line: one line for a wrong call, a stable exit code, and the same work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from decompose_distill import Trace, read_traces, write_traces
from tests.support.samples import QUESTIONS, run_cli


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    rows = ({"question": each.text, "answer": each.answer} for each in QUESTIONS)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_audit_shows_rows_and_says_what_it_found(
    tiny_dir: Path,
    learned: tuple[Trace, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_traces(learned, tmp_path / "good.jsonl")
    write_traces(learned[:1] * 4, tmp_path / "same.jsonl")
    call = ("--student", tiny_dir)

    assert run_cli("audit", tmp_path / "good.jsonl", *call, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("kept 8 of 8 traces")
    assert shown.count("⟦1|.|") == 3
    assert shown.endswith("no fault found\n")
    assert run_cli("audit", tmp_path / "same.jsonl", *call, monkeypatch=monkeypatch) == 1
    assert "error: audit: all 4 completions are the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["collect", "gone.jsonl", "--teacher", "x:y", "--output", "t"], 2, "gone.jsonl: no"),
        (
            ["evaluate", "Q", "--decomposer", "gtp:4", "--solver", "x:y"],
            2,
            "unknown backend",
        ),
        (["evaluate", "Q", "--decomposer", "hf:/none", "--solver", "x:y"], 1, "/none: no such"),
        (
            ["distill", "gone.jsonl", "--student", "x", "--output-dir", "s"],
            2,
            "gone.jsonl: no",
        ),
        (["distill", "Q", "--student", "x", "--output-dir", "."], 2, "output_dir . exists"),
        (["demo", "--output-dir", "."], 2, "output_dir . exists with other content"),
        (["demo"], 2, "--output-dir"),
        (
            ["collect", "Q", "--teacher", "hf:x", "--output", "t", "--prices", "gone.json"],
            2,
            "gone.json: no such file of prices",
        ),
        (
            ["plan", "Q", "--teacher", "hf:x", "--max-in-flight", "9"],
            2,
            "--max-in-flight goes with",
        ),
        (
            ["plan", "Q", "--teacher", "replay:gone.jsonl"],
            2,
            "gone.jsonl: no such file",
        ),
        (["boil"], 2, "boil"),
    ],
)
def test_a_wrong_call_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    line: str,
    asked: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(asked.parent)
    given = [str(asked) if each == "Q" else each for each in arguments]

    assert run_cli(*given, monkeypatch=monkeypatch) == code
    error = capsys.readouterr().err
    assert line in error
    assert "Traceback" not in error


def test_a_missing_key_is_told_before_anything_is_asked(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    code = run_cli(
        "collect", asked, "--teacher", "openai:gpt-4.1", "--output", asked.parent / "t.jsonl",
        monkeypatch=monkeypatch,
    )  # fmt: skip

    assert code == 1
    assert "OPENAI_API_KEY" in capsys.readouterr().err
    assert not (asked.parent / "t.jsonl").exists()


def test_traces_are_collected_distilled_and_evaluated(
    asked: Path,
    tiny_dir: Path,
    traces: tuple[Trace, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = asked.parent
    write_traces(traces, folder / "recorded.jsonl")
    teacher = f"replay:{folder / 'recorded.jsonl'}"
    monkeypatch.chdir(folder)

    assert not run_cli(
        "collect", asked, "--teacher", teacher, "--output", "t.jsonl", monkeypatch=monkeypatch
    )
    assert len(list(read_traces("t.jsonl"))) == len(QUESTIONS)
    assert not run_cli(
        "distill", "t.jsonl", "--student", tiny_dir, "--output-dir", "student", "--epochs", "1",
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert not run_cli(
        "evaluate", asked, "--decomposer", "student", "--solver", teacher,
        "--output", "new/report.json", monkeypatch=monkeypatch,
    )  # fmt: skip
    [row] = json.loads((folder / "new" / "report.json").read_text())
    assert row["name"] == "student"
    assert "student" in capsys.readouterr().out


def test_a_plan_sends_nothing_and_weighs_the_budget(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "stand-in")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")  # nothing answers there
    prices = asked.parent / "prices.json"
    prices.write_text('{"m": {"input_per_million": 0.4, "output_per_million": 1.6}}')
    call = ("plan", asked, "--teacher", "openai:m", "--samples", "2", "--prices", prices)

    assert not run_cli(*call, "--budget-usd", "5", monkeypatch=monkeypatch)
    said = capsys.readouterr().out
    assert said.startswith(f"{2 * len(QUESTIONS)} of {2 * len(QUESTIONS)} traces are to be made")
    assert "the budget of $5.00 is more than all this is expected to cost" in said
    assert not run_cli(*call, "--budget-usd", "0.001", monkeypatch=monkeypatch)
    assert "the budget of $0.001 will be reached before the end" in capsys.readouterr().out
    assert not run_cli(*call[:-2], monkeypatch=monkeypatch)
    assert "cost: an unknown amount" in capsys.readouterr().out


def test_a_budget_without_a_price_is_a_wrong_call_and_makes_no_file(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_cli(
        "collect", asked, "--teacher", "openai:m", "--base-url", "http://127.0.0.1:9/v1",
        "--output", asked.parent / "t.jsonl", "--budget-usd", "1", monkeypatch=monkeypatch,
    )  # fmt: skip

    assert code == 2
    assert "give prices={'m': Price(...)}, or on the command line --prices FILE" in (
        capsys.readouterr().err
    )
    assert not (asked.parent / "t.jsonl").exists()


def test_a_collection_that_failed_throughout_exits_with_1(
    asked: Path, traces: tuple[Trace, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_traces(traces[:1], asked.parent / "recorded.jsonl")
    asked.write_text('{"question": "Who else?"}')
    code = run_cli(
        "collect", asked, "--teacher", f"replay:{asked.parent / 'recorded.jsonl'}",
        "--output", asked.parent / "t.jsonl", monkeypatch=monkeypatch,
    )  # fmt: skip

    assert code == 1


SLOW_PLUGIN = """
import time
from decompose_distill import Completion
class Slow:
    def __init__(self, model): pass
    def generate(self, requests):
        for request in requests:
            time.sleep(0.1)
            yield Completion(request.id, "1. Who?")
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_what_was_collected_and_says_how_to_go_on(asked: Path) -> None:
    folder = asked.parent
    (folder / "slow.py").write_text(SLOW_PLUGIN)
    info = folder / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[decompose_distill.backends]\nslow = slow:Slow\n")
    options = ["--teacher", "slow:x", "--output", "t.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "decompose_distill", "collect", str(asked), *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    kept = folder / "t.jsonl"
    while not kept.exists() or not kept.read_text().count("\n"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert 0 < len(list(read_traces(kept))) < len(QUESTIONS)
