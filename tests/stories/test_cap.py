"""64 workers under a 1-dollar cap: the server's own bill stays below it, over kills and resumes."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import Price, Usage, read_traces
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from tests.support.fake_server import Call, FakeServer, Reply, chat

PRICE = Price(Decimal(4), Decimal(16))
QUESTIONS = 400
PLUGIN = """
import asyncio, os
from decompose_distill.backends.openai import OpenAIBackend

async def briefly(seconds):
    await asyncio.sleep(min(seconds, 0.02))

def Teacher(model):
    url = os.environ["TEACHER_URL"]
    return OpenAIBackend(
        model, base_url=url, max_in_flight=64, timeout=0.7, max_attempts=3, sleep=briefly
    )
"""


class Provider:
    """Bills everything it takes in: answers, errors, and what it never answers."""

    def __init__(self) -> None:
        self.billed = Decimal(0)
        self.calls = self.hung = self.failed = 0
        self._random = random.Random(0)
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Reply:
        most = sum(len(each["content"].encode()) for each in call.body["messages"]) + 20
        with self._lock:
            self.calls += 1
            fate = self._random.random()
            read = round(most * self._random.uniform(0.25, 1))
            written = self._random.randint(1, call.body["max_tokens"])
            if fate < 0.03:
                self.hung += 1
                read, written = most, call.body["max_tokens"]
            self.billed += PRICE.usd(Usage(read, written))
            if fate < 0.03:
                return Reply(seconds=30)
            if fate < 0.08:
                self.failed += 1
                return Reply(503, {"error": "overloaded"})
        body = chat("1. Who?\nThe answer is: 1")
        body["usage"] = {"prompt_tokens": read, "completion_tokens": written}
        return Reply(body=body, seconds=self._random.uniform(0.05, 0.25))


@pytest.fixture
def command(tmp_path: Path) -> Callable[[float], list[str]]:
    """The command line with a budget, over a backend that gives up on hangs soon."""
    (tmp_path / "teacher.py").write_text(PLUGIN)
    info = tmp_path / "teacher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: teacher\nVersion: 1.0\n")
    points = "[decompose_distill.backends]\nteacher = teacher:Teacher\n"
    (info / "entry_points.txt").write_text(points)
    rows = (json.dumps({"question": f"How old is number {n}?"}) for n in range(QUESTIONS))
    (tmp_path / "questions.jsonl").write_text("\n".join(rows))
    price = {"input_per_million": "4", "output_per_million": "16"}
    (tmp_path / "prices.json").write_text(json.dumps({"m": price}))

    def collect(budget: float) -> list[str]:
        options = f"--teacher teacher:m --output t.jsonl --max-new-tokens 128 --budget-usd {budget}"
        python = [
            sys.executable,
            "-m",
            "decompose_distill.cli",
            "collect",
            "questions.jsonl",
        ]
        return [*python, *options.split(), "--prices", "prices.json"]

    return collect


def _most_at_once(ledger: Path) -> int:
    """Requests that were under way together, most of all runs."""
    under_way = most = 0
    for line in ledger.read_text().splitlines():
        row = json.loads(line)
        under_way = 0 if "run" in row else under_way + ("sent" in row) - ("done" in row)
        most = max(most, under_way)
    return most


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_the_servers_own_bill_stays_below_the_cap_and_a_larger_one_goes_on(
    tmp_path: Path, command: Callable[[float], list[str]]
) -> None:
    provider, path = Provider(), tmp_path / "t.jsonl"
    with FakeServer(provider) as server:
        path_too = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        place = {"PYTHONPATH": path_too, "TEACHER_URL": server.url}

        def start(budget: float) -> subprocess.Popen[str]:
            return subprocess.Popen(
                command(budget), cwd=tmp_path, env=os.environ | place, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip

        stopped = start(1)
        _, said = stopped.communicate()
        at_the_cap, calls = provider.billed, provider.calls

        assert stopped.returncode == 3, said
        assert at_the_cap <= 1
        assert "of the budget of $1.00 is spent" in said
        assert "run again with a larger budget_usd to go on" in said
        assert _most_at_once(ledger_path(path)) >= 64
        assert provider.hung
        assert provider.failed

        killed = start(3)
        while provider.calls < calls + 150:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        stopped = start(3)
        _, said = stopped.communicate()

        assert provider.billed <= 3
        assert stopped.returncode in (0, 3), said

        done = start(10)
        out, said = done.communicate()
    spent = read_accounts(ledger_path(path)).spent_usd

    assert done.returncode == 0, said
    assert spent is not None
    assert at_the_cap < provider.billed <= spent <= 10
    assert len({trace.question.id for trace in read_traces(path)}) == QUESTIONS
    assert "spent" in out
