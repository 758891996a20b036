"""Batches against a stand-in that validates, runs, expires and bills as the provider does."""

import io
import json
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from itertools import pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion

from decompose_distill import (
    Collected,
    Decomposer,
    Pipeline,
    Question,
    Solver,
    Trace,
    collect,
    read_traces,
    write_traces,
)
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.batch import scheduler as batch_run
from decompose_distill.backends.openai.batch.backend import MOST_BATCHES, OpenAIBatchBackend
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError, DataError
from decompose_distill.testing import check_backend
from decompose_distill.types import Completion, Message, Request, Sampling, Usage
from tests.support import killed
from tests.support.fake_batch_server import (
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
from tests.support.fake_server import DROP, Reply
from tests.support.processes import FORKS
from tests.support.samples import QUESTIONS, run_cli


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_request_that_timed_out_goes_again_and_counts_as_maybe_billed(
    server: FakeBatchServer, path: Path
) -> None:
    server.answer = first_time(Unrun("request_timeout", "timed out"), "question 1")
    completions = {each.id: each for each in backend(server, path).generate(number(2))}

    assert completions["question 1"].text == "question 1"
    assert completions["question 1"].unanswered == 1
    assert completions["question 0"].unanswered == 0


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


def test_a_batch_beyond_the_accounts_queue_waits_until_another_ends(
    server: FakeBatchServer, path: Path
) -> None:
    server.most_tokens = 300  # one batch of four, not two
    found = texts_of(backend(server, path, max_requests=4).generate(number(8)))

    assert found == {each.id: each.id for each in number(8)}
    assert set(server.billed.values()) == {1}
    assert [len(lines) for lines in batch_lines(server)] == [4, 4, 4]


def test_a_batch_beyond_the_whole_queue_is_halved_until_it_fits(
    server: FakeBatchServer, path: Path
) -> None:
    server.most_tokens = 300
    found = texts_of(backend(server, path).generate(number(16)))

    assert found == {each.id: each.id for each in number(16)}
    assert set(server.billed.values()) == {1}
    assert [len(lines) for lines in batch_lines(server)] == [16, 8, 4, 4, 8, 4, 4]


def test_a_request_beyond_the_whole_queue_ends_the_run(server: FakeBatchServer, path: Path) -> None:
    server.most_tokens = 10

    with pytest.raises(BackendUnavailable, match=r"token_limit_exceeded.*Limit: 10.*run again"):
        list(backend(server, path).generate(number(2)))
    server.most_tokens = None
    assert len(texts_of(backend(server, path).generate(number(2)))) == 2


def spoil_outputs(server: FakeBatchServer, spoil: Callable[[bytes], bytes]) -> None:
    """Change what the output file of the next batch holds."""
    run = server._run

    def spoiled(batch: Any) -> None:
        run(batch)
        name = batch.shown["output_file_id"]
        server.files[name] = spoil(server.files[name])

    server._run = spoiled  # type: ignore[method-assign]


@pytest.mark.parametrize("torn", [b'{"custom_id": "x', b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_line_that_cannot_be_read_is_an_error_of_its_request_alone(
    server: FakeBatchServer, path: Path, torn: bytes
) -> None:
    spoil_outputs(server, lambda content: torn + b"\n" + content.split(b"\n", 1)[1])
    completions = list(backend(server, path).generate(number(3)))
    failed = [each for each in completions if each.finish == "error"]

    assert len(completions) == 3
    assert [each.error for each in failed] == [
        "batch_2: no line for this request, and 1 that cannot be read"
    ]
    assert created(server) == 1


def test_lines_of_requests_that_were_not_asked_for_are_left_alone(
    server: FakeBatchServer, path: Path
) -> None:
    spoil_outputs(server, lambda content: content + content.replace(b'id": "', b'id": "other'))

    assert len(texts_of(backend(server, path).generate(number(3)))) == 3


@pytest.mark.parametrize("lost", ["POST /files", "POST /batches", "GET /batches", "GET /files/"])
@pytest.mark.parametrize("reply", [DROP, Reply(500, b""), Reply(429, {"error": "slow down"})])
@pytest.mark.parametrize("done", [False, True])
def test_a_lost_call_is_made_again_and_no_batch_is_created_twice(
    server: FakeBatchServer, path: Path, lost: str, reply: Reply, done: bool
) -> None:
    left = [reply] if done else [reply, reply]

    def fault(call: str) -> Reply | None:
        return left.pop() if left and call.startswith(lost) else None

    setattr(server, "after" if done else "before", fault)

    assert len(texts_of(backend(server, path).generate(number(3)))) == 3
    assert not left
    assert len(server.batches) == 1
    assert set(server.billed.values()) == {1}


def test_an_outage_of_half_an_hour_does_not_end_the_wait(
    server: FakeBatchServer, path: Path
) -> None:
    left = [DROP] * 40
    server.before = lambda call: left.pop() if left and call.startswith("GET /batches/") else None

    assert len(texts_of(backend(server, path).generate(number(3)))) == 3
    assert not left


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, {"error": {"message": "revoked"}}), "HTTP 401: revoked: check the key"),
        (Reply(404, b"not found"), "HTTP 404: not found: check that this server has the batch"),
        (Reply(400, {"error": {"message": "bad file"}}), "HTTP 400: bad file"),
        (Reply(429, {"error": {"code": "insufficient_quota"}}), "check the credit"),
        (Reply(200, b"<html>"), "answered no JSON: <html>"),
        (Reply(200, {"no": "id"}), "answered without an id"),
        (Reply(308, b""), "set base_url to where it redirects"),
    ],
)
def test_a_call_that_is_refused_ends_the_run(
    server: FakeBatchServer, path: Path, reply: Reply, words: str
) -> None:
    server.before = lambda call: reply if call == "POST /files" else None

    with pytest.raises(BackendError, match=words) as caught:
        list(backend(server, path).generate(number(3)))
    assert f"POST {server.url}/files" in str(caught.value)
    assert not isinstance(caught.value, BackendUnavailable)
    assert server.calls == ["POST /files"]


