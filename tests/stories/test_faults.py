"""What goes wrong around a run ends it with an error of ours, and the files can be gone on with."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from decompose_distill import (
    BackendError,
    BackendInfo,
    Completion,
    ConfigError,
    DataError,
    Decomposition,
    Pipeline,
    Price,
    Question,
    Request,
    Solution,
    Solver,
    Usage,
    collect,
    plan,
    read_traces,
)
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from decompose_distill.storage.jsonl import JsonlFile

POSIX = pytest.mark.skipif(os.name != "posix", reason="links, limits and signals of POSIX")
QUESTIONS = [Question(f"Who is number {n}?") for n in range(6)]
PRICE = Price(Decimal(1), Decimal(1))


class Served:
    """Answers well, but for one question as it is told to."""

    def __init__(self, broken: object = None, **changes: Any) -> None:
        self.info = BackendInfo(identity="served 1", price=PRICE)
        self.asked: list[str] = []
        self._broken, self._changes = broken, changes

    def generate(self, requests: Iterable[Request]) -> Iterator[Any]:
        for request in requests:
            text = request.messages[-1].content
            self.asked.append(text)
            good = Completion(request.id, "The answer is: 5", usage=Usage(5, 5))
            is_odd = (self._broken or self._changes) and "number 3" in text
            yield (self._broken or replace(good, **self._changes)) if is_odd else good


def _pipeline(backend: object) -> Pipeline:
    return Pipeline(None, Solver(backend, mode="direct"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("served", "field"),
    [
        (Served(text=None), "text of the completion of request .* must be a text, not None"),
        (Served(text=b"5"), "text .* not b'5'"),
        (Served(finish="end_turn"), "finish .* one of stop, length, error, not 'end_turn'"),
        (Served(finish=None), "finish .* not None"),
        (Served(usage=None), "usage .* a Usage of whole numbers, not None"),
        (Served(usage=Usage(5, 2.5)), "usage .* not Usage"),  # type: ignore[arg-type]
        (Served(usage=Usage(-5, 2)), "usage .* not Usage"),
        (Served(id=3), "id .* must be a text, not 3"),
        (Served(id="nobody"), "unknown id 'nobody'"),
        (Served(error=None), "error .* not None"),
        (Served(unanswered=None), "unanswered .* a whole number, not None"),
        (Served(billed_usd=0.1), "billed_usd .* a Decimal of 0 or more, or None, not 0.1"),
        (Served("The answer is: 5"), "generate must yield Completion, not str"),
    ],
)
def test_a_backend_that_breaks_its_contract_is_named_and_the_files_stay_readable(
    served: Served, field: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    with pytest.raises(BackendError, match=rf"served 1.*{field}"):
        collect(_pipeline(served), QUESTIONS, path, budget_usd=1, progress=False)
    accounts = read_accounts(ledger_path(path))
    good = Served()
    done = collect(_pipeline(good), QUESTIONS, path, budget_usd=1, progress=False)

    assert accounts.spent_usd == Decimal("0.00003")
    assert accounts.reserved_usd > Decimal("0.0005")  # the broken one, at its worst
    assert len(good.asked) == 3
    assert done.found + done.asked == len(QUESTIONS)
    assert all(trace.answer == "5" for trace in read_traces(path))


@POSIX
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_file_under_two_names_has_one_writer(link: Any, tmp_path: Path) -> None:
    path, other = tmp_path / "t.jsonl", tmp_path / "other.jsonl"
    collect(_pipeline(Served()), QUESTIONS[:2], path, progress=False)
    link(path, other)

    def script(text: str) -> str:
        refused.append(text)
        with pytest.raises(ConfigError, match="is being written by another run"):
            collect(_pipeline(Served()), QUESTIONS, other, progress=False)
        return "The answer is: 5"

    refused: list[str] = []
    collect(_pipeline(ScriptedBackend(script)), QUESTIONS, path, progress=False)

    assert refused
    assert {each.name for each in tmp_path.glob("other*")} <= {"other.jsonl", "other.jsonl.lock"}


def test_one_file_is_locked_for_the_traces_and_all_that_stands_beside_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.jsonl"
    first = FileLock(f"{path}.lock")  # what a run of any version takes first, and holds

    def script(text: str) -> str:
        asked.append(text)
        with pytest.raises(Timeout):
            first.acquire(timeout=0)
        return "The answer is: 5"

    asked: list[str] = []
    collect(_pipeline(ScriptedBackend(script)), QUESTIONS[:2], path, progress=False)
    assert asked
    assert {each.name for each in tmp_path.iterdir()} == {
        f"t.jsonl{ending}" for ending in ("", ".lock", ".ledger", ".requests")
    }
    for ending in (".ledger", ".requests"):  # as an earlier version left them
        Path(f"{path}{ending}.lock").touch()
    with first, pytest.raises(ConfigError, match="is being written by another run"):
        collect(_pipeline(Served()), QUESTIONS, path, progress=False)
    collect(_pipeline(Served()), QUESTIONS, path, progress=False)


@POSIX
@pytest.mark.parametrize("ending", [".ledger", ".requests"])
def test_a_ledger_or_journal_that_is_written_by_itself_is_not_written_by_a_run(
    ending: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    with (
        JsonlFile(f"{path}{ending}"),
        pytest.raises(ConfigError, match=f"t.jsonl{ending} is being written by another run"),
    ):
        collect(_pipeline(Served()), QUESTIONS, path, progress=False)


@POSIX
def test_a_link_leads_to_the_ledger_the_requests_and_the_file_of_what_it_names(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    path, link = folder / "t.jsonl", tmp_path / "t.jsonl"
    link.symlink_to(path)
    collect(_pipeline(Served()), QUESTIONS[::-1][:2], path, progress=False)
    collect(_pipeline(Served()), QUESTIONS, link, progress=False)  # and puts them in order

    assert link.is_symlink()
    assert [each.question for each in read_traces(path)] == QUESTIONS
    [entry] = read_accounts(ledger_path(link)).entries
    assert entry.requests == len(QUESTIONS)
    assert {each.name for each in tmp_path.iterdir()} == {"disk", "t.jsonl"}


@POSIX
def test_files_beside_a_link_from_before_are_gone_on_with(tmp_path: Path) -> None:
    path, link = tmp_path / "t.jsonl", tmp_path / "link.jsonl"
    collect(_pipeline(Served()), QUESTIONS, link, progress=False)
    link.rename(path)
    link.symlink_to(path)
    path.write_text("")
    again = Served()
    collect(_pipeline(again), QUESTIONS, link, progress=False)

    assert not again.asked


FILLING = """
import resource, sys
import decompose_distill as dd
from decompose_distill.backends.replay import ScriptedBackend
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
backend = ScriptedBackend(lambda text: "The answer is: 5")
pipeline = dd.Pipeline(None, dd.Solver(backend, mode="direct"))
try:
    dd.collect(pipeline, [dd.Question(f"Who is {n}?") for n in range(20)], sys.argv[1])
