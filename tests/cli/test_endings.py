"""How a command ends: one line for an error, a stable exit code, and how to go on."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import read_traces
from decompose_distill.errors import DataError
from decompose_distill.reporting import study_file
from tests.cli.conftest import answer, figures
from tests.support.fake_server import Call, FakeServer, Reply
from tests.support.samples import QUESTIONS, run_cli


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
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert 0 < len(list(read_traces(kept))) < len(QUESTIONS)


def test_backends_and_doctor_say_what_is_installed_and_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert run_cli("backends", "--json", monkeypatch=monkeypatch) == 0
    assert {"hf", "openai", "replay"} <= figures(capsys)["backends"].keys()
    assert run_cli("backends", monkeypatch=monkeypatch) == 0
    assert "openai: " in capsys.readouterr().out
    assert run_cli("doctor", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "OPENAI_API_KEY is set" in said
    assert "sk-secret" not in said
    assert run_cli("doctor", "--json", monkeypatch=monkeypatch) == 0
    assert figures(capsys)["keys"]["OPENAI_API_KEY"] is True


def test_the_version_is_told_and_a_bare_call_shows_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("--version", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.startswith("decompose-distill 0.")
    assert run_cli(monkeypatch=monkeypatch) == 2
    assert "collect" in capsys.readouterr().out


def test_debug_shows_where_an_error_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("report", "gone", monkeypatch=monkeypatch) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert run_cli("report", "gone", "--debug", monkeypatch=monkeypatch) == 2
    assert "Traceback" in (error := capsys.readouterr().err)
    assert error.splitlines()[-1].startswith("error: gone")


@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "t.jsonl"), 1, "t.jsonl: No space left"),
        (OSError(errno.EROFS, "Read-only file system", "t.jsonl"), 2, "t.jsonl: Read-only file"),
        (KeyError("x"), 1, "KeyError: 'x' (--debug shows where)"),
        (DataError("t.jsonl: a\nb"), 2, "t.jsonl: a b"),
    ],
)
def test_whatever_goes_wrong_is_one_line(
    fault: Exception,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(study_file, "load_study", fail)

    assert run_cli("report", "study", monkeypatch=monkeypatch) == code
    assert capsys.readouterr().err.startswith(f"error: {line}")


def test_a_full_disk_is_a_failure_of_the_work_in_every_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise DataError("t.jsonl: cannot write") from error

    monkeypatch.setattr(study_file, "load_study", fail)

    assert run_cli("report", "study", monkeypatch=monkeypatch) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGTERM")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_with_its_code_and_the_way_to_go_on(
    number: signal.Signals,
    code: int,
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(asked.parent)

    def interrupted(call: Call) -> Reply:
        if len(server.calls) == 4:
            os.kill(os.getpid(), number)
        return answer(call)

    server.script = interrupted
    call = ("collect", asked, "--teacher", "openai:m", "--base-url", server.url)
    call += ("--max-in-flight", "1", "--output", "t.jsonl")

    assert run_cli(*call, monkeypatch=monkeypatch) == code
    assert "t.jsonl keeps what was collected; the same command goes on" in capsys.readouterr().err
    assert 0 < len(list(read_traces("t.jsonl"))) < len(QUESTIONS)
    server.script = answer
    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    assert len(list(read_traces("t.jsonl"))) == len(QUESTIONS)


def test_what_is_logged_and_warned_of_is_lines_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("decompose_distill.backends")

    def log(*_: object) -> Any:
        logger.info("HTTP 429: waiting 2 s")
        logger.warning("endpoint dropped")
        raise DataError("no study")

    monkeypatch.setattr(study_file, "load_study", log)
    assert run_cli("report", "x", monkeypatch=monkeypatch) == 2
    assert [line[9:] for line in capsys.readouterr().err.splitlines()[:-1]] == ["endpoint dropped"]
    assert run_cli("report", "x", "--verbose", monkeypatch=monkeypatch) == 2
    assert "HTTP 429: waiting 2 s" in capsys.readouterr().err
