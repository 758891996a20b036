"""What was asked once is not asked again, and nothing else is taken for it."""

import itertools
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    BackendError,
    Completion,
    ConfigError,
    DataError,
    Message,
    Request,
    Sampling,
    Usage,
    testing,
)
from decompose_distill.backends.caching import (
    MOST_HELD,
    CachingBackend,
    CompletionStore,
    request_key,
)

SYSTEM, USER = Message("system", "Split."), Message("user", "Who is older?")
REQUEST = Request("solve/q/0/0", (SYSTEM, USER), Sampling(temperature=0.5, seed=3))
IDENTITY = "openai:model@2026-01 http://localhost:8000/v1"


class Counting:
    """Answers with its name and the number of the call; what asks to "fail" is an error."""

    def __init__(self, identity: str = IDENTITY) -> None:
        self.identity = identity
        self.asked: list[Request] = []

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request)
            if "fail" in request.messages[-1].content:
                yield Completion(request.id, "", "error", error="overloaded")
            else:
                yield Completion(request.id, f"answer {len(self.asked)}", usage=Usage(2, 1))


class Windowed(Counting):
    """Takes as many requests as it is given room for before it answers."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        stream = iter(requests)
        while taken := list(itertools.islice(stream, self.window)):
            yield from super().generate(taken)


def _ask(path: Path, backend: Counting, *requests: Request) -> list[Completion]:
    with CompletionStore(path) as journal:
        return list(CachingBackend(backend, journal).generate(requests))


OTHERS = {
    "the same": (REQUEST, IDENTITY),
    "id only": (replace(REQUEST, id="solve/q/0/7"), IDENTITY),
    "system turn": (replace(REQUEST, messages=(Message("system", "Split!"), USER)), IDENTITY),
    "no system turn": (replace(REQUEST, messages=(USER,)), IDENTITY),
    "user turn": (replace(REQUEST, messages=(SYSTEM, Message("user", "Who?"))), IDENTITY),
    "role of a turn": (replace(REQUEST, messages=(Message("user", "Split."), USER)), IDENTITY),
    "a turn more": (replace(REQUEST, messages=(SYSTEM, USER, USER)), IDENTITY),
    "temperature": (replace(REQUEST, sampling=Sampling(temperature=0.6, seed=3)), IDENTITY),
    "top_p": (replace(REQUEST, sampling=Sampling(temperature=0.5, seed=3, top_p=0.9)), IDENTITY),
    "length": (
        replace(REQUEST, sampling=Sampling(temperature=0.5, seed=3, max_new_tokens=9)),
        IDENTITY,
    ),
    "seed": (replace(REQUEST, sampling=Sampling(temperature=0.5, seed=4)), IDENTITY),
    "sample": (replace(REQUEST, sample=1), IDENTITY),
    "solve": (replace(REQUEST, solve=1), IDENTITY),
    "endpoint": (REQUEST, "openai:model@2026-01 http://localhost:9000/v1"),
    "model": (REQUEST, "openai:other@2026-01 http://localhost:8000/v1"),
    "revision": (REQUEST, "openai:model@2026-02 http://localhost:8000/v1"),
    "weights": (REQUEST, "hf:model torch.float32 weights aa template cc"),
    "chat template": (REQUEST, "hf:model torch.float32 weights aa template dd"),
}


@pytest.mark.parametrize("changed", OTHERS)
def test_a_request_is_found_where_nothing_but_its_id_has_changed(
    changed: str, tmp_path: Path
) -> None:
    request, identity = OTHERS[changed]
    _ask(tmp_path / "requests", Counting(), REQUEST)
    again = Counting(identity)
    [completion] = _ask(tmp_path / "requests", again, request)

    assert completion.id == request.id
    assert (not again.asked) is (changed in ("the same", "id only"))


def test_everything_of_a_completion_comes_back(tmp_path: Path) -> None:
    usage = Usage(200, 100, cached_tokens=150, reasoning_tokens=70)
    billed = Decimal("0.0012")
    full = Completion("a", "Ada", "length", usage, reasoning="Older?", billed_usd=billed)
    request = replace(REQUEST, id="a")
    with CompletionStore(tmp_path / "requests") as journal:
        journal.add("0" * 64, request, full)
        journal.add("1" * 64, request, Completion("a", "Bob", usage=Usage(2, 1)))
    short = (tmp_path / "requests").read_text().splitlines()[1]
    with CompletionStore(tmp_path / "requests") as journal:
        assert journal.find("0" * 64, request) == full

    assert "reasoning" not in short
    assert "billed" not in short


def test_every_other_request_has_a_key_of_its_own() -> None:
    keys = [request_key(*other) for other in OTHERS.values()]

    assert len(set(keys)) == len(keys) - 1  # the id is no part of it


def test_a_whole_number_is_the_same_sampling_written_otherwise() -> None:
    whole, point = (replace(REQUEST, sampling=Sampling(temperature=t)) for t in (1, 1.0))

    assert request_key(whole, IDENTITY) == request_key(point, IDENTITY)


def test_a_found_completion_is_the_one_that_was_given(tmp_path: Path) -> None:
    odd = replace(REQUEST, messages=(Message("user", "lone \ud800 surrogate, é, \u2028"),))
    first = _ask(tmp_path / "requests", Counting(), REQUEST, odd)
    again = _ask(tmp_path / "requests", Counting(), REQUEST, odd)

    assert first == again


def test_a_cut_off_completion_is_kept_and_an_error_is_not(tmp_path: Path) -> None:
    class Cut(Counting):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return (replace(each, finish="length") for each in super().generate(requests))

    failing = replace(REQUEST, messages=(Message("user", "fail"),))
    cut, again = Cut(), Counting()
    _ask(tmp_path / "cut", cut, REQUEST)
    [found] = _ask(tmp_path / "cut", cut, REQUEST)
    for _ in range(2):
        [failed] = _ask(tmp_path / "failed", again, failing)

    assert (found.finish, len(cut.asked)) == ("length", 1)
    assert (failed.finish, len(again.asked)) == ("error", 2)


def test_equal_requests_under_way_are_asked_once_and_all_answered(tmp_path: Path) -> None:
    backend = Windowed(4)
    twins = [replace(REQUEST, id=str(number)) for number in range(5)]
    completions = _ask(tmp_path / "requests", backend, *twins)

    assert len(backend.asked) == 1
    assert sorted(each.id for each in completions) == ["0", "1", "2", "3", "4"]
    assert {each.text for each in completions} == {"answer 1"}


def test_found_answers_between_missing_ones_are_all_given(tmp_path: Path) -> None:
    requests = [replace(REQUEST, id=str(n), sample=n) for n in range(100)]
    _ask(tmp_path / "requests", Counting(), *requests[::3])
    backend = Windowed(7)
    completions = _ask(tmp_path / "requests", backend, *requests)

    assert sorted(int(each.id) for each in completions) == list(range(100))
    assert len(backend.asked) == 66


def test_an_endless_stream_of_found_and_equal_requests_runs_in_a_window(tmp_path: Path) -> None:
    endless = (replace(REQUEST, id=str(n), sample=min(n % 50, 1)) for n in itertools.count())
    with CompletionStore(tmp_path / "requests") as journal:
        answers = CachingBackend(Windowed(8), journal).generate(endless)
        found = list(itertools.islice(answers, 3 * MOST_HELD))

    assert len(found) == 3 * MOST_HELD


def test_the_protocol_is_kept(tmp_path: Path) -> None:
    numbers = itertools.count()
    with ExitStack() as journals:

        def make() -> CachingBackend:
            journal = journals.enter_context(CompletionStore(tmp_path / str(next(numbers))))
            return CachingBackend(Counting(), journal)

        testing.check_backend(make, failing=Request("no", (Message("user", "fail"),)))


def test_a_backend_that_answers_an_unknown_id_is_found_out(tmp_path: Path) -> None:
    class Confused(Counting):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return (Completion("nobody", "?") for _ in requests)

    with pytest.raises(BackendError, match=r"openai:model@.* answered an unknown id 'nobody'"):
        _ask(tmp_path / "requests", Confused(), REQUEST)


def test_a_journal_of_another_run_is_refused_while_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    with (
        CompletionStore(path),
        pytest.raises(ConfigError, match=r"requests is being written by another run: wait for it"),
    ):
        CompletionStore(path)
    with CompletionStore(path):
        pass  # and not longer


def test_a_line_torn_by_a_kill_is_asked_again_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    second = replace(REQUEST, sample=1)
    _ask(path, Counting(), REQUEST, second)
    path.write_bytes(path.read_bytes()[:-20])
    backend = Counting()
    _ask(path, backend, REQUEST, second)

    assert backend.asked == [second]
    assert len(path.read_text().splitlines()) == 2


KEY = "0" * 64
FAULTS = {
    "not JSON": "{",
    "expected a JSON object, found list": "[]",
    "missing field 'schema'": "{}",
    "schema 9; this version reads schema 1": '{"schema": 9}',
    "missing field 'key'": '{"schema": 1}',
    "field 'key' must be a SHA-256 in hexadecimal": '{"schema": 1, "key": "x"}',
    "field 'finish' must be 'stop' or 'length'": json.dumps(
        {"schema": 1, "key": KEY, "finish": "error"}
    ),
    "missing field 'text'": json.dumps({"schema": 1, "key": KEY, "finish": "stop"}),
    "field 'output_tokens' must be int, not str": json.dumps(
        {"schema": 1, "key": KEY, "finish": "stop", "text": "", "input_tokens": 1}
        | {"output_tokens": "2"}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_line_is_named_and_the_lock_given_back(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "requests"
    _ask(path, Counting(), REQUEST)
    path.write_text(path.read_text() + FAULTS[fault] + "\n")

    for _ in range(2):
        with pytest.raises(DataError) as caught:
            CompletionStore(path)
        assert str(caught.value).startswith(f"{path}:2: {fault}")