def test_a_batch_of_unheard_status_ends_the_run(server: FakeBatchServer, path: Path) -> None:
    server.before = lambda call: (
        Reply(200, {"status": "paused"}) if call.startswith("GET /batches/") else None
    )

    with pytest.raises(BackendError, match="unknown status 'paused'"):
        list(backend(server, path).generate(number(3)))


def test_a_server_that_is_not_there_is_said_to_be(path: Path) -> None:
    batched = OpenAIBatchBackend(
        "m", path, base_url="http://127.0.0.1:9/v1", progress=False, sleep=lambda _: None
    )

    with pytest.raises(BackendUnavailable, match=r"http://127.0.0.1:9/v1/files: no answer"):
        list(batched.generate(number(1)))


def test_the_wait_a_server_asks_for_is_kept(server: FakeBatchServer, path: Path) -> None:
    left = [Reply(429, {"error": "slow down"}, {"Retry-After": "7"})]
    server.before = lambda call: left.pop() if left else None
    naps: list[float] = []
    list(backend(server, path, sleep=naps.append).generate(number(1)))

    assert naps[0] == 7


def test_it_looks_less_and_less_often_at_a_batch_that_takes_long(
    server: FakeBatchServer, path: Path
) -> None:
    server.polls = 30
    naps: list[float] = []
    list(backend(server, path, sleep=naps.append).generate(number(1)))

    assert naps[:3] == [2, 3, 4.5]
    assert max(naps) == 60
    assert len(server.calls) < 40


