import asyncio
import gc
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import count, islice
from typing import Any

import pytest
from httpx2 import Headers

from decompose_distill import load_backend
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.dialect import Dialect
from decompose_distill.backends.openai.endpoints import Addresses
from decompose_distill.backends.openai.retry_after import LONGEST_WAIT, requested_wait
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError
from decompose_distill.testing import check_backend
from decompose_distill.types import Completion, Message, Request, Sampling, Usage
from tests.support.fake_server import DROP, Call, FakeServer, Reply, chat, echo

CANARY = "sk-canary-0123456789"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


class Naps:
    """A sleep that takes no time and remembers for how long it was asked to sleep."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def shown(error: BaseException) -> str:
    """All that a report may show of an error: causes, and local variables of the library."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [str(frame.locals) for frame in report.stack if frame.filename != __file__]
    behind = [shown(each) for each in (error.__cause__, error.__context__) if each]
    return "\n".join([repr(error), *frames, *behind])


def ask(text: str = "hello", name: str = "0", **sampling: Any) -> Request:
    return Request(name, (Message("user", text),), Sampling(**sampling))


def backend(server: FakeServer, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("some-model", base_url=server.url, **{"sleep": Naps(), **options})


def complete(server: FakeServer, **options: Any) -> Completion:
    (completion,) = backend(server, **options).generate([ask()])
    return completion


def in_turn(*replies: Reply) -> Callable[[Call], Reply]:
    """A script that gives the replies one after another, then echoes."""
    left = iter(replies)
    return lambda call: next(left, None) or echo(call)


def test_it_keeps_the_protocol(server: FakeServer) -> None:
    def script(call: Call) -> Reply:
        return Reply(400, {"error": {"message": "too long"}}) if "long" in call.text else echo(call)

    server.script = script

    check_backend(lambda: backend(server, max_in_flight=4), most_ahead=4, failing=ask("long"))


def test_a_completion_has_text_finish_and_usage(server: FakeServer) -> None:
    assert complete(server) == Completion("0", "hello", "stop", Usage(7, 3))


def test_the_wire_request_holds_model_messages_and_sampling(server: FakeServer) -> None:
    messages = (Message("system", "Be brief."), Message("user", "hello"))
    sampling = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=5, seed=3)
    list(backend(server).generate([Request("0", messages, sampling)]))

    assert server.calls[0].path == "/v1/chat/completions"
    assert server.calls[0].body == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
        ],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 3,
    }


def test_the_official_endpoint_gets_its_newer_name_for_the_token_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    ((endpoint, _),) = Addresses(None).find("OPENAI_API_KEY")
    body = Dialect(endpoint.provider).encode("some-model", ask(max_new_tokens=5))

    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    "text", ["Größe → 木 🎉", 'quotes " and \\ and \n lines', "lone \ud800 half"]
)
def test_any_text_makes_the_round_trip(server: FakeServer, text: str) -> None:
    (completion,) = backend(server).generate([ask(text)])

    assert completion.text == text


