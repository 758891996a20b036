"""No secret of a user is shown, whatever a server answers and whoever looks."""

import asyncio
import base64
import contextlib
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import (
    Decomposer,
    Pipeline,
    Question,
    Solver,
    collect,
    load_backend,
    read_traces,
)
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.batch.backend import OpenAIBatchBackend
from tests.support.fake_server import DROP, FakeServer, Reply, chat

CANARY = "sk-canary-0123456789"
ECHO = {"Location": f"http://elsewhere/?key={CANARY}", "X-Seen": f"Bearer {CANARY}"}


async def no_nap(seconds: float) -> None:
    """Sleep no longer than a moment."""
    await asyncio.sleep(0)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that any library logs."""
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def shown(error: BaseException | None) -> str:
    """All that a report may show of an error: causes, and local variables of the libraries."""
    if error is None:
        return ""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [str(frame.locals) for frame in report.stack if frame.filename != __file__]
    return "\n".join([repr(error), *frames, shown(error.__cause__), shown(error.__context__)])


ADDRESSES = {
    "key": "{url}",
    "password": "http://me:{secret}@{host}",
    "user": "http://{secret}:word@{host}",
    "query": "{url}?api-version=1&key={secret}",
}
ANSWERS = {
    "refused": Reply(401, {"error": {"message": f"Incorrect key {CANARY}"}}, ECHO),
    "not found": Reply(404, f"no route for {CANARY}".encode(), ECHO),
    "redirect": Reply(307, b"", ECHO),
    "malformed": Reply(400, {"error": CANARY}, ECHO),
    "limited": Reply(429, {"error": {"message": f"{CANARY} is over its limit"}}, ECHO),
    "no credit": Reply(429, {"error": {"code": "insufficient_quota", "message": CANARY}}, ECHO),
    "broken": Reply(500, CANARY.encode(), ECHO),
    "no completion": Reply(200, {"oops": CANARY}, ECHO),
    "odd reason": Reply(200, chat("text", CANARY), ECHO),
    "no text": Reply(200, chat(None, [CANARY]), ECHO),
    "dropped": DROP,
    "hanging": Reply(seconds=60),
    "status line": Reply(raw=f"HTTP/1.1 {CANARY} {CANARY}\r\n\r\n".encode()),
    "status words": Reply(raw=f"HTTP/1.1 400 {CANARY}\r\nContent-Length: 0\r\n\r\n".encode()),
    "no header": Reply(raw=f"HTTP/1.1 200 OK\r\n{CANARY}\r\n\r\n".encode()),
    "odd header": Reply(raw=f"HTTP/1.1 200 OK\r\n{CANARY} {CANARY}: x\r\n\r\n".encode()),
    "odd length": Reply(raw=f"HTTP/1.1 200 OK\r\nContent-Length: {CANARY}\r\n\r\n".encode()),
    "odd packing": Reply(200, b"x", {"Content-Encoding": CANARY}),
    "odd wait": Reply(429, {}, {"Retry-After": CANARY}),
    "parameter": Reply(400, {"error": {"message": f"unknown {CANARY}", "param": "seed"}}),
    "quota": Reply(429, {"error": f"daily limit of {CANARY}"}),
    "answered": Reply(200, chat("1. What is it?\nThe answer is: 42"), ECHO),
    "away": None,
}


@pytest.mark.parametrize("place", ADDRESSES)
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_secret_appears_nowhere(
    server: FakeServer,
    log: io.StringIO,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    kind: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    host = server.url.removeprefix("http://")
    if (reply := ANSWERS[kind]) is None:
        host = "127.0.0.1:9/v1"
    else:
        server.script = lambda call: reply
    url = ADDRESSES[place].format(url=f"http://{host}", host=host, secret=CANARY)
    private = OpenAIBackend(
        "m", base_url=url, max_attempts=2, timeout=0.3 if kind == "hanging" else 5, sleep=no_nap
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    pipeline, seen = Pipeline(Decomposer(private), Solver(private)), ""
    path, error = tmp_path / "traces.jsonl", None
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        try:
            seen = str(collect(pipeline, [Question("What is it?")], path))
            seen += repr(list(read_traces(path)))
        except Exception as raised:
            error = raised
    files = "".join(each.read_text() for each in tmp_path.rglob("*") if each.is_file())
    seen += shown(error) + log.getvalue() + printed.getvalue() + files
    seen += repr(private) + repr(vars(private)) + private.identity + pipeline.identity

    assert CANARY not in seen
    assert kind == "away" or CANARY in str(server.calls[0]) + _sent(server)
    assert "connect_tcp" in log.getvalue()


def _sent(server: FakeServer) -> str:
    """The credentials a server got, decoded."""
    kind, _, token = server.calls[0].headers["authorization"].partition(" ")
    return base64.b64decode(token).decode() if kind == "Basic" else token


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (f"http://me:{CANARY}/@host", ""),
        (f"ftp://me:{CANARY}@host/v1", ""),
        (f"http://me:{CANARY}@host:port/v1", ""),
        (f"me:{CANARY}@host/v1", ""),
        ("http://localhost/v1", f"{CANARY}\nOTHER=1"),
        ("http://localhost/v1", f"{CANARY} é"),
        (f"https://api.openai.com/v1?key={CANARY}", ""),
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown_either(
    monkeypatch: pytest.MonkeyPatch, url: str, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    ways: list[Callable[[], object]] = [
        lambda: OpenAIBackend("m", base_url=url),
        lambda: OpenAIBackend("m", base_url={url: 1.0, "http://other/v1": 1.0}),
        lambda: OpenAIBatchBackend("m", "traces.jsonl.batches", base_url=url),
        lambda: load_backend("openai:m", base_url=url),
        lambda: load_backend("openai:m", base_url=url, batches="traces.jsonl.batches"),
    ]
    for way in ways:
        with pytest.raises(Exception, match=r"base_url|OPENAI_API_KEY") as caught:
            way()
        assert CANARY not in shown(caught.value)


def test_the_password_of_a_malformed_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"odd://me:{CANARY}@host")
    ours: Any = OpenAIBackend("m", base_url="http://far.invalid/v1")
    with pytest.raises(Exception, match="the proxy in the environment") as caught:
        list(ours.generate([]))
    assert CANARY not in shown(caught.value)
