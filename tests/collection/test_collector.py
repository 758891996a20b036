"""Collecting is durable and resumable, and asks for nothing twice."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import (
    Completion,
    ConfigError,
    DataError,
    Decomposer,
    Decomposition,
    Pipeline,
    Question,
    Request,
    Sampling,
    Solution,
    Solver,
    Subquestion,
    Usage,
    collect,
    read_traces,
)
from decompose_distill.backends.replay import ScriptedBackend
from tests.support.samples import QUESTIONS


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


def test_a_file_without_a_line_end_that_is_no_trace_is_left_alone(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary")

    with pytest.raises(DataError, match=r"notes.txt: not JSON: it ends in b'dear diary'"):
        collect(_pipeline(Counting()), questions, path, progress=False)
    assert path.read_text() == "dear diary"


@pytest.mark.parametrize(
    "options",
    [{"budget_usd": "abc"}, {"budget_usd": float("nan")}, {"prices": {"m": 0.4}}, {"prices": [1]}],
)
def test_a_wrong_budget_or_price_is_refused_before_a_file_is_made(
    options: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        collect(_pipeline(Counting()), QUESTIONS, tmp_path / "t.jsonl", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["samples", "solves"])
def test_fewer_than_one_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be 1 or more, not 0"):
        collect(_pipeline(Counting()), [], tmp_path / "t.jsonl", **{name: 0})


class Recorder:
    """Answers in a shuffled order within a window, and records what it was asked.

    Every seventh answer is an error where `failing`.
    """

    def __init__(self, seed: int = 0, failing: bool = False) -> None:
        self.identity = "recorder"
        self.asked: list[Request] = []
        self._random = random.Random(seed)
        self._failing = failing

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        stream = iter(requests)
        while window := list(itertools.islice(stream, 5)):
            self._random.shuffle(window)
            for request in window:
                self.asked.append(request)
                if self._failing and self._random.random() < 0.15:
                    yield Completion(request.id, "", "error", error="overloaded")
                else:
                    words = sha256(repr((request.messages, request.sampling)).encode()).hexdigest()
                    text = f"1. {words}?\nThe answer is: {words}"
                    yield Completion(request.id, text, usage=Usage(3, 2))


def _recorded(backend: Recorder) -> Pipeline:
    return Pipeline(Decomposer(backend), Solver(backend))


def test_every_solve_of_every_sample_has_a_seed_of_its_own(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path, backend = tmp_path / "traces.jsonl", Recorder()
    done = collect(_recorded(backend), questions, path, samples=3, solves=4, progress=False)
    traces = list(read_traces(path))
    solving = [each for each in backend.asked if each.id.startswith(f"solve/{questions[0].id}/")]

    assert done.asked == len(traces) == len(questions) * 12
    assert len(backend.asked) == len(questions) * (3 + 12)
    assert len({each.sampling.seed for each in solving}) == 12
    assert len({trace.answer for trace in traces}) == len(traces)
    assert [(each.sample, each.solve) for each in traces[:12]] == [
        (sample, solve) for sample in range(3) for solve in range(4)
    ]


def test_the_solves_of_a_sample_share_its_decomposition(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    collect(_recorded(Recorder()), questions[:1], path, samples=2, solves=3, progress=False)
    steps = [trace.decomposition for trace in read_traces(path)]

    assert steps[0] == steps[1] == steps[2] != steps[3]


@pytest.mark.parametrize("first", [(1, 1), (2, 1), (1, 3)])
def test_larger_counts_ask_only_for_what_is_missing(
    first: tuple[int, int], tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    straight, grown = Recorder(), Recorder(seed=1)
    samples, solves = first
    options = {"samples": 3, "solves": 3, "progress": False}
    collect(_recorded(straight), questions, tmp_path / "straight.jsonl", **options)
    options = {"samples": samples, "solves": solves, "progress": False}
    collect(_recorded(grown), questions, tmp_path / "grown.jsonl", **options)
    (tmp_path / "grown.jsonl.requests").unlink()  # the traces alone are enough
    options = {"samples": 3, "solves": 3, "progress": False}
    collect(_recorded(grown), questions, tmp_path / "grown.jsonl", **options)

    assert len(grown.asked) == len(straight.asked)
    assert (tmp_path / "grown.jsonl").read_bytes() == (tmp_path / "straight.jsonl").read_bytes()


@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=3), st.booleans())
@settings(max_examples=25)
def test_the_file_depends_neither_on_timing_nor_on_stops_nor_on_errors(
    seed: int, stops: list[int], failing: bool
) -> None:
    with TemporaryDirectory() as folder:
        path, straight = Path(folder) / "traces.jsonl", Path(folder) / "straight.jsonl"
        options = {"samples": 2, "solves": 2, "progress": False}
        collect(_recorded(Recorder()), QUESTIONS, straight, **options)
        for turn, stop in enumerate(stops):
            backend = Recorder(seed + turn, failing)
            with suppress(_Stop):
                collect(_recorded(_Stopping(backend, stop)), QUESTIONS, path, **options)
        again = Recorder(seed - 1)
        collect(_recorded(again), QUESTIONS, path, **options)

        assert path.read_bytes() == straight.read_bytes()


class _Stop(Exception):
    """What ends a run in the middle."""


class _Stopping(Recorder):
    """Passes on what another answers, and raises after some answers."""

    def __init__(self, inner: Recorder, stop: int) -> None:
        super().__init__()
        self._inner, self._left = inner, stop

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for completion in self._inner.generate(requests):
            if not self._left:
                raise _Stop
            self._left -= 1
            yield completion


def test_errors_are_asked_again_and_their_traces_leave_the_file(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    first = collect(_recorded(Recorder(failing=True)), questions, path, solves=2, progress=False)
    errors = sum(trace.failure is not None for trace in read_traces(path))
    backend = Recorder()
    second = collect(_recorded(backend), questions, path, solves=2, progress=False)

    assert errors == first.failed.total() > 0
    assert second.found == first.asked - errors
    assert len(list(read_traces(path))) == len(questions) * 2
    assert all(trace.solution for trace in read_traces(path))


def test_a_decomposition_that_failed_for_good_is_one_trace_for_all_its_solves(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path, decline = tmp_path / "t.jsonl", Counting(lambda text: "")
    pipeline = Pipeline(Decomposer(ScriptedBackend(decline)), Solver(ScriptedBackend(str)))
    done = collect(pipeline, questions, path, solves=3, progress=False)
    again = collect(pipeline, questions, path, solves=5, progress=False)

    assert (done.asked, again.asked, again.found) == (len(questions), 0, len(questions))
    assert decline.calls == len(questions)


def test_a_new_solver_finds_the_decompositions_of_the_old_one(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path, script = tmp_path / "traces.jsonl", Counting(lambda text: "1. Who?")
    decomposer = Decomposer(ScriptedBackend(script))
    for mode in ("joint", "cot"):
        solver = Solver(ScriptedBackend(lambda text: "The answer is: 1"), mode=mode)  # type: ignore[arg-type]
        collect(Pipeline(decomposer, solver), questions, path, progress=False)

    assert script.calls == len(questions)
    assert len(list(read_traces(path))) == 2 * len(questions)


def test_traces_of_other_pipelines_stay_first_and_as_they_were(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    collect(_pipeline(Counting()), questions, path, progress=False)
    before = path.read_bytes()
    collect(_recorded(Recorder(3)), questions, path, samples=2, progress=False)

    assert path.read_bytes().startswith(before)


def test_tools_without_a_backend_are_run_once_a_solve(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    class Halver:
        identity = "halver"

        def decompose(
            self, questions: Iterable[Question], sample: int = 0
        ) -> Iterator[Decomposition]:
            for question in questions:
                splits.append(sample)
                yield Decomposition(question, (Subquestion(f"Way {sample}?"),))

    class Calculator:
        identity = "calculator"

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            for decomposition in decompositions:
                solved.append(decomposition)
                yield Solution(decomposition, "1")

    splits: list[int] = []
    solved: list[Decomposition] = []
    path = tmp_path / "traces.jsonl"
    pipeline = Pipeline(Halver(), Calculator())
    for solves in (1, 2):
        collect(pipeline, questions, path, samples=2, solves=solves, progress=False)

    assert splits == [0] * len(questions) + [1] * len(questions)
    assert len(solved) == 4 * len(questions)
    assert {(each.sample, each.solve) for each in read_traces(path)} == {
        (sample, solve) for sample in range(2) for solve in range(2)
    }


def test_a_second_writer_is_refused_and_readers_are_not(
    tmp_path: Path, questions: tuple[Question, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    read: list[int] = []

    def script(text: str) -> str:
        with pytest.raises(ConfigError, match=r"traces.jsonl is being written by another run"):
            collect(_pipeline(Counting()), questions, path, progress=False)
        read.append(len(list(read_traces(path))))
        return "The answer is: 1"

    collect(_pipeline(script), questions, path, progress=False)

    assert read == list(range(len(questions)))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_finishes_what_is_under_way_and_says_how_to_go_on(
    tmp_path: Path, questions: tuple[Question, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "traces.jsonl"

    def script(text: str) -> str:
        if interrupted.calls == 3:
            signal.raise_signal(signal.SIGINT)
        return "The answer is: 1"

    interrupted = Counting(script)
    with pytest.raises(KeyboardInterrupt, match=r"traces.jsonl keeps .* the same call goes on"):
        collect(_pipeline(interrupted), questions, path, progress=False)

    assert len(list(read_traces(path))) == interrupted.calls == 3
    assert "finishing what is under way; Ctrl-C again stops at once" in capsys.readouterr().err


SLOW = """
import sys, time
import decompose_distill as dd
from decompose_distill.backends.replay import ScriptedBackend
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
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    asked = log.read_text().splitlines()

    assert len({trace.question.id for trace in read_traces(path)}) == 200
    assert len(list(read_traces(path))) == 200
    assert len(asked) <= 200 + kills  # at most the one in flight at each kill
