"""`plan` and `collect`: what is asked of whom, with which settings, and kept where."""

import json
import tomllib
from pathlib import Path

import pytest

from decompose_distill import Trace, read_traces, write_traces
from tests.cli.conftest import answer, figures
from tests.support.fake_server import FakeServer, Reply
from tests.support.samples import QUESTIONS, run_cli


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
    assert "cost: unknown" in capsys.readouterr().out


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


def test_a_configuration_file_gives_what_the_command_line_does_not(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(asked.parent)
    Path("run.toml").write_text(
        f'questions = "{asked.name}"\nteacher = "openai:m"\nbase_url = "{server.url}"\n'
        'output = "t.jsonl"\nlimit = 5\ntemperature = 0.5\n'
    )
    call = ("collect", "--config", "run.toml", "--limit", "3", "--json")

    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    printed = figures(capsys)
    assert (printed["schema"], printed["command"], printed["asked"]) == (1, "collect", 3)
    kept = tomllib.loads(Path("t.jsonl.config.toml").read_text())
    assert (kept["limit"], kept["temperature"], kept["samples"]) == (3, 0.5, 1)
    asked_before = len(server.calls)
    call = ("collect", "--config", "t.jsonl.config.toml", "--json")
    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    assert (figures(capsys)["found"], len(server.calls)) == (3, asked_before)


def test_a_student_on_one_server_stands_before_a_solver_on_another(
    asked: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-theirs")
    with FakeServer(answer) as other:
        assert not run_cli(
            "evaluate", asked, "--decomposer", "openai:student", "--base-url", server.url,
            "--solver", "openai:large", "--solver-base-url", other.url,
            "--solver-api-key-env", "THEIR_KEY", monkeypatch=monkeypatch,
        )  # fmt: skip
        assert {call.body["model"] for call in other.calls} == {"large"}
        assert {call.headers["authorization"] for call in other.calls} == {"Bearer sk-theirs"}
    assert {call.body["model"] for call in server.calls} == {"student"}
    assert not any("authorization" in call.headers for call in server.calls)


def test_an_address_in_a_name_is_that_roles_own(
    asked: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(answer) as other:
        assert not run_cli(
            "collect", asked, "--teacher", f"openai:m@{server.url}",
            "--solver", f"openai:m@{other.url}", "--output", asked.parent / "t.jsonl",
            monkeypatch=monkeypatch,
        )  # fmt: skip
        assert len(server.calls) == len(other.calls) == len(QUESTIONS)


def test_a_collection_that_failed_throughout_ends_with_the_servers_words(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script = lambda call: Reply(400, {"error": {"message": "Not today."}})
    call = ("collect", asked, "--teacher", "openai:m", "--base-url", server.url)

    assert run_cli(*call, "--output", asked.parent / "t.jsonl", monkeypatch=monkeypatch) == 1
    assert "every question failed" in (error := capsys.readouterr().err)
    assert "Not today." in error


@pytest.mark.filterwarnings("default")
def test_greedy_samples_that_are_all_alike_are_warned_of_on_one_line(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ("collect", asked, "--teacher", "openai:m", "--base-url", server.url, "--samples", "3")

    assert not run_cli(*call, "--output", asked.parent / "t.jsonl", monkeypatch=monkeypatch)
    assert capsys.readouterr().err.splitlines()[0] == (
        "warning: samples=3 at temperature 0 asks for the same 3 times: "
        "give the decomposer another temperature, such as 0.7"
    )


def test_a_plan_needs_no_key(
    asked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ("plan", asked, "--teacher", "openai:gpt-4.1-mini", "--json")

    assert run_cli(*call, monkeypatch=monkeypatch) == 0
    printed = figures(capsys)
    assert printed["missing"] == len(QUESTIONS)
    assert printed["usd"]["low"] < printed["usd"]["high"]


def test_a_prompt_may_be_a_text_a_template_or_json(
    asked: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(asked.parent)
    texts = {
        "instruction.txt": "Split it, please.",
        "template.txt": "Please split: {question}",
        "prompt.json": '{"system": "Split it well.", "user": "{question}"}',
    }
    for name, text in texts.items():
        Path(name).write_text(text)
        models = ("--teacher", "openai:m", "--base-url", server.url, "--limit", "1")
        call = ("collect", asked, *models, "--prompt", name, "--output", f"{name}.jsonl")
        assert not run_cli(*call, monkeypatch=monkeypatch)
    chats = [call.body["messages"] for call in server.calls if "Subquestions:" not in call.text]

    assert chats[0][0] == {"role": "system", "content": "Split it, please."}
    assert chats[1] == [{"role": "user", "content": f"Please split: {QUESTIONS[0].text}"}]
    assert chats[2][0]["content"] == "Split it well."


def test_shards_as_commands_become_the_file_of_one_command(
    asked: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(asked.parent)
    common = ("collect", asked, "--teacher", "openai:m", "--base-url", server.url, "--output")
    assert not run_cli(*common, "one.jsonl", monkeypatch=monkeypatch)
    for shard in ("1/2", "2/2"):
        assert not run_cli(*common, "all.jsonl", "--shard", shard, monkeypatch=monkeypatch)
    capsys.readouterr()
    assert not run_cli("merge", "all.jsonl", "--json", monkeypatch=monkeypatch)

    assert figures(capsys)["missing"] == []
    assert Path("all.jsonl").read_bytes() == Path("one.jsonl").read_bytes()
    assert len(server.calls) == 4 * len(QUESTIONS)


def test_shards_in_processes_are_one_command(
    asked: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each loads the backends for itself."""
    monkeypatch.chdir(asked.parent)
    code = run_cli(
        "collect", asked, "--teacher", "openai:m", "--base-url", server.url,
        "--output", "t.jsonl", "--shards", "2", "--engine", "processes", monkeypatch=monkeypatch,
    )  # fmt: skip

    assert not code
    assert [trace.answer for trace in read_traces("t.jsonl")] == [each.answer for each in QUESTIONS]
