"""What the tests of the command line share: questions in a file, and a server that answers them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_server import Call, FakeServer, Reply, chat
from tests.support.samples import QUESTIONS, make_trace


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    rows = ({"question": each.text, "answer": each.answer} for each in QUESTIONS)
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def answer(call: Call) -> Reply:
    """Decompose and solve every question, rightly."""
    asked = next(each for each in QUESTIONS if each.text in call.text)
    steps = make_trace(asked, "").decomposition
    solving = "Subquestions:" in call.text
    return Reply(
        body=chat(f"The answer is: {asked.answer}" if solving or not steps else steps.text)
    )


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(answer) as server:
        yield server


def figures(capsys: pytest.CaptureFixture[str]) -> Any:
    """What `--json` printed."""
    return json.loads(capsys.readouterr().out)
