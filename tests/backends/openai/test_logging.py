"""The network layer explains itself through `logging`: each event once, without secrets."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.endpoints import FAILURES
from decompose_distill.errors import BackendUnavailable
from decompose_distill.types import Message, Request
from tests.support.fake_server import Call, FakeServer, Reply, echo

CANARY = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    caplog.set_level(logging.INFO, "decompose_distill")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


async def no_nap(seconds: float) -> None:
    """Sleep no longer than a moment."""
    await asyncio.sleep(0)


def asks(count: int) -> list[Request]:
    return [Request(str(number), (Message("user", "hello"),)) for number in range(count)]


def run(server: FakeServer, count: int = 1, **options: Any) -> None:
    ours = OpenAIBackend("m", base_url=server.url, **{"sleep": no_nap, **options})
    list(ours.generate(asks(count)))


def in_turn(*replies: Reply) -> Callable[[Call], Reply]:
    """A script that gives the replies one after another, then echoes."""
    left = iter(replies)
    return lambda call: next(left, None) or echo(call)


def lines(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    assert CANARY not in caplog.text
    assert all(record.name.startswith("decompose_distill.") for record in caplog.records)
    return [record for record in caplog.records if words in record.getMessage()]


def test_a_retry_says_when_and_why(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    server.script = in_turn(Reply(503, {"error": f"restarting, {CANARY}"}))
    run(server)
    [line] = lines(caplog, "attempt")

    assert line.levelno == logging.INFO
    assert "request 0: attempt 2 in" in line.getMessage()
    assert f"HTTP 503 from {server.url}: restarting, ***" in line.getMessage()


def test_a_pause_says_for_how_long(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    server.script = in_turn(Reply(429, {"error": "slow"}, {"Retry-After": "7"}))
    run(server)
    [line] = lines(caplog, "is asked nothing")

    assert line.getMessage() == f"{server.url} is asked nothing for 7 s"


def test_a_breaker_says_when_it_opens_and_closes(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = in_turn(*[Reply(500, {"error": CANARY})] * FAILURES)
    run(server, max_attempts=FAILURES + 1)
    [opened] = lines(caplog, "is left alone for 1 s: HTTP 500")
    [closed] = lines(caplog, "answers again")

    assert {opened.levelno, closed.levelno} == {logging.WARNING}


def test_a_parameter_that_is_dropped_is_said_once(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = Reply(400, {"error": {"message": f"seed is not supported, {CANARY}"}})
    server.script = lambda call: refusal if "seed" in call.body else echo(call)
    run(server, 20)
    [line] = lines(caplog, "takes no 'seed': it is left out")

    assert line.levelno == logging.WARNING
    assert "(it says: seed is not supported, ***)" in line.getMessage()


def test_what_is_learnt_of_a_limit_is_said_once(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda call: Reply(429, {}) if len(server.calls) % 20 == 9 else echo(call)
    run(server, 200)
    [line] = lines(caplog, "of requests at any pace")

    assert line.levelno == logging.INFO


def test_an_endpoint_that_is_dropped_is_said_once(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.script = lambda call: Reply(429, {"error": "the daily limit is used up"})
    with pytest.raises(BackendUnavailable):
        run(server, 20)
    [line] = lines(caplog, f"{server.url} is left out of this run")

    assert "the daily limit is used up" in line.getMessage()


def test_a_run_without_trouble_says_nothing(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    run(server, 20)

    assert caplog.records == []
