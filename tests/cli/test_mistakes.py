"""A wrong call is one line that names cause and cure; nothing is asked, paid or left behind."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from decompose_distill import Trace, write_traces
from decompose_distill.cli import call as cli_call
from tests.cli.mistakes import FILES, MISTAKES, SCORING, Mistake
from tests.cli.reference import PAGE, with_tables
from tests.support.fake_server import FakeServer, Reply
from tests.support.samples import QUESTIONS, run_cli


@pytest.fixture
def here(
    tmp_path: Path,
    tiny_dir: Path,
    learned: tuple[Trace, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A folder with the files that the calls name."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = [json.dumps({"question": each.text, "answer": each.answer}) for each in QUESTIONS]
    (tmp_path / "train.jsonl").write_text("\n".join(rows[:4]))
    (tmp_path / "heldout.jsonl").write_text("\n".join(rows[4:]))
    write_traces(learned, tmp_path / "traces.jsonl")
    (tmp_path / "base").symlink_to(tiny_dir)
    monkeypatch.chdir(tmp_path)
    with FileLock("held.jsonl.lock"):  # as another run holds it
        yield tmp_path


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_one_line_with_its_cure_and_nothing_is_asked(
    mistake: Mistake,
    here: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script = lambda call: Reply(mistake.status, {"error": {"message": mistake.words}})
    before = {path.name for path in here.iterdir()}

    code = run_cli(*mistake.call.replace("URL", server.url).split(), monkeypatch=monkeypatch)
    said = capsys.readouterr()

    assert said.err.replace(server.url, "URL") == f"error: {mistake.message}\n"
    assert said.out == ""
    assert code == mistake.code
    if mistake.status == 200:
        left = {path.name for path in here.iterdir()} - before

        assert server.calls == []
        assert {name for name in left if not name.endswith(".lock")} == set()


@pytest.mark.parametrize(
    "call",
    [
        "collect train.jsonl --teacher openai:m --base-url URL --output t.jsonl",
        "collect train.jsonl --teacher openai:m --base-url URL --output t.jsonl --shard 1/2",
        f"{SCORING} --output t.json",
        "paper --teacher openai:m --base-url URL --student base --train train.jsonl "
        "--test heldout.jsonl --output-dir out",
        "distill traces.jsonl --student base --output-dir out",
        "demo --student tiny --output-dir out",
        "export traces.jsonl sft.jsonl",
        "import sft.jsonl new.jsonl",
        "export-student plain out --to vllm",
    ],
)
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_place_where_one_may_not_write_is_told_before_anything_is_asked(
    call: str,
    number: int,
    here: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(cli_call, "write_text", refuse)

    assert run_cli(*call.replace("URL", server.url).split(), monkeypatch=monkeypatch) == 2
    words = f"cannot write: {os.strerror(number)}; name another place or fix its permissions"
    assert capsys.readouterr().err.rstrip().endswith(words)
    assert server.calls == []


def test_the_reference_shows_the_options_and_the_mistakes_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert page == with_tables(page), "write it again: python -m tests.cli.reference"
