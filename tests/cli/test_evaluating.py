"""`evaluate` and `compare`: paid once, scored, and tested in pairs."""

from pathlib import Path
from typing import Any

import pytest

from decompose_distill import read_traces
from tests.cli.conftest import figures
from tests.support.fake_server import FakeServer, Reply, chat
from tests.support.samples import QUESTIONS, run_cli


def test_an_evaluation_goes_on_where_it_stopped_and_two_are_compared(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(asked.parent)
    models = ("--decomposer", "openai:m", "--solver", "openai:m", "--base-url", server.url)

    def evaluate(output: str, *options: str) -> Any:
        call = ("evaluate", asked, *models, "--output", output, "--json", *options)
        assert run_cli(*call, monkeypatch=monkeypatch) == 0
        return figures(capsys)

    assert evaluate("a.json", "--limit", "3")["n"] == 3
    assert len(server.calls) == 6
    printed = evaluate("a.json")
    assert (printed["n"], printed["accuracy"]) == (len(QUESTIONS), 1.0)
    assert len(server.calls) == 2 * len(QUESTIONS)
    assert len(list(read_traces("a.json.traces.jsonl"))) == len(QUESTIONS)
    server.script = lambda call: Reply(body=chat("1. Who?\nThe answer is: 7"))
    evaluate("b.json")
    assert run_cli("compare", "a.json", "b.json", "--json", monkeypatch=monkeypatch) == 0
    compared = figures(capsys)
    assert (compared["difference"], compared["better"], compared["n"]) == (1.0, 8, 8)
    assert compared["p_value"] < 0.01
    assert run_cli("compare", "a.json", "b.json", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.startswith("a.json − b.json: +100.0 points")


def test_an_evaluation_in_which_nothing_was_scored_has_failed(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script = lambda call: Reply(400, {"error": {"message": "Not today."}})
    models = ("--decomposer", "openai:m", "--solver", "openai:m", "--base-url", server.url)

    assert run_cli("evaluate", asked, *models, monkeypatch=monkeypatch) == 1
    assert "no question could be scored" in (error := capsys.readouterr().err)
    assert "Not today." in error


@pytest.mark.filterwarnings("ignore")
def test_a_study_in_which_nothing_was_scored_has_failed(
    asked: Path,
    server: FakeServer,
    tiny_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train = asked.with_name("train.jsonl")
    train.write_text('{"question": "What is 2 plus 3?", "answer": "5"}\n')
    server.script = lambda call: Reply(400, {"error": {"message": "Not today."}})
    call = ("paper", "--teacher", "openai:m", "--base-url", server.url, "--student", tiny_dir)
    data = ("--train", train, "--test", asked, "--output-dir", asked.parent / "study")
    matrix = ("--rows", "none,teacher", "--columns", "solver")

    assert run_cli(*call, *data, *matrix, monkeypatch=monkeypatch) == 1
    assert "Not today." in capsys.readouterr().err