@pytest.mark.parametrize(
    ("body", "finish", "words"),
    [
        (chat("cut", "length"), "length", ""),
        (chat("part", "content_filter"), "error", "finish_reason 'content_filter'"),
        (chat(None, "tool_calls"), "error", "finish_reason 'tool_calls'"),
        (chat("text", None), "error", "finish_reason None"),
        (chat("text", ["stop"]), "error", "finish_reason ['stop']"),
        ({"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}]}, "error",
         "message.content is NoneType"),
        ({"choices": []}, "error", "no chat completion: {'choices': []}"),
        ({"choices": [{"message": "hello"}]}, "error", "no chat completion"),
        ({"error": {"message": "the prompt is odd", "code": 400}}, "error", "the prompt is odd"),
        ([], "error", "no chat completion: []"),
        (None, "error", "no chat completion: None"),
        (b"<html>It works!</html>", "error", "no chat completion: <html>It works!</html>"),
        (b"", "error", "(empty answer)"),
        (b"\xff\xfe\x00", "error", "no chat completion"),
        (b"[" * 100_000, "error", "no chat completion"),
    ],
)  # fmt: skip
def test_an_answer_is_read_or_becomes_an_error_that_says_what_was_found(
    server: FakeServer, body: Any, finish: str, words: str
) -> None:
    server.script = lambda call: Reply(body=body)
    completion = complete(server)

    assert completion.finish == finish
    assert words in completion.error
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {},
        {"prompt_tokens": "seven", "completion_tokens": None},
        {"prompt_tokens": True, "completion_tokens": -1},
    ],
)
def test_missing_usage_counts_as_nothing(server: FakeServer, usage: Any) -> None:
    server.script = lambda call: Reply(body={**chat("hello"), "usage": usage})

    assert complete(server) == Completion("0", "hello", "stop", Usage())


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check the key in OPENAI_API_KEY"),
        (402, "check the credit of the account behind OPENAI_API_KEY"),
        (403, "check that the key in OPENAI_API_KEY may use model some-model"),
        (404, "check the model name some-model, and check base_url"),
        (405, "check base_url"),
        (308, "set base_url to where it redirects"),
    ],
)
def test_what_fails_every_request_is_raised(server: FakeServer, status: int, advice: str) -> None:
    server.script = lambda call: Reply(status, {"error": {"message": "no"}})

    with pytest.raises(BackendError, match=advice) as caught:
        complete(server)
    assert f"HTTP {status} from {server.url}: no" in str(caught.value)
    assert not isinstance(caught.value, BackendUnavailable)
    assert len(server.calls) == 1


def test_an_account_without_credit_is_not_asked_again(server: FakeServer) -> None:
    server.script = lambda call: Reply(429, {"error": {"code": "insufficient_quota"}})

    with pytest.raises(BackendError, match="check the credit of the account"):
        complete(server)
    assert len(server.calls) == 1


def test_completions_finished_before_a_refusal_are_not_lost(server: FakeServer) -> None:
    server.script = in_turn(Reply(body=chat("paid")), Reply(401, {"error": "revoked"}))
    completions = backend(server, max_in_flight=1).generate(ask() for _ in count())

    assert next(completions).text == "paid"
    with pytest.raises(BackendError, match="revoked"):
        next(completions)


@pytest.mark.parametrize("status", [400, 413, 418, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "context too long", "type": "invalid_request_error"}},
        {"error": "context too long"},
        {"detail": [{"loc": ["body"], "msg": "context too long"}]},
        {"object": "error", "message": "context too long"},
        b"context   too\nlong",
    ],
)
def test_a_refused_request_is_an_error_with_the_words_of_the_server(
    server: FakeServer, status: int, body: Any
) -> None:
    server.script = lambda call: Reply(status, body) if "long" in call.text else echo(call)
    completions = backend(server).generate([ask("long", "0"), ask("short", "1")])
    by_id = {completion.id: completion for completion in completions}

    assert by_id["0"].finish == "error"
    assert f"HTTP {status}" in by_id["0"].error
    assert "context too long" in by_id["0"].error
    assert by_id["1"].text == "short"
    assert len(server.calls) == 2


def test_long_words_of_a_server_are_cut(server: FakeServer) -> None:
    server.script = lambda call: Reply(400, b"very " * 10_000)

    assert len(complete(server).error) < 400


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_passing_trouble_is_tried_again(server: FakeServer, status: int) -> None:
    server.script = in_turn(*[Reply(status, {"error": "busy"})] * 3)
    naps = Naps()

    assert complete(server, sleep=naps).text == "hello"
    assert len(server.calls) == 4
    assert all(0 <= nap <= 2**turn for turn, nap in enumerate(naps.seconds))


def test_a_lost_connection_is_tried_again(server: FakeServer) -> None:
    server.script = in_turn(DROP, DROP)

    assert complete(server).text == "hello"
    assert len(server.calls) == 3


