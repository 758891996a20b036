"""The client under limits and faults: what is sent, and that everything is accounted for."""

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError
from decompose_distill.types import Completion, Message, Request, Sampling
from tests.support.fake_server import DROP, Call, FakeServer, Reply, chat, echo

NEVER = Reply(seconds=60)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def other() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


async def no_nap(seconds: float) -> None:
    """Sleep no longer than a moment."""
    await asyncio.sleep(0)


def ask(text: str = "hello", name: str = "0", **sampling: Any) -> Request:
    return Request(name, (Message("user", text),), Sampling(**sampling))


def backend(*servers: FakeServer, **options: Any) -> OpenAIBackend:
    urls: Any = {each.url: 1.0 for each in servers} if len(servers) > 1 else servers[0].url
    return OpenAIBackend("some-model", base_url=urls, **{"sleep": no_nap, **options})


def complete_all(ours: OpenAIBackend, count: int) -> list[Completion]:
    return list(ours.generate(ask(str(number), str(number)) for number in range(count)))


def in_turn(*replies: Reply) -> Callable[[Call], Reply]:
    """A script that gives the replies one after another, then echoes."""
    left = iter(replies)
    return lambda call: next(left, None) or echo(call)


def test_one_answer_that_asks_to_wait_stops_the_whole_client(server: FakeServer) -> None:
    waited = threading.Event()
    during: list[int] = []

    async def sleep(seconds: float) -> None:
        if seconds == 5:
            await asyncio.sleep(0.1)  # what was sent before arrives
            before = len(server.calls)
            await asyncio.sleep(0.3)
            during.append(len(server.calls) - before)
            waited.set()

    server.script = in_turn(Reply(429, {}, {"Retry-After": "5"}))
    completions = complete_all(backend(server, max_in_flight=4, sleep=sleep), 30)

    assert waited.is_set()
    assert during == [0]
    assert {each.finish for each in completions} == {"stop"}


def test_an_answer_that_leaves_nothing_stops_the_client_until_the_reset(
    server: FakeServer,
) -> None:
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    nothing = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}
    server.script = in_turn(Reply(200, chat("last"), nothing))
    complete_all(backend(server, max_in_flight=1, sleep=sleep), 2)

    assert naps == [60]


def test_all_is_answered_by_a_server_with_few_places(server: FakeServer) -> None:
    def script(call: Call) -> Reply:
        full = server.under_way > 4
        return Reply(429, {}) if full else Reply(200, chat(call.text), seconds=0.01)

    server.script = script
    completions = complete_all(backend(server, max_in_flight=64, max_attempts=50), 200)

    assert {each.id: each.text for each in completions} == {str(n): str(n) for n in range(200)}


def test_everything_is_accounted_for_where_a_fifth_fails_and_a_twentieth_hangs(
    server: FakeServer,
) -> None:
    chance, lock, fates = random.Random(0), threading.Lock(), Counter[str]()

    def script(call: Call) -> Reply:
        with lock:
            fate = chance.choices(["fails", "hangs", "answers"], [20, 5, 75])[0]
            fates[fate] += 1
        return {"fails": Reply(500, {}), "hangs": NEVER}.get(fate) or echo(call)

    server.script = script
    completions = complete_all(backend(server, max_in_flight=16, timeout=2, max_attempts=3), 150)

    assert Counter(each.id for each in completions) == {str(number): 1 for number in range(150)}
    assert all(each.error for each in completions if each.finish == "error")
    assert sum(each.unanswered for each in completions) == fates["hangs"] + fates["fails"]
    assert sum(each.finish == "stop" for each in completions) == fates["answers"]


