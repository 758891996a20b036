"""Shards in processes: a worker that dies costs nothing that was finished."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import BackendError, Pipeline, Question, collect, read_traces
from decompose_distill.collection.shards import shard_folder
from tests.support.paced import CENTS, asked_again, logged, paced, paced_pipeline

QUESTIONS = tuple(Question(f"How old is number {n}?") for n in range(12))
OPTIONS: dict[str, Any] = {"shards": 2, "engine": "processes", "progress": False}


@pytest.fixture
def alone(tmp_path: Path) -> bytes:
    path = tmp_path / "alone.jsonl"
    collect(paced_pipeline(tmp_path / "alone.log"), QUESTIONS, path, progress=False)
    return path.read_bytes()


def test_workers_that_are_killed_lose_nothing_that_was_finished(
    tmp_path: Path, alone: bytes
) -> None:
    path, log, deadly = tmp_path / "traces.jsonl", tmp_path / "log", (5, 15)
    budget = CENTS * (2 * len(QUESTIONS) + len(deadly))
    done = collect(paced(log, 0.002, deadly), QUESTIONS, path, budget_usd=budget, **OPTIONS)
    again = collect(paced(log), QUESTIONS, path, progress=False)

    assert path.read_bytes() == alone
    assert not asked_again(log)
    assert logged(log, "asked").total() <= 2 * len(QUESTIONS) + len(deadly)
    assert done.spent_usd is not None
    assert done.spent_usd <= budget
    assert (again.asked, again.found) == (0, len(QUESTIONS))


def test_a_worker_that_dies_at_once_and_again_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"shard 1/1: 3 workers ended .* exit code 7"):
        collect(_leave, QUESTIONS, tmp_path / "traces.jsonl", **{**OPTIONS, "shards": 1})


def _leave() -> Pipeline:
    os._exit(7)


def test_an_error_of_a_worker_is_that_of_the_call(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    with pytest.raises(BackendError, match="OddError: no such thing"):
        collect(_odd, QUESTIONS, path, **OPTIONS)
    assert [*read_traces(path)] == []


class OddError(Exception):
    """One that cannot be sent as it is."""

    def __init__(self, what: str, more: str) -> None:
        super().__init__(f"{what} {more}")


def _odd() -> Pipeline:
    raise OddError("no such", "thing")


SCRIPT = """
import sys
from pathlib import Path
from decompose_distill import collect
from tests.collection.test_driver import OPTIONS, QUESTIONS
from tests.support.paced import paced
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    collect(paced(folder / "log", 0.05), QUESTIONS, folder / "traces.jsonl", **OPTIONS)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_is_stopped_or_killed_leaves_its_work_to_the_next(
    tmp_path: Path, alone: bytes, number: signal.Signals
) -> None:
    script, log = tmp_path / "script.py", tmp_path / "log"
    script.write_text(SCRIPT)
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, script, tmp_path], env=paths)
    _wait_for(lambda: logged(log, "answered").total() >= 4)
    driver.send_signal(number)
    driver.wait(timeout=60)
    assert shard_folder(tmp_path / "traces.jsonl").exists()
    collect(paced(log), QUESTIONS, tmp_path / "traces.jsonl", **OPTIONS)

    assert (tmp_path / "traces.jsonl").read_bytes() == alone
    assert not asked_again(log)
    assert logged(log, "asked").total() == 2 * len(QUESTIONS)  # all that was under way finished


def _wait_for(condition: Any) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