except dd.DataError as error:
    print(error)
"""


@POSIX
@pytest.mark.parametrize("room", [0, 100, 300, 2000, 6000])
def test_a_full_disk_is_an_error_of_ours_at_whatever_file_it_strikes(
    room: int, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    command = [sys.executable, "-c", FILLING, str(path)]
    full = subprocess.run([*command, str(room)], capture_output=True, text=True, check=False)
    again = subprocess.run([*command, "1000000"], capture_output=True, text=True, check=False)

    assert full.returncode == 0, full.stderr
    assert "t.jsonl" in full.stdout
    assert "cannot write" in full.stdout
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    assert len(list(read_traces(path))) == 20


@POSIX
def test_a_process_that_is_forked_off_leaves_the_run_to_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    children: list[int] = []

    class Forking:
        identity = "forking"

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            for decomposition in decompositions:
                if child := os.fork():
                    children.append(child)
                else:
                    raise SystemExit(7)  # which unwinds collect, and its files
                with pytest.raises(ConfigError, match="another run"):
                    JsonlFile(path)
                yield Solution(decomposition, "so")

    try:
        collect(Pipeline(None, Forking()), QUESTIONS, path, progress=False)
    except SystemExit as leave:
        os._exit(int(leave.code or 0))
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    assert ended == [7] * len(QUESTIONS)
    assert [each.question for each in read_traces(path)] == QUESTIONS


@POSIX
def test_a_child_does_not_write_what_its_parent_opened(tmp_path: Path) -> None:
    with JsonlFile(tmp_path / "lines") as file:
        file.append("{}")
        if not (child := os.fork()):
            try:
                file.append("[]")
            except ConfigError:
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with JsonlFile(tmp_path / "lines"):  # free again, as the lock is the parent's
        assert (tmp_path / "lines").read_text() == "{}\n"


FORKED = """
import os, sys
import decompose_distill as dd
backend = dd.load_backend("openai:m", base_url=sys.argv[1])
pipeline = dd.Pipeline(None, dd.Solver(backend, mode="direct"))
traces = pipeline.run([dd.Question(f"Who is {n}?") for n in range(60)], ordered=False)
next(traces)
child = os.fork()
try:
    print("child" if not child else "parent", len(list(traces)), flush=True)