def test_an_attempt_that_takes_too_long_is_tried_again(server: FakeServer) -> None:
    server.script = in_turn(Reply(body=chat("late"), seconds=30))

    assert complete(server, timeout=0.3).text == "hello"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(429, {"error": "slow down"}), "HTTP 429 from http://.*: slow down"),
        (Reply(500, b""), "HTTP 500 from .*: \\(empty answer\\)"),
        (DROP, "did not answer \\(RemoteProtocolError"),
        (Reply(seconds=30), "did not answer \\(TimeoutError: no answer in 0.2 seconds"),
    ],
)
def test_what_stays_in_trouble_becomes_an_error_after_the_last_attempt(
    server: FakeServer, reply: Reply, words: str
) -> None:
    server.script = lambda call: reply
    naps = Naps()
    completion = complete(server, max_attempts=3, sleep=naps, timeout=0.2 if reply.seconds else 5)

    assert completion.finish == "error"
    assert len(server.calls) == 3
    assert len(naps.seconds) == 2
    with pytest.raises(AssertionError, match=f"{words}.*gave up after 3 attempts"):
        raise AssertionError(completion.error)


def http_date(seconds_from_now: float) -> str:
    return formatdate(time.time() + seconds_from_now, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.25"}, 0.25, 0.25),
        ({"retry-after-ms": "1500"}, 1.5, 1.5),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "2"}, 2, 2),
        ({"Retry-After": "20 in UTC"}, 17, 20),
        ({"Retry-After": http_date(-20)}, 0, 1),
        ({"Retry-After": "-5"}, 0, 1),
        ({"Retry-After": "0"}, 0, 1),
        ({"Retry-After": "nan"}, 0, 1),
        ({"Retry-After": "inf"}, 0, 1),
        ({"Retry-After": "Someday, 99 Foo 99999999 99:99:99"}, 0, 1),
        ({"Retry-After": "2", "Date": "nonsense"}, 2, 2),
        ({}, 0, 1),
    ],
)
def test_the_wait_a_server_asks_for_is_kept(
    server: FakeServer, headers: dict[str, str], least: float, most: float
) -> None:
    if headers.get("Retry-After") == "20 in UTC":
        headers = {"Retry-After": http_date(20)}
    naps = Naps()
    server.script = in_turn(Reply(429, {}, headers))
    complete(server, sleep=naps)

    assert len(naps.seconds) == 1
    assert least <= naps.seconds[0] <= most


def test_a_date_to_wait_for_is_read_by_the_clock_of_the_server() -> None:
    yesterday = {"date": http_date(-86400), "retry-after": http_date(-86400 + 20)}

    assert requested_wait(429, Headers(yesterday)) == pytest.approx(20, abs=1)


def test_a_wait_beyond_the_bound_ends_the_run_with_the_words_of_the_server(
    server: FakeServer,
) -> None:
    naps = Naps()
    asked = {"Retry-After": str(60 * LONGEST_WAIT)}
    server.script = lambda call: Reply(429, {"error": "the daily limit is used up"}, asked)

    with pytest.raises(BackendUnavailable, match="the daily limit is used up: run again in 1 h"):
        complete(server, sleep=naps)
    assert naps.seconds == []
    assert len(server.calls) == 1


def test_many_requests_are_under_way_and_never_more_than_allowed(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat(call.text), seconds=0.02)
    requests = (ask(str(number), str(number)) for number in range(60))
    completions = list(backend(server, max_in_flight=8).generate(requests))

    assert {each.id: each.text for each in completions} == {str(n): str(n) for n in range(60)}
    assert 2 <= server.peak <= 8


def test_a_slow_request_does_not_hold_up_the_others(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat("x"), seconds=2 if call.text == "slow" else 0)
    requests = [ask("slow", "slow"), *(ask("quick", str(number)) for number in range(9))]

    assert [each.id for each in backend(server, max_in_flight=2).generate(requests)][-1] == "slow"


def test_only_as_many_requests_are_taken_as_are_under_way(server: FakeServer) -> None:
    taken = []

    def requests() -> Iterator[Request]:
        for number in count():
            taken.append(threading.current_thread())
            yield ask(name=str(number))

    completions = backend(server, max_in_flight=4).generate(requests())
    for answered, _ in enumerate(islice(completions, 20), start=1):
        assert len(taken) <= answered + 4
    completions.close()  # type: ignore[attr-defined]

    assert set(taken) == {threading.main_thread()}


def test_what_has_finished_is_yielded_before_another_request_is_taken(server: FakeServer) -> None:
    yielded: list[str] = []
    seen = []

    def requests() -> Iterator[Request]:
        yield ask(name="first")
        time.sleep(0.3)  # meanwhile the first one finishes
        yield ask(name="second")
        seen.extend(yielded)
        yield ask(name="third")

    for completion in backend(server).generate(requests()):
        yielded.append(completion.id)

    assert "first" in seen
    assert sorted(yielded) == ["first", "second", "third"]


