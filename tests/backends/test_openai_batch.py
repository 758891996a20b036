"""Batches against a stand-in that validates, runs, expires and bills as the provider does."""

import io
import json
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fake_batch_server import (
    CANCELLED,
    ENDED,
    EXPIRED,
    KEY,
    Answer,
    Body,
    FakeBatchServer,
    Unrun,
    chat_body,
    echo,
)
from fake_server import DROP, Reply
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion

from decompose_distill import Decomposer, Pipeline, Question, Solver
from decompose_distill.backends import batch_run
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai_batch import MOST_BATCHES, OpenAIBatchBackend
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError, DataError
from decompose_distill.testing import check_backend
from decompose_distill.types import Completion, Message, Request, Sampling, Usage


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[FakeBatchServer]:
    with FakeBatchServer() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "traces.jsonl.batches"


def backend(server: FakeBatchServer, path: Path, **options: Any) -> OpenAIBatchBackend:
    options = {"base_url": server.url, "progress": False, "sleep": lambda _: None, **options}
    return OpenAIBatchBackend("some-model", path, **options)


def asks(*texts: str) -> list[Request]:
    return [Request(text, (Message("user", text),), Sampling()) for text in texts]


def texts_of(completions: Iterator[Completion]) -> dict[str, str]:
    return {each.id: each.text for each in completions}


def number(count: int) -> list[Request]:
    return asks(*(f"question {place}" for place in range(count)))


def text_of(body: Body) -> str:
    return str(body["messages"][-1]["content"])


def created(server: FakeBatchServer) -> int:
    return server.calls.count("POST /batches")


def batch_lines(server: FakeBatchServer) -> list[list[Body]]:
    return [[json.loads(line) for line in file.splitlines()] for file in server.uploads]


def first_time(answer: Answer, *texts: str) -> Callable[[Body], Answer]:
    """Answer each of some texts like this once, and echo it afterwards."""
    left = list(texts)

    def run(body: Body) -> Answer:
        if text_of(body) in left:
            left.remove(text_of(body))
            return answer
        return echo(body)

    return run


def test_the_official_client_takes_the_stand_in_for_its_own_server(
    server: FakeBatchServer,
) -> None:
    client = openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi \u2028 there"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    sent = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    file = client.files.create(file=io.BytesIO(sent), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"key": "value"},
    )
    statuses = [batch.status]
    while batch.status not in ENDED:
        batch = client.batches.retrieve(batch.id)
        statuses.append(batch.status)
    row = json.loads(client.files.content(str(batch.output_file_id)).text)

    assert server.uploads == [sent]
    assert statuses == ["validating", "in_progress", "finalizing", "completed"]
    assert row["custom_id"] == "a"
    assert FileObject.model_validate(file.model_dump(), strict=True)
    assert Batch.model_validate(batch.model_dump(), strict=True).metadata == {"key": "value"}
    answer = ChatCompletion.model_validate(row["response"]["body"])
    assert answer.choices[0].message.content == "hi \u2028 there"
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_unknown")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.url, api_key="wrong").batches.list()


def test_the_official_client_pages_through_the_batches_of_the_stand_in(
    server: FakeBatchServer, path: Path
) -> None:
    list(backend(server, path, max_requests=1).generate(number(5)))
    client = openai.OpenAI(base_url=server.url, api_key=KEY)

    assert [each.id for each in client.batches.list(limit=2)] == list(reversed(server.batches))


def test_it_keeps_the_protocol(server: FakeBatchServer, tmp_path: Path) -> None:
    def answer(body: Body) -> Answer:
        too_long = Reply(400, {"error": {"message": "context too long"}})
        return too_long if "long" in text_of(body) else echo(body)

    server.answer = answer
    paths = (tmp_path / f"{place}.batches" for place in range(10))

    check_backend(
        lambda: backend(server, next(paths), max_requests=3),
        most_ahead=3 * MOST_BATCHES + 1,
        failing=asks("long")[0],
    )


def test_all_requests_go_in_one_batch_and_come_back_with_text_and_usage(
    server: FakeBatchServer, path: Path
) -> None:
    completions = list(backend(server, path).generate(number(5)))

    assert sorted(each.id for each in completions) == [each.id for each in number(5)]
    assert all(each == Completion(each.id, each.id, "stop", Usage(7, 3)) for each in completions)
    assert created(server) == 1
    assert set(server.billed.values()) == {1}


def test_a_line_is_the_request_that_is_sent_without_a_batch(
    server: FakeBatchServer, path: Path
) -> None:
    list(backend(server, path).generate(asks("Größe \ud800")))
    [[line]] = batch_lines(server)

    assert 0 < len(line["custom_id"]) <= 64
    assert line["method"], line["url"] == ("POST", "/v1/chat/completions")
    assert line["body"] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Größe \ud800"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 512,
        "seed": 0,
    }