@pytest.mark.parametrize(
    ("replies", "unanswered"),
    [
        ([DROP, DROP], 2),
        ([NEVER], 1),
        ([Reply(429, {})], 0),
        ([Reply(500, {}), Reply(429, {})], 1),
        ([NEVER, Reply(503, {}), DROP], 3),
    ],
)
def test_a_completion_says_how_many_attempts_may_be_billed_unanswered(
    server: FakeServer, replies: list[Reply], unanswered: int
) -> None:
    server.script = in_turn(*replies)
    (completion,) = complete_all(backend(server, timeout=1.5), 1)

    assert (completion.finish, completion.unanswered) == ("stop", unanswered)


def test_an_error_says_so_too(server: FakeServer) -> None:
    server.script = lambda call: DROP
    (completion,) = complete_all(backend(server, max_attempts=3), 1)

    assert (completion.finish, completion.unanswered) == ("error", 3)


def test_what_could_not_be_sent_is_not_counted_as_unanswered() -> None:
    with FakeServer() as server:
        ours = backend(server)
        complete_all(ours, 1)
    (completion,) = complete_all(ours, 1)

    assert (completion.finish, completion.unanswered) == ("error", 0)


def test_a_deadline_holds_over_all_attempts(server: FakeServer) -> None:
    server.script = lambda call: NEVER
    ours = backend(server, timeout=0.2, deadline=0.5, max_attempts=1000)
    (completion,) = complete_all(ours, 1)

    assert completion.finish == "error"
    assert completion.unanswered == len(server.calls)
    assert "not settled in 0.5 seconds" in completion.error
    assert "last: " in completion.error
    assert 1 <= len(server.calls) <= 4


def test_a_deadline_begins_with_the_first_attempt_not_in_the_queue(server: FakeServer) -> None:
    server.script = lambda call: Reply(200, chat(call.text), seconds=0.1)
    ours = backend(server, max_in_flight=2, deadline=5)
    completions = complete_all(ours, 10)

    assert {each.finish for each in completions} == {"stop"}


def test_a_broken_server_is_left_alone_until_single_requests_find_it_well(
    server: FakeServer,
) -> None:
    server.script = in_turn(*[Reply(503, {})] * 12)
    # As many attempts as one request can lose where the machine lets the others wait.
    completions = complete_all(backend(server, max_in_flight=8, max_attempts=13), 40)

    assert {each.finish for each in completions} == {"stop"}
    assert len(server.calls) == 52


def test_a_server_that_stays_broken_fails_every_request_in_words(server: FakeServer) -> None:
    server.script = lambda call: Reply(503, {"error": "maintenance"})
    completions = complete_all(backend(server, max_in_flight=8, max_attempts=3), 40)

    assert len(completions) == 40
    for each in completions:
        assert "HTTP 503" in each.error
        assert "maintenance (gave up after 3 attempts)" in each.error
    assert len(server.calls) < 3 * 40  # those that waited for a probe that failed sent nothing


def test_weights_share_the_work(server: FakeServer, other: FakeServer) -> None:
    for each in (server, other):
        each.script = lambda call: Reply(200, chat(call.text), seconds=0.02)
    ours = OpenAIBackend(
        "some-model", base_url={server.url: 3, other.url: 1}, max_in_flight=16, sleep=no_nap
    )
    complete_all(ours, 200)

    assert len(server.calls) + len(other.calls) == 200
    assert len(server.calls) > 1.5 * len(other.calls) > 0


@pytest.mark.parametrize("reply", [Reply(500, {}), Reply(429, {}, {"Retry-After": "30"}), DROP])
def test_what_one_endpoint_does_not_answer_the_other_does(
    server: FakeServer, other: FakeServer, reply: Reply
) -> None:
    server.script = lambda call: reply
    completions = complete_all(backend(server, other, max_in_flight=8, max_attempts=3), 40)

    assert {each.finish for each in completions} == {"stop"}
    assert len(other.calls) == 40


def test_an_endpoint_that_is_not_there_is_passed_over(other: FakeServer) -> None:
    with FakeServer() as gone:
        pass
    completions = complete_all(backend(gone, other), 40)

    assert {each.finish for each in completions} == {"stop"}


