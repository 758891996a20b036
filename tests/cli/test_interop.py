"""The commands `export` and `import` do what the functions do, with one line for an error."""

import json
from pathlib import Path

import pytest

from decompose_distill import Trace, read_traces, write_traces
from tests.support.samples import make_trace, run_cli


def test_export_and_import_go_round(
    traces: tuple[Trace, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_traces(traces, tmp_path / "traces.jsonl")
    call = ("export", tmp_path / "traces.jsonl", tmp_path / "folder", "--format", "hub")

    assert run_cli(*call, "--keep", "correct", monkeypatch=monkeypatch) == 0
    assert "kept 4 of 8 traces, dropped 4 wrong answer" in capsys.readouterr().out
    assert run_cli("import", call[2], tmp_path / "back.jsonl", monkeypatch=monkeypatch) == 0
    assert "back.jsonl: 4 traces" in capsys.readouterr().out
    assert list(read_traces(tmp_path / "back.jsonl")) == list(traces[::2])
    assert run_cli(*call, monkeypatch=monkeypatch) == 2
    assert "exists with other content: name another file" in capsys.readouterr().err


def test_preferences_are_exported_from_all_traces(
    traces: tuple[Trace, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    question = traces[0].question
    solves = [make_trace(question, answer) for answer in ("40", "7")]
    write_traces(solves, tmp_path / "traces.jsonl")
    call = ("export", tmp_path / "traces.jsonl", tmp_path / "pairs.jsonl")
    call = (*call, "--format", "preferences", "--role", "solver")

    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    assert "1 pairs of 1 prompts" in capsys.readouterr().out
    [row] = (tmp_path / "pairs.jsonl").read_text().splitlines()
    assert json.loads(row)["chosen"][0]["content"] == "The answer is: 40"


def test_a_broken_file_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs.jsonl").write_text('{"text": "Why?"}\n')
    call = ("import", tmp_path / "theirs.jsonl", tmp_path / "traces.jsonl")

    assert run_cli(*call, monkeypatch=monkeypatch) == 2
    assert "error: " in (told := capsys.readouterr().err)
    assert "theirs.jsonl:1: no known layout" in told
    assert not (tmp_path / "traces.jsonl").exists()