def loop_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "openai-backend"]


def test_closing_early_cancels_what_is_under_way_and_ends_the_thread(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat("x"), seconds=0 if call.text == "quick" else 30)
    requests = [ask("quick"), *[ask("slow")] * 3]
    completions = backend(server).generate(requests)
    next(completions)
    start = time.monotonic()
    completions.close()  # type: ignore[attr-defined]

    assert time.monotonic() - start < 5
    assert loop_threads() == []


def test_closing_at_any_moment_leaves_no_warning(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat("x"), seconds=0.005)
    busy = backend(server, max_in_flight=4)

    def requests(delay: float) -> Iterator[Request]:
        yield from (ask(name=str(number)) for number in range(3))
        time.sleep(delay)
        raise InterruptedError

    for moment in range(25):
        with pytest.raises(InterruptedError):
            list(busy.generate(requests(moment / 2000)))
    gc.collect()  # what nobody awaited or closed would warn here


def test_an_error_in_the_stream_of_requests_reaches_the_caller(server: FakeServer) -> None:
    def requests() -> Iterator[Request]:
        yield ask()
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="the database went away"):
        list(backend(server).generate(requests()))
    assert loop_threads() == []


def test_it_works_inside_a_running_event_loop(server: FakeServer) -> None:
    async def notebook() -> Completion:
        return complete(server)

    assert asyncio.run(notebook()).text == "hello"


def test_two_runs_of_one_backend_may_be_nested(server: FakeServer) -> None:
    shared = backend(server, max_in_flight=3)
    first = shared.generate(ask(str(number), str(number)) for number in range(10))
    second = shared.generate(ask(each.text * 2, each.id) for each in first)

    assert {each.text for each in second} == {str(number) * 2 for number in range(10)}