def test_a_pool_none_of_which_is_there_is_one_clear_error() -> None:
    with FakeServer() as gone, FakeServer() as away:
        pass
    with pytest.raises(BackendUnavailable, match="check that the server runs"):
        complete_all(backend(gone, away), 4)


def test_the_identity_of_a_pool_does_not_depend_on_order_or_weights() -> None:
    one, two = "http://a/v1", "http://b/v1"
    pools: list[Any] = [{one: 1, two: 5}, {two: 1, one: 1}]

    assert {OpenAIBackend("m", base_url=each).identity for each in pools} == {
        f"openai:m {one} {two}"
    }
    assert OpenAIBackend("m", base_url={one: 2}).identity == f"openai:m {one}"


@pytest.mark.parametrize("pool", [{}, {"http://a/v1": 0}, {"http://a/v1": 1, "http://b/v1": -1}])
def test_a_pool_without_weight_is_refused(pool: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="map addresses to weights above 0"):
        OpenAIBackend("m", base_url=pool)


def test_a_refused_key_of_one_endpoint_ends_the_run(server: FakeServer, other: FakeServer) -> None:
    server.script = lambda call: Reply(401, {"error": "no"})
    with pytest.raises(BackendError, match=f"HTTP 401 from {server.url}"):
        complete_all(backend(server, other), 10)


def test_requests_a_minute_hold_over_all_runs_of_a_backend(server: FakeServer) -> None:
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    ours = backend(server, requests_per_minute=6, sleep=sleep)
    for _ in range(4):
        complete_all(ours, 1)

    assert [round(nap, -1) for nap in naps] == [10, 20, 30]


def test_tokens_a_minute_are_guessed_before_and_corrected_after(server: FakeServer) -> None:
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)

    ours = backend(server, tokens_per_minute=60, max_in_flight=1, sleep=sleep)
    requests = (ask(name=str(number), max_new_tokens=1000) for number in range(3))
    list(ours.generate(requests))

    assert [round(nap, -1) for nap in naps] == [10, 20]  # the server counted 10 tokens each


@pytest.mark.parametrize("name", ["deadline", "requests_per_minute", "tokens_per_minute"])
def test_a_limit_that_must_be_positive_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be above 0, not 0"):
        OpenAIBackend("m", base_url="http://localhost/v1", **{name: 0})


def test_two_runs_of_one_backend_share_its_places(server: FakeServer) -> None:
    server.script = lambda call: Reply(200, chat(call.text), seconds=0.01)
    ours = backend(server, max_in_flight=4)
    first = ours.generate(ask(str(number), str(number)) for number in range(40))
    second = ours.generate(ask(each.text, each.id) for each in first)

    assert len(list(second)) == 40
    assert server.peak <= 4


def test_requests_go_through_the_proxy_of_the_environment(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.url.removesuffix("/v1").replace("http://", "http://me:pass@")
    monkeypatch.setenv("http_proxy", address)
    ours = OpenAIBackend("some-model", base_url="http://far.invalid/v1")
    (completion,) = ours.generate([ask()])

    assert completion.text == "hello"
    assert server.calls[0].path == "http://far.invalid/v1/chat/completions"
    assert server.calls[0].headers["proxy-authorization"].startswith("Basic ")


def test_ctrl_c_ends_a_run_at_once_and_leaves_no_thread(server: FakeServer) -> None:
    server.script = lambda call: Reply(body=chat("x"), seconds=0 if call.text == "quick" else 30)
    program = f"""
        import threading
        from decompose_distill import Message, Request
        from decompose_distill.backends.openai import OpenAIBackend

        texts = ["quick", "slow", "slow"]
        requests = [Request(str(n), (Message("user", t),)) for n, t in enumerate(texts)]
        try:
            for completion in OpenAIBackend("m", base_url={server.url!r}).generate(requests):
                print(completion.text, flush=True)
        except KeyboardInterrupt:
            print([each.name for each in threading.enumerate()])
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "x\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out, err) == (0, "['MainThread']\n", "")
