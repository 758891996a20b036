"""Collecting is durable and resumable, and asks for nothing twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposer,
    Pipeline,
    Question,
    Sampling,
    Solver,
    collect,
    read_traces,
)
from decompose_distill.backends.scripted import ScriptedBackend


class Counting:
    """A script that counts its calls."""

    def __init__(self, script: Callable[[str], str] = lambda text: "The answer is: 1") -> None:
        self.calls = 0
        self.script = script

    def __call__(self, text: str) -> str:
        self.calls += 1
        return self.script(text)


def _pipeline(script: Callable[[str], str], sampling: Sampling | None = None) -> Pipeline:
    solver = Solver(ScriptedBackend(script), sampling=sampling or Sampling())
    return Pipeline(Decomposer(ScriptedBackend(lambda text: "1. Who?")), solver)


def test_a_second_run_asks_for_nothing(tmp_path: Path, questions: tuple[Question, ...]) -> None:
    path, script = tmp_path / "traces.jsonl", Counting()
    collect(_pipeline(script), questions, path, progress=False)
    again = collect(_pipeline(script), questions, path, progress=False)

    assert script.calls == len(questions)
    assert (again.asked, again.found) == (0, len(questions))


def test_more_samples_add_to_what_is_there(tmp_path: Path, questions: tuple[Question, ...]) -> None:
    path, script = tmp_path / "traces.jsonl", Counting()
    collect(_pipeline(script), questions, path, samples=1, progress=False)
    collect(_pipeline(script), questions, path, samples=3, progress=False)
    found = {(trace.question.id, trace.sample) for trace in read_traces(path)}

    assert script.calls == 3 * len(questions)
    assert len(found) == 3 * len(questions)


def test_another_sampling_finds_none_of_the_work(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path, script = tmp_path / "traces.jsonl", Counting()
    collect(_pipeline(script), questions, path, progress=False)
    warm = collect(_pipeline(script, Sampling(temperature=1)), questions, path, progress=False)

    assert warm.found == 0


def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "traces.jsonl"

    def stopping(text: str) -> str:
        if interrupted.calls == 4:
            raise KeyboardInterrupt
        return "The answer is: 1"

    interrupted = Counting(stopping)
    with pytest.raises(KeyboardInterrupt):
        collect(_pipeline(interrupted), questions, path, progress=False)
    script = Counting()
    collect(_pipeline(script), questions, path, progress=False)

    assert script.calls == len(questions) - 3


def test_failures_are_counted_by_stage_and_reason(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    done = collect(_pipeline(lambda text: ""), questions, tmp_path / "t.jsonl", progress=False)

    assert done.failed == {"solve: empty completion": len(questions)}
    assert "8 failed (8 solve: empty completion)" in str(done)


def test_a_question_given_twice_is_asked_once_and_counted(tmp_path: Path) -> None:
    script = Counting()
    twice = [Question("Who?"), Question("Who?")]
    done = collect(_pipeline(script), twice, tmp_path / "t.jsonl", progress=False)

    assert script.calls == 1
    assert done.duplicates == 1


def test_a_file_of_something_else_is_left_alone(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n")

    with pytest.raises(DataError, match=r"notes.txt:1: not JSON"):
        collect(_pipeline(Counting()), questions, path, progress=False)
    assert path.read_text() == "dear diary\n"


def test_fewer_than_one_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="samples must be 1 or more"):
        collect(_pipeline(Counting()), [], tmp_path / "t.jsonl", samples=0)


SLOW = """
import sys, time
import decompose_distill as dd
from decompose_distill.backends.scripted import ScriptedBackend
def script(text):
    time.sleep(0.005)
    with open(sys.argv[2], "a") as log:
        log.write(text.splitlines()[0] + "\\n")
    return "The answer is: 1"
pipeline = dd.Pipeline(None, dd.Solver(ScriptedBackend(script)))
dd.collect(pipeline, [dd.Question(f"Who is {n}?") for n in range(200)], sys.argv[1], progress=False)
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a POSIX signal")
def test_after_kill_9_nothing_durable_is_asked_again(tmp_path: Path) -> None:
    path, log = tmp_path / "traces.jsonl", tmp_path / "asked.log"
    command = [sys.executable, "-c", SLOW, str(path), str(log)]
    kills = 3
    for _ in range(kills):
        before = path.stat().st_size if path.exists() else 0
        process = subprocess.Popen(command)
        while not path.exists() or path.stat().st_size < before + 2000:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    asked = log.read_text().splitlines()

    assert len({trace.question.id for trace in read_traces(path)}) == 200
    assert len(list(read_traces(path))) == 200
    assert len(asked) <= 200 + kills  # at most the one in flight at each kill