def shown(error: BaseException) -> str:
    """All that a report may show of an error: causes, and local variables of the library."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [str(frame.locals) for frame in report.stack if frame.filename != __file__]
    behind = [shown(each) for each in (error.__cause__, error.__context__) if each]
    return "\n".join([repr(error), *frames, *behind])


@pytest.mark.parametrize(
    "reply",
    [
        DROP,
        Reply(500, KEY.encode()),
        Reply(401, KEY.encode()),
        Reply(200, KEY.encode()),
        Reply(200, {"id": f"{KEY} {KEY}"}),
        Reply(raw=f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
        Reply(raw=f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
    ],
)
def test_the_key_is_in_no_error_no_file_and_no_repr(
    server: FakeBatchServer, path: Path, reply: Reply
) -> None:
    server.before = lambda call: reply if call.startswith("POST /batches") else None
    batched = backend(server, path)

    with pytest.raises(BackendError) as caught:
        list(batched.generate(number(3)))
    assert KEY not in shown(caught.value)
    assert KEY not in path.read_text()
    assert KEY not in repr(batched)


def test_a_key_in_the_address_is_not_logged(
    server: FakeBatchServer, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secret = "sk-canary-0123456789"
    batched = backend(server, path, base_url=f"{server.url}?api-key={secret}")
    list(batched.generate(number(1)))

    assert "POST" in caplog.text
    assert secret not in caplog.text


def test_a_missing_key_is_named_before_anything_is_sent(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    with pytest.raises(BackendError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIBatchBackend("gpt-4.1-mini", path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_requests": 0}, "max_requests must be 1 to 50000, not 0"),
        ({"max_requests": 50_001}, "max_requests must be 1 to 50000"),
        ({"max_attempts": 0}, "max_attempts must be 1 or more, not 0"),
        ({"base_url": "localhost"}, "base_url must be like"),
    ],
)
def test_a_wrong_argument_is_named(path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        OpenAIBatchBackend("some-model", path, **options)


def test_what_runs_and_how_far_it_is_can_be_read(
    server: FakeBatchServer,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_run, "LINE_SECONDS", 0)
    server.answer = first_time(EXPIRED, "question 1")
    list(backend(server, path, progress=True).generate(number(3)))
    said = capsys.readouterr().err.splitlines()

    assert said[0] == "submitted batch_2: 3 requests"
    assert "requests done: batch_2 in_progress 0/3" in said
    assert "batch_2 expired: 1 requests go again" in said


def press_ctrl_c(_: float) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_the_batches_running_and_says_so(
    server: FakeBatchServer, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, progress=True, sleep=press_ctrl_c).generate(number(3)))
    assert "still running at the provider: batch_2; run again" in capsys.readouterr().err
    assert len(texts_of(backend(server, path).generate(number(3)))) == 3
    assert created(server) == 1


def test_of_a_batch_that_still_runs_only_what_is_asked_for_is_taken(
    server: FakeBatchServer, path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(5)))
    more = [*number(7)[2:4], *number(7)[5:]]

    assert texts_of(backend(server, path).generate(more)) == {each.id: each.id for each in more}
    assert [len(lines) for lines in batch_lines(server)] == [5, 2]
    rest = texts_of(backend(server, path).generate(number(7)[:2]))
    assert rest == {each.id: each.id for each in number(7)[:2]}
    assert created(server) == 2
    assert set(server.billed.values()) == {1}


def test_what_was_taken_from_a_batch_is_submitted_anew_when_it_is_asked_for_again(
    server: FakeBatchServer, path: Path
) -> None:
    list(backend(server, path).generate(number(2)))
    list(backend(server, path).generate(number(2)))

    assert created(server) == 2


def test_a_batch_is_not_awaited_for_another_model(server: FakeBatchServer, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(2)))
    other = OpenAIBatchBackend(
        "other-model", path, base_url=server.url, progress=False, sleep=lambda _: None
    )

    assert len(texts_of(other.generate(number(2)))) == 2
    assert created(server) == 2


@pytest.mark.parametrize("gone", ["batches", "files"])
def test_a_batch_that_is_not_known_any_more_is_not_paid_again_unasked(
    server: FakeBatchServer, path: Path, gone: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(2)))
    (server.batches if gone == "batches" else server.files).clear()
    if gone == "files":
        server._run = lambda batch: batch.shown.update(  # type: ignore[method-assign]
            status="completed", output_file_id="file-gone"
        )

    with pytest.raises(BackendError, match=rf"HTTP 404: .*delete {path} to submit, and pay, again"):
        list(backend(server, path).generate(number(2)))
    path.unlink()
    assert created(server) == 1


def test_a_batch_cancelled_at_the_provider_is_submitted_anew_by_the_run_after(
    server: FakeBatchServer, path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(2)))
    openai.OpenAI(base_url=server.url, api_key=KEY).batches.cancel("batch_2")
    failed = list(backend(server, path).generate(number(2)))

    assert ["batch_cancelled" in each.error for each in failed] == [True, True]
    assert len(texts_of(backend(server, path).generate(number(2)))) == 2
    assert created(server) == 2
    assert set(server.billed.values()) == {1}


def test_resubmissions_are_counted_across_a_kill(server: FakeBatchServer, path: Path) -> None:
    server.answer = lambda body: EXPIRED

    def until_the_second_batch(_: float) -> None:
        if created(server) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=until_the_second_batch).generate(number(1)))
    [failed] = backend(server, path).generate(number(1))

    assert "submitted 3 times" in failed.error
    assert created(server) == 3


def test_the_command_line_collects_by_batch_and_finds_the_traces_again(
    server: FakeBatchServer,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_run, "FIRST_POLL", 0.01)
    server.answer = lambda body: chat_body("1. What is 6 times 7?\nThe answer is: 42")
    asked, output = path.with_name("questions.jsonl"), path.with_name("traces.jsonl")
    asked.write_text("".join(json.dumps({"question": q.text}) + "\n" for q in QUESTIONS))
    call = (asked, "--teacher", "openai:some-model", "--base-url", server.url, "--output", output)

    assert run_cli("plan", *call, "--batch", monkeypatch=monkeypatch) == 0
    assert server.calls == []
    assert run_cli("collect", *call, "--batch", monkeypatch=monkeypatch) == 0
    assert [trace.answer for trace in read_traces(output)] == ["42"] * len(QUESTIONS)
    assert path.is_file()
    calls = len(server.calls)
    assert run_cli("collect", *call, monkeypatch=monkeypatch) == 0
    assert (created(server), len(server.calls)) == (2, calls)


def test_on_the_command_line_one_role_alone_may_be_a_batch(
    server: FakeBatchServer,
    path: Path,
    traces: tuple[Trace, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_run, "FIRST_POLL", 0.01)
    server.answer = lambda body: chat_body("The answer is: 42")
    asked, recorded = path.with_name("questions.jsonl"), path.with_name("recorded.jsonl")
    write_traces(traces, recorded)
    asked.write_text("".join(json.dumps({"question": q.text}) + "\n" for q in QUESTIONS))
    call = (asked, "--teacher", f"replay:{recorded}", "--solver", "openai:some-model", "--batch")
    call += ("--base-url", server.url, "--output", path.with_name("traces.jsonl"))

    assert run_cli("collect", *call, monkeypatch=monkeypatch) == 0
    assert [len(lines) for lines in batch_lines(server)] == [len(QUESTIONS)]


def steps_of_a_run(path: Path) -> Iterator[tuple[int, str]]:
    """Which calls to kill at: each as it comes in, and what changes things once it is done."""
    with FakeBatchServer(first_time(EXPIRED, "b")) as server:
        list(backend(server, path, max_requests=2).generate(asks(*"abc")))
        assert len(server.batches) == 3
    for step, (before, call) in enumerate(pairwise(["", *server.calls]), start=1):
        if call != before:  # not at each of many looks at a batch
            yield step, "before"
        if call.startswith("POST"):
            yield step, "after"


def test_killed_at_any_step_it_goes_on_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    steps = list(steps_of_a_run(tmp_path / "undisturbed"))
    assert len(steps) > 15
    for step, moment in steps:
        path, journal = tmp_path / f"{step} {moment}", tmp_path / f"{step} {moment} done"
        with FakeBatchServer(first_time(EXPIRED, "b")) as server:
            answers = server.url, KEY, path, journal
            process = FORKS.Process(target=killed.note_answers, args=answers)
            started = threading.Event()
            setattr(server, moment, kill_at(step, process, server, started))
            process.start()
            started.set()
            process.join(120)

            assert process.exitcode == -signal.SIGKILL
            done = journal.read_text().split()
            left = [text for text in "abc" if text not in done]
            rest = texts_of(backend(server, path, max_requests=2).generate(asks(*left)))

            assert sorted([*done, *rest.values()]) == ["a", "b", "c"]
            assert set(server.billed.values()) == {1}


def kill_at(
    step: int, process: BaseProcess, server: FakeBatchServer, started: threading.Event
) -> Callable[[str], Reply | None]:
    def kill(call: str) -> Reply | None:
        if len(server.calls) != step:
            return None
        started.wait(60)  # the child may call before its start has returned
        process.kill()
        return DROP

    return kill


def hide_for(server: FakeBatchServer, looks: int) -> None:
    """Leave batches out of the list until it was looked at so often."""
    page = server._page

    def lagging(limit: int, after: str | None) -> Body:
        listed = server.calls.count("GET /batches")
        return page(limit, after) if listed > looks else {"data": [], "has_more": False}

    server._page = lagging  # type: ignore[method-assign]


@pytest.mark.parametrize("reply", [DROP, Reply(500, b""), Reply(503, {"error": "busy"})])
def test_a_batch_that_the_list_does_not_show_yet_is_not_created_again(
    server: FakeBatchServer, path: Path, reply: Reply
) -> None:
    left = [reply]
    waited: list[float] = []
    server.after = lambda call: left.pop() if left and call == "POST /batches" else None
    hide_for(server, looks=10)

    assert len(texts_of(backend(server, path, sleep=waited.append).generate(number(3)))) == 3
    assert created(server) == 1
    assert set(server.billed.values()) == {1}
    assert sum(waited) > 60


def test_after_a_kill_it_is_looked_for_as_long(server: FakeBatchServer, path: Path) -> None:
    server.after = lambda call: DROP if call == "POST /batches" else None
    waited: list[float] = []

    def until_looked_for(seconds: float) -> None:
        if "GET /batches" in server.calls:
            raise KeyboardInterrupt

    hide_for(server, looks=10)
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=until_looked_for).generate(number(3)))
    server.after = lambda call: None

    assert len(texts_of(backend(server, path, sleep=waited.append).generate(number(3)))) == 3
    assert created(server) == 1
    assert set(server.billed.values()) == {1}


def test_one_that_was_never_ordered_is_not_waited_for(server: FakeBatchServer, path: Path) -> None:
    def press_ctrl_c(call: str) -> Reply | None:
        if call == "POST /files":
            raise ConnectionAbortedError
        return None

    server.before = press_ctrl_c
    with pytest.raises(BackendUnavailable):
        list(backend(server, path).generate(number(3)))
    server.before = lambda call: None
    waited: list[float] = []

    assert len(texts_of(backend(server, path, sleep=waited.append).generate(number(3)))) == 3
    assert server.calls.count("GET /batches") == 1
    assert sum(waited) < 30


def test_a_parameter_that_lines_are_refused_for_is_left_out_of_the_next_batch(
    server: FakeBatchServer, path: Path
) -> None:
    error = {"error": {"message": "Unsupported parameter: 'temperature'", "param": "temperature"}}
    server.answer = lambda body: Reply(400, error) if "temperature" in body else echo(body)
    ours = backend(server, path, max_attempts=1)

    assert texts_of(ours.generate(number(4))) == {each.id: each.id for each in number(4)}
    assert [len(lines) for lines in batch_lines(server)] == [4, 4]
    assert len(texts_of(ours.generate(asks("another")))) == 1
    assert created(server) == 3


def test_so_it_is_where_another_run_awaits_that_batch(server: FakeBatchServer, path: Path) -> None:
    error = {"error": {"message": "Unsupported parameter: 'seed'", "param": "seed"}}
    server.answer = lambda body: Reply(400, error) if "seed" in body else echo(body)
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(3)))

    assert len(texts_of(backend(server, path).generate(number(3)))) == 3
    assert created(server) == 2
    assert len(server.billed) == 6  # three refused, which cost nothing, and three answered


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": 429, "message": "slow down"}},
        chat_body("half", "insufficient_system_resource"),
        Reply(429, {"error": {"message": "daily limit"}}),
    ],
)
def test_what_may_pass_goes_into_another_batch(
    server: FakeBatchServer, path: Path, answer: Any
) -> None:
    server.answer = first_time(answer, "question 1")

    assert texts_of(backend(server, path).generate(number(3)))["question 1"] == "question 1"


def test_a_name_with_control_sequences_is_refused(server: FakeBatchServer, path: Path) -> None:
    server.before = lambda call: Reply(200, {"id": "file-\x1b[2J"}) if "files" in call else None

    with pytest.raises(BackendError, match="without an id that can be used"):
        list(backend(server, path).generate(number(1)))


def test_a_torn_last_line_is_cut_and_the_rest_kept(server: FakeBatchServer, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(backend(server, path, sleep=press_ctrl_c).generate(number(2)))
    whole = path.read_bytes()
    intent, ordered, _ = whole.splitlines(keepends=True)
    for torn in (whole[:-1], intent + ordered, intent, whole + whole[:20]):
        path.write_bytes(torn)
        completions = backend(server, path).generate(number(2))

        assert len(list(completions)) == 2
    assert created(server) == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{\n", "not JSON"),
        (b"[]\n", "expected a JSON object, found list"),
        (b'{"event": "intent"}\n', "missing field 'key'"),
        (b'{"event": "settled", "key": "k"}\n', "field 'key' names no open"),
        (b'{"event": "paused", "key": "k"}\n', "field 'key' names no open"),
        (
            b'{"event": "intent", "key": "k", "custom_ids": [1], "identity": "", "attempt": 1, '
            b'"time": 0.5}\n',
            "field 'custom_ids' must be a list of strings",
        ),
        (b"\xff\n", "not JSON"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    server: FakeBatchServer, path: Path, line: bytes, words: str
) -> None:
    path.write_bytes(line)

    with pytest.raises(DataError, match=rf"{path}:1: {words}"):
        list(backend(server, path).generate(number(1)))
    assert server.calls == []


def teach(body: Body) -> Answer:
    """Decomposes and solves."""
    text = text_of(body)
    if "How old is" in text:
        return chat_body("The answer is: 42")
    return chat_body("1. How old is Ada?\n2. How old is Bob?")


def test_a_pipeline_runs_one_batch_of_decompositions_then_one_of_solutions(
    server: FakeBatchServer, path: Path
) -> None:
    server.answer = teach
    batched = backend(server, path)
    questions = [Question(f"Is Ada above {age}?") for age in range(5)]
    traces = list(Pipeline(Decomposer(batched), Solver(batched)).run(questions))

    assert [trace.answer for trace in traces] == ["42"] * 5
    assert [trace.question for trace in traces] == questions
    assert [len(lines) for lines in batch_lines(server)] == [5, 5]


def test_collecting_goes_on_after_ctrl_c_without_paying_twice(
    server: FakeBatchServer, tmp_path: Path
) -> None:
    server.answer = teach
    questions = [Question(f"Is Ada above {age}?") for age in range(5)]
    traces = tmp_path / "traces.jsonl"

    def run(sleep: Callable[[float], None]) -> Collected:
        batched = backend(server, tmp_path / "traces.jsonl.batches", sleep=sleep)
        pipeline = Pipeline(Decomposer(batched), Solver(batched))
        return collect(pipeline, questions, traces, samples=2, solves=2, progress=False)

    def once_solving(_: float) -> None:
        if created(server) == 2:
            raise KeyboardInterrupt

    for sleep in (press_ctrl_c, once_solving):
        with pytest.raises(KeyboardInterrupt, match="goes on from there"):
            run(sleep)
    run(lambda _: None)

    assert [trace.answer for trace in read_traces(traces)] == ["42"] * 20
    assert [len(lines) for lines in batch_lines(server)] == [10, 20]
    assert set(server.billed.values()) == {1}