except dd.BackendError as error:
    print(error, flush=True)
if child:
    os.waitpid(child, 0)
"""


@POSIX
def test_a_fork_with_requests_under_way_does_not_hang() -> None:
    from tests.support.fake_server import FakeServer, Reply, chat

    with FakeServer(lambda call: Reply(body=chat("The answer is: 5"), seconds=0.05)) as server:
        command = [sys.executable, "-W", "ignore", "-c", FORKED, server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert "parent 59" in done.stdout
    assert "a process that was forked off cannot go on" in done.stdout


TERMINATED = """
import sys, time
from decompose_distill import Completion, Usage
class Slow:
    identity = "slow 1"
    def __init__(self, model): pass
    def generate(self, requests):
        for request in requests:
            time.sleep(0.05)
            yield Completion(request.id, "1. Who?", usage=Usage(1, 1))
"""


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sigterm_ends_a_run_as_ctrl_c_does(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(TERMINATED)
    info = tmp_path / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[decompose_distill.backends]\nslow = slow:Slow\n")
    (tmp_path / "q.jsonl").write_text(
        "\n".join(f'{{"question": "Who is {n}?"}}' for n in range(99))
    )
    options = ["collect", "q.jsonl", "--teacher", "slow:x", "--output", "t.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "decompose_distill.cli", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    kept = tmp_path / "t.jsonl"
    deadline = time.monotonic() + 60
    while (not kept.exists() or not kept.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == code, err
    assert re.search(r"stopped; t.jsonl keeps .*the same command goes on from there", out + err)
    assert "finishing what is under way" in err
    assert 0 < len(list(read_traces(kept))) < 99
    [_, entry] = read_accounts(ledger_path(kept)).entries
    assert entry.unanswered == 0


def test_two_questions_with_one_id_are_refused_and_neither_is_dropped(tmp_path: Path) -> None:
    twins = [Question("How many legs have 3 ants?", id="1"), Question("How many have 2?", id="1")]
    served = Served()
    with pytest.raises(DataError, match=r"the id '1', 'How many legs .*' and 'How many have 2\?'"):
        collect(_pipeline(served), twins, tmp_path / "t.jsonl", progress=False)
    with pytest.raises(DataError, match="two different questions have the id '1'"):
        plan(_pipeline(served), twins)
    assert not served.asked
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Question("What is 14 plus 9?", id="7"), Question("What is 14 plus 19?", id="7")),
        (
            Question("What does it say?", context="14 plus 9", id="7"),
            Question("What does it say?", context="14 plus 19", id="7"),
        ),
    ],
)
def test_a_text_that_was_changed_under_its_id_is_another_question(
    before: Question, after: Question, tmp_path: Path
) -> None:
    path, served = tmp_path / "t.jsonl", Served()
    collect(_pipeline(served), [before], path, progress=False)
    done = collect(_pipeline(served), [after], path, progress=False)
    again = collect(_pipeline(served), [after], path, progress=False)

    assert len(served.asked) == 2
    assert (done.found, done.asked) == (0, 1)
    assert (again.found, again.asked) == (1, 0)
    assert [each.question for each in read_traces(path)] == [before, after]
    assert plan(_pipeline(served), [before], path).missing == 0


def test_what_a_server_writes_for_a_terminal_does_not_reach_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from decompose_distill.console import printable, say

    say("overloaded \x1b[2J\x1b]0;title\x07\x9b1;31m\x1b[31mred\r\x08\tand\nso on \ud83d")

    shown = capsys.readouterr().err
    assert shown == "overloaded red\tand\nso on \ufffd\n"
    assert printable("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert printable("\x1bcReset \x1b(B and \x90q\x9c é 日本") == "Reset  and  é 日本"
    assert printable(textwrap.dedent("\x1b]0;never ended")) == ""