def test_its_identity_is_that_of_the_same_model_without_batches(
    server: FakeBatchServer, path: Path
) -> None:
    batched = backend(server, path)

    assert batched.identity == OpenAIBackend("some-model", base_url=server.url).identity
    assert batched.batch
    assert batched.max_attempts == 3


def test_no_request_makes_no_batch(server: FakeBatchServer, path: Path) -> None:
    assert list(backend(server, path).generate([])) == []
    assert server.calls == []


def test_more_requests_than_a_batch_holds_make_several(server: FakeBatchServer, path: Path) -> None:
    found = texts_of(backend(server, path, max_requests=4).generate(number(10)))

    assert found == {each.id: each.id for each in number(10)}
    assert [len(lines) for lines in batch_lines(server)] == [4, 4, 2]


def test_more_bytes_than_a_batch_holds_make_several(
    server: FakeBatchServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_run, "MOST_BYTES", 1000)
    completions = list(backend(server, path).generate([*number(10), *asks("long " * 200)]))
    failed = [each for each in completions if each.finish == "error"]

    assert max(map(len, server.uploads)) <= 1000
    assert len(server.uploads) > 3
    assert [each.id for each in failed] == ["long " * 200]
    assert "where a batch holds 1000" in failed[0].error
    assert len(completions) == 11


def test_the_same_chat_twice_is_answered_twice(server: FakeBatchServer, path: Path) -> None:
    twice = [Request(name, (Message("user", "same"),), Sampling()) for name in ("a", "b")]

    assert texts_of(backend(server, path).generate(twice)) == {"a": "same", "b": "same"}


def test_expired_requests_alone_are_submitted_again(server: FakeBatchServer, path: Path) -> None:
    server.answer = first_time(EXPIRED, "question 1", "question 3")
    found = texts_of(backend(server, path).generate(number(5)))

    assert found == {each.id: each.id for each in number(5)}
    assert [len(lines) for lines in batch_lines(server)] == [5, 2]
    assert set(server.billed.values()) == {1}


def test_what_expires_every_time_becomes_an_error_at_last(
    server: FakeBatchServer, path: Path
) -> None:
    server.answer = lambda body: EXPIRED if text_of(body) == "late" else echo(body)
    late, other = sorted(
        backend(server, path, max_attempts=2).generate(asks("late", "other")),
        key=lambda each: each.id,
    )

    assert other.text == "other"
    assert late.finish == "error"
    assert "completion window expired" in late.error
    assert "submitted 2 times" in late.error
    assert created(server) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Reply(400, {"error": {"message": "too long", "code": "x"}}), "HTTP 400: too long"),
        (Reply(429, {"error": {"code": "insufficient_quota"}}), "HTTP 429"),
        (Reply(200, chat_body("part", "content_filter")), "finish_reason 'content_filter'"),
        (Reply(200, {"unexpected": 1}), "answered no chat completion"),
        (Reply(200, None), "answered no chat completion"),
        (CANCELLED, "batch_cancelled: This request was not executed"),
        (Unrun("unheard_of", f"with {KEY} in it"), "unheard_of: with *** in it"),
    ],
)
def test_a_request_that_fails_for_good_is_an_error_and_stops_no_other(
    server: FakeBatchServer, path: Path, answer: Answer, words: str
) -> None:
    server.answer = lambda body: answer if text_of(body) == "bad" else echo(body)
    bad, good = sorted(backend(server, path).generate(asks("bad", "good")), key=lambda e: e.id)

    assert good.text == "good"
    assert bad.finish == "error"
    assert words in bad.error
    assert created(server) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_request_that_met_a_passing_trouble_is_submitted_again(
    server: FakeBatchServer, path: Path, status: int
) -> None:
    server.answer = first_time(Reply(status, {"error": {"message": "busy"}}), "question 1")

    assert texts_of(backend(server, path).generate(number(3)))["question 1"] == "question 1"
    assert [len(lines) for lines in batch_lines(server)] == [3, 1]


def test_a_batch_that_fails_its_validation_is_raised_with_the_line(
    server: FakeBatchServer, path: Path
) -> None:
    batched = OpenAIBatchBackend(
        "no-such-model", path, base_url=server.url, progress=False, sleep=lambda _: None
    )

    with pytest.raises(BackendError, match=r"batch_2 failed its validation: line 1: model_not_fo"):
        list(batched.generate(number(2)))
    with pytest.raises(BackendError, match="failed its validation"):
        list(batched.generate(number(2)))
    assert created(server) == 2  # a failed batch is not awaited again