def test_an_abandoned_run_does_not_hold_up_the_interpreter(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat("x"), seconds=0 if call.text == "quick" else 30)
    program = f"""
        from decompose_distill import Message, Request
        from decompose_distill.backends.openai import OpenAIBackend

        chats = [(Message("user", "quick"),), (Message("user", "slow"),)]
        backend = OpenAIBackend("some-model", base_url={server.url!r})
        completions = backend.generate(Request(str(n), chat) for n, chat in enumerate(chats))
        print(next(completions).text)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "x\n", "")


@pytest.fixture
def dead_url() -> str:
    with FakeServer() as server:
        return server.url


def test_a_server_that_cannot_be_reached_is_one_clear_error(dead_url: str) -> None:
    naps = Naps()
    unreachable = OpenAIBackend("some-model", base_url=dead_url, sleep=naps)

    with pytest.raises(BackendUnavailable, match="check that the server runs") as caught:
        list(unreachable.generate([ask()]))
    assert dead_url in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)
    assert len(naps.seconds) == 2
    assert loop_threads() == []


def test_a_host_without_address_is_the_same_error() -> None:
    nowhere = OpenAIBackend("some-model", base_url="http://nowhere.invalid/v1", sleep=Naps())

    with pytest.raises(BackendUnavailable, match=r"http://nowhere\.invalid/v1 cannot be reached"):
        list(nowhere.generate([ask()]))


def test_a_server_that_goes_away_later_fails_only_its_requests() -> None:
    with FakeServer() as server:
        once_there = backend(server)
        list(once_there.generate([ask()]))
    (completion,) = once_there.generate([ask()])

    assert completion.finish == "error"
    assert "gave up after 6 attempts" in completion.error


def test_a_missing_key_names_the_variable() -> None:
    with pytest.raises(BackendError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIBackend("some-model")
    with pytest.raises(BackendError, match="set the environment variable OTHER_KEY"):
        OpenAIBackend("some-model", api_key_env="OTHER_KEY")


def test_a_key_that_cannot_be_sent_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY}\nOTHER=1")

    with pytest.raises(BackendError, match="the key in OPENAI_API_KEY holds") as caught:
        OpenAIBackend("some-model")
    assert CANARY not in shown(caught.value)


def test_the_key_is_sent_as_bearer(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {CANARY}\n")
    complete(server, api_key_env="MY_KEY")

    assert server.calls[0].headers["authorization"] == f"Bearer {CANARY}"


def test_a_stand_in_for_a_key_does_not_garble_messages(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    server.script = lambda call: Reply(400, {"error": "context exceeded"})

    assert "context exceeded" in complete(server).error


def test_no_key_is_sent_where_there_is_none(server: FakeServer) -> None:
    complete(server)

    assert "authorization" not in server.calls[0].headers


def test_the_endpoint_comes_from_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    (completion,) = load_backend("openai:some-model").generate([ask()])

    assert completion.text == "hello"


@pytest.mark.parametrize("ending", ["", "/", "/chat/completions"])
def test_an_address_may_end_as_users_write_it(server: FakeServer, ending: str) -> None:
    tolerant = OpenAIBackend("some-model", base_url=server.url + ending)
    list(tolerant.generate([ask()]))

    assert tolerant.identity == f"openai:some-model {server.url}"
    assert server.calls[0].path == "/v1/chat/completions"


def test_user_and_password_in_the_address_are_sent_but_not_shown(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "some-key")
    address = server.url.replace("http://", f"http://me:{CANARY}%21@") + "?version=1"
    server.script = lambda call: Reply(404, {"error": f"unknown user me:{CANARY}!"})
    private = OpenAIBackend("some-model", base_url=address)

    assert private.identity == f"openai:some-model {server.url}"
    with pytest.raises(BackendError) as caught:
        list(private.generate([ask()]))
    assert "unknown user me:***" in str(caught.value)
    assert CANARY not in shown(caught.value) + repr(private) + repr(vars(private))
    assert server.calls[0].headers["authorization"].startswith("Basic ")
    assert server.calls[0].path == "/v1/chat/completions?version=1"


@pytest.mark.parametrize(
    "address", ["localhost:8000/v1", "host/v1", "http://", "ftp://host/v1", "http://host:port/v1"]
)
def test_a_malformed_address_is_named(address: str) -> None:
    with pytest.raises(ConfigError, match=f"base_url must be like .*, not '{address}'"):
        OpenAIBackend("some-model", base_url=address)


def test_a_malformed_address_with_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="base_url must be like") as caught:
        OpenAIBackend("some-model", base_url=f"http://me:{CANARY}/@host")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", ["max_in_flight", "timeout", "max_attempts"])
def test_a_number_that_must_be_positive_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be above 0, not 0"):
        OpenAIBackend("some-model", base_url="http://localhost/v1", **{name: 0})


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, {"error": {"message": f"Incorrect key {CANARY}"}}),
        Reply(404, f"no route for {CANARY}".encode()),
        Reply(400, {"error": CANARY}),
        Reply(429, {"error": {"message": f"{CANARY} is over its limit"}}),
        Reply(500, CANARY.encode()),
        Reply(200, {"oops": CANARY}),
        Reply(200, chat("text", CANARY)),
        Reply(200, chat(None, [CANARY])),
        DROP,
        Reply(seconds=30),
    ],
)
def test_the_key_appears_in_no_error(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    server.script = lambda call: reply
    private = backend(server, max_attempts=2, timeout=0.3 if reply.seconds else 5)
    monkeypatch.delenv("OPENAI_API_KEY")
    try:
        seen = repr(list(private.generate([ask()])))
    except BackendError as error:
        seen = shown(error)

    assert server.calls[0].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in seen + repr(private) + repr(vars(private)) + private.identity


def test_the_key_appears_in_no_error_about_a_dead_server(
    dead_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    private = OpenAIBackend("some-model", base_url=dead_url, sleep=Naps())
    with pytest.raises(BackendUnavailable) as caught:
        list(private.generate([ask()]))

    assert CANARY not in shown(caught.value)
    assert "ConnectError" in repr(caught.value.__cause__)


def test_its_errors_survive_pickling(dead_url: str) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        list(OpenAIBackend("some-model", base_url=dead_url, sleep=Naps()).generate([ask()]))
    copy = pickle.loads(pickle.dumps(caught.value))

    assert type(copy) is BackendUnavailable
    assert str(copy) == str(caught.value)
