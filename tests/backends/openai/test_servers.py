"""What real servers do, by kind: refusals that teach, replies, endings, errors, and waits."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from decompose_distill import load_backend
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.errors import (
    BackendError,
    BackendUnavailable,
    ConfigError,
    MissingExtraError,
)
from decompose_distill.types import Completion, Message, Request, Sampling
from tests.support.fake_server import Call, FakeServer, Reply, chat, echo


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


def ask(name: str = "0", system: str = "Be brief.", **sampling: Any) -> Request:
    turns = (Message("system", system), Message("user", "What is 2 + 3?"))
    return Request(name, turns if system else turns[1:], Sampling(**sampling))


def asks(count: int, **sampling: Any) -> list[Request]:
    return [ask(str(number), **sampling) for number in range(count)]


def backend(server: FakeServer, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("some-model", base_url=server.url, **{"sleep": Naps(), **options})


def complete(server: FakeServer, **options: Any) -> Completion:
    (completion,) = backend(server, **options).generate([ask()])
    return completion


def in_turn(*replies: Reply) -> Callable[[Call], Reply]:
    """A script that gives the replies one after another, then echoes."""
    left = iter(replies)
    return lambda call: next(left, None) or echo(call)


def openai(message: str, **fields: Any) -> Reply:
    return Reply(400, {"error": {"message": message, "type": "invalid_request_error", **fields}})


def pydantic(field: str) -> Reply:
    detail = {
        "type": "extra_forbidden",
        "loc": ["body", field],
        "msg": "Extra inputs are not permi",
    }
    return Reply(422, {"detail": [detail]})


def refusing(*refusals: tuple[str, Reply]) -> Callable[[Call], Reply]:
    """A script that refuses the bodies that hold a parameter."""

    def script(call: Call) -> Reply:
        return next((reply for name, reply in refusals if name in call.body), None) or echo(call)

    return script


REFUSALS = {
    "temperature": openai(
        "Unsupported parameter: 'temperature' is not supported with this model.",
        param="temperature",
        code="unsupported_parameter",
    ),
    "temperature, its value": openai(
        "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default "
        "(1) value is supported.",
        param="temperature",
    ),
    "temperature, without a field": openai("temperature is not supported for reasoning models"),
    "temperature, above 0": Reply(
        422, {"error": "Input validation error: `temperature` must be strictly positive"}
    ),
    "top_p": pydantic("top_p"),
    "top_p, in a list": Reply(400, [{"error": {"code": 400, "message": 'Unknown name "top_p"'}}]),
    "top_p, nested": Reply(
        422,
        {"object": "error", "message": {"detail": [{"loc": ["body", "top_p"], "msg": "Extra"}]}},
    ),
    "seed": pydantic("seed"),
    "seed, flat": Reply(400, {"object": "error", "message": "Unrecognized argument: seed"}),
    "seed, as text": Reply(400, b"the field 'seed' is not permitted"),
    "seed, within words": openai("Additional properties are not allowed ('seed' was unexpected)"),
    "max_tokens": openai(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        param="max_tokens",
    ),
    "max_tokens, as an unknown field": pydantic("max_tokens"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_parameter_that_is_refused_costs_one_request_once_for_all(
    server: FakeServer, kind: str
) -> None:
    name = kind.partition(",")[0]
    server.script = refusing((name, REFUSALS[kind]))
    ours = backend(server, max_in_flight=8, max_attempts=1)
    completions = [*ours.generate(asks(20)), *ours.generate(asks(5))]

    assert {completion.finish for completion in completions} == {"stop"}
    assert sum(completion.unanswered for completion in completions) == 0
    assert len(server.calls) == 26
    assert name not in server.calls[-1].body
    assert server.calls[-1].body.keys() >= {"temperature", "top_p", "seed"} - {name}
    assert {"max_tokens", "max_completion_tokens"} & server.calls[-1].body.keys()


def test_several_parameters_that_are_refused_one_by_one_cost_one_request_each(
    server: FakeServer,
) -> None:
    names = ("max_tokens", "temperature", "top_p", "seed")
    server.script = refusing(*((name, openai(f"Unsupported: {name}.")) for name in names))
    completions = list(backend(server, max_in_flight=8).generate(asks(20)))

    assert {completion.finish for completion in completions} == {"stop"}
    assert len(server.calls) == 24
    assert server.calls[-1].body.keys() == {"model", "messages", "max_completion_tokens"}


def test_of_two_parameters_that_exclude_each_other_one_is_kept(server: FakeServer) -> None:
    both = openai("`temperature` and `top_p` cannot both be specified for this model.")

    def script(call: Call) -> Reply:
        return both if {"temperature", "top_p"} <= call.body.keys() else echo(call)

    server.script = script
    complete(server)

    assert "temperature" in server.calls[-1].body


def test_a_request_is_never_sent_without_a_limit(server: FakeServer) -> None:
    def script(call: Call) -> Reply:
        limits = {"max_tokens", "max_completion_tokens"} & call.body.keys()
        return openai(f"Unsupported parameter: '{limits.pop()}'") if limits else echo(call)

    server.script = script
    completion = complete(server)

    assert completion.finish == "error"
    assert "Unsupported parameter" in completion.error
    assert len(server.calls) == 2
    assert all(len(call.body) == 6 for call in server.calls)


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("max_tokens is too large: 512. This model supports at most 256 completion tokens", 256),
        ("`max_completion_tokens` must be less than or equal to `300`, the maximum value", 300),
        ("max_tokens: 512 > 200, which is the maximum allowed number of output tokens", 200),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 400]", 400),
        ("max_tokens=512 cannot be greater than max_model_len=300. Please request fewer", 150),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 512. This model's maximum "
            "context length is 500 tokens and your request has 60 input tokens",
            440,
        ),
    ],
)
def test_a_limit_that_is_too_large_is_lowered_to_what_the_server_allows(
    server: FakeServer, message: str, most: int
) -> None:
    def script(call: Call) -> Reply:
        return openai(message) if call.body["max_tokens"] > most else echo(call)

    server.script = script
    ours = backend(server)
    list(ours.generate(asks(10)))
    list(ours.generate(asks(1, max_new_tokens=5)))

    assert len(server.calls) == 12
    assert [call.body["max_tokens"] for call in server.calls[-2:]] == [most, 5]


def test_a_question_that_is_too_long_lowers_no_limit(server: FakeServer) -> None:
    words = "maximum context length is 500 tokens and your request has 490 input tokens"
    server.script = lambda call: openai(words)

    assert complete(server).finish == "error"
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    "reply",
    [
        openai("System role not supported", code=400),
        openai("'messages[0].role' does not support 'system' with this model.", param="messages"),
        openai("Developer instruction is not enabled for models/some-model"),
        openai("Conversation roles must alternate user/assistant/user/assistant/..."),
        Reply(500, {"error": {"code": 500, "message": "Jinja: System role not supported"}}),
    ],
)
def test_where_a_system_turn_is_refused_its_text_goes_before_the_users(
    server: FakeServer, reply: Reply
) -> None:
    def script(call: Call) -> Reply:
        return reply if call.body["messages"][0]["role"] == "system" else echo(call)

    server.script = script
    completions = list(backend(server, max_in_flight=4).generate(asks(10)))

    assert {completion.finish for completion in completions} == {"stop"}
    assert len(server.calls) == 11
    assert server.calls[-1].body["messages"] == [
        {"role": "user", "content": "Be brief.\n\nWhat is 2 + 3?"}
    ]


@pytest.mark.parametrize(
    "reply",
    [
        openai("This model's maximum context length is exceeded"),
        openai("The word temperature is spelt wrong in your question"),
        Reply(422, {"detail": [{"loc": ["body", "messages", 0], "msg": "must be short"}]}),
        Reply(422, {"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]}),
        Reply(500, {"error": "'temperature' is not supported"}),
    ],
)
def test_a_refusal_of_something_else_teaches_nothing(server: FakeServer, reply: Reply) -> None:
    server.script = lambda call: reply
    completion = complete(server, max_attempts=1)

    assert completion.finish == "error"
    assert len(server.calls) == 1


def test_settings_that_are_none_are_not_sent(server: FakeServer) -> None:
    list(backend(server).generate([ask(temperature=None, top_p=None, seed=None)]))

    assert server.calls[0].body.keys() == {"model", "messages", "max_tokens"}


def test_a_slow_first_answer_holds_nobody_up_for_long(server: FakeServer) -> None:
    server.script = lambda call: Reply(200, chat("x"), seconds=0 if server.calls[1:] else 4)
    completions = backend(server, max_in_flight=4).generate(asks(20))

    assert [next(completions).finish for _ in range(19)] == ["stop"] * 19


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "2 + 3 = 5.\n"}, {"type": "text", "text": "So: 5"}],
         "2 + 3 = 5.\nSo: 5"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "9?"}]},
          {"type": "text", "text": "5"}], "5"),
        ([{"type": "reasoning", "summary": ["9?"]}, {"type": "output_text", "text": "5"}], "5"),
        (["5", {"text": " apples"}, {"type": "image_url", "image_url": "x"}], "5 apples"),
        ("<think>9?</think>5", "5"),
        ("9? No.\n</think>\n5", "5"),
    ],
)  # fmt: skip
def test_the_text_is_that_of_a_contents_text_parts(
    server: FakeServer, content: Any, text: str
) -> None:
    server.script = lambda call: Reply(200, chat(content))

    assert complete(server).text == text


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        ({"content": "5", "reasoning_content": "9?"}, "9?"),
        ({"content": "5", "reasoning": "9?"}, "9?"),
        ({"content": "5", "reasoning": {"content": "9?"}}, "9?"),
        ({"content": "5", "reasoning_details": [{"type": "reasoning.text", "text": "9?"}]}, "9?"),
        ({"content": "5", "reasoning_details": [{"summary": "9"}, {"summary": "?"}]}, "9?"),
        ({"content": "5", "reasoning": None, "reasoning_content": "9?"}, "9?"),
        ({"content": [{"type": "thinking", "thinking": "9?"}, {"text": "5"}]}, "9?"),
        ({"content": "<think>9?</think>5"}, "9?"),
        ({"content": "5"}, ""),
    ],
)
def test_thinking_is_kept_apart_wherever_it_stands(
    server: FakeServer, message: dict[str, Any], reasoning: str
) -> None:
    server.script = lambda call: Reply(200, chat(None, **message))
    completion = complete(server)

    assert (completion.text, completion.reasoning) == ("5", reasoning)


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_content": "9?"},
        {"reasoning": "9?"},
        {"content": "", "reasoning_content": "9?"},
        {"content": "<think>9?"},
        {"content": [{"type": "thinking", "thinking": "9?"}]},
        {"content": None},
    ],
)
def test_a_cut_inside_the_thinking_is_a_length(server: FakeServer, message: dict[str, Any]) -> None:
    choice = {"message": {"role": "assistant", **message}, "finish_reason": "length"}
    server.script = lambda call: Reply(200, {"choices": [choice]})
    completion = complete(server)

    assert (completion.finish, completion.text, completion.error) == ("length", "", "")
    assert completion.reasoning in ("9?", "")


def test_a_refusal_of_the_model_is_an_error_with_its_words(server: FakeServer) -> None:
    server.script = lambda call: Reply(200, chat(None, refusal="I cannot help with \x1b[2Jthat"))

    assert complete(server).error == "the model refused: I cannot help with [2Jthat"


@pytest.mark.parametrize(
    ("reasons", "finish"),
    [
        ("stop eos eos_token end end_turn STOP Stop stop_sequence END_TURN FINISH_REASON_STOP "
         "COMPLETE endoftext", "stop"),
        ("length model_length MAX_TOKENS max_tokens max_output_tokens MaxTokens "
         "model_context_window_exceeded token-limit", "length"),
        ("content_filter tool_calls function_call refusal safety RECITATION pause_turn other x "
         "stopped_by_user", "error"),
    ],
)  # fmt: skip
def test_every_ending_is_read_by_its_meaning_and_an_unknown_one_is_a_failure(
    server: FakeServer, reasons: str, finish: str
) -> None:
    for reason in reasons.split():
        server.script = lambda call, reason=reason: Reply(200, chat("2 + 3 is", reason))
        completion = complete(server)

        assert (completion.finish, reason if finish == "error" else "") == (
            finish,
            reason if reason in completion.error else "",
        )
    assert len(server.calls) == len(reasons.split())  # and is asked, and paid, once


@pytest.mark.parametrize(
    "reason", ["error", "insufficient_system_resource", "abort", "network_error", "load"]
)
def test_where_the_server_gave_up_it_is_asked_again(server: FakeServer, reason: str) -> None:
    server.script = in_turn(Reply(200, chat("half", reason)))
    completion = complete(server)

    assert (completion.finish, completion.unanswered) == ("stop", 1)
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Provider returned error: rate limited", "code": 429}},
        {"error": {"message": "slow down", "code": "429"}},
        {"error": {"message": "slow down", "type": "rate_limit_error"}},
        [{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}],
        {"object": "error", "message": "slow down", "code": 429},
        {"error": {"error": {"message": "slow down", "code": 429}}},
        {"error": "Rate limit reached"},
        {"errors": [{"code": 429, "message": "slow down"}]},
        {"status": 429, "detail": "slow down"},
        {"choices": [{"error": {"code": 429, "message": "slow down"}, "finish_reason": "error"}]},
        {"error": {"message": '{"error": {"code": 429, "message": "slow down"}}'}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {"error": {"message": "upstream is down", "code": 502}},
        {"error": {"message": "Internal error", "status": "INTERNAL"}, "choices": []},
    ],
)
def test_an_error_inside_a_200_is_what_its_code_or_its_words_say(
    server: FakeServer, body: Any
) -> None:
    server.script = in_turn(Reply(200, body), Reply(200, body))

    assert complete(server).finish == "stop"
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"code": 401, "message": "no such key"}}, "check the key in OPENAI_API_KEY"),
        ({"error": {"code": "insufficient_quota", "message": "x"}}, "check the credit"),
        ([{"error": {"code": 404, "message": "no such model"}}], "check the model name"),
    ],
)
def test_so_it_is_where_it_concerns_every_request(
    server: FakeServer, body: Any, error: str
) -> None:
    server.script = lambda call: Reply(200, body)

    with pytest.raises(BackendError, match=f"HTTP 200 \\(as 40[124]\\).*{error}"):
        complete(server)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (Reply(429, {}, {"Retry-After": "7s"}), 7),
        (Reply(429, {}, {"Retry-After": "1m30s"}), None),
        (Reply(429, {}, {"x-ms-retry-after-ms": "1500"}), 1.5),
        (Reply(429, {}, {"x-ratelimit-reset": "12"}), 12),
        (Reply(429, {}, {"RateLimit-Reset": "12"}), 12),
        (Reply(429, {"error": {"details": [{"retryDelay": "1.7s"}]}}), 1.7),
        (Reply(429, [{"error": {"details": [{}, {"retryDelay": "17s"}]}}]), 17),
        (Reply(429, {"error": {"details": [{"retryDelay": {"seconds": 3, "nanos": 5 * 10**8}}]}}),
         3.5),
        (Reply(429, {"error": {"message": "slow", "retry_after": 4}}), 4),
        (Reply(429, {"error": {"message": "slow", "metadata": {"headers": {"Retry-After": "8"}}}}),
         8),
        (Reply(429, {"error": {"message": "Please try again in 6.5s. Visit x for more."}}), 6.5),
        (Reply(429, {"error": {"message": "Please try again in 120ms."}}), 0.12),
        (Reply(429, {"error": {"message": "Please retry after 26 seconds."}}), 26),
        (Reply(200, {"error": {"code": 429, "message": "slow", "retry_after": "9"}}), 9),
        (Reply(503, {"error": "loading the model"}, {"Retry-After": "3"}), 3),
    ],
)  # fmt: skip
def test_the_wait_that_an_answer_asks_for_is_kept_wherever_it_stands(
    server: FakeServer, reply: Reply, seconds: float | None
) -> None:
    naps = Naps()
    server.script = in_turn(reply)
    if seconds is None:  # longer than anybody waits
        with pytest.raises(BackendUnavailable, match="run again in 2 min"):
            complete(server, sleep=naps)
        return
    complete(server, sleep=naps)

    assert naps.seconds == [pytest.approx(seconds, abs=0.1)]


DAY = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(429, {"error": "the daily limit is used up"}, {"Retry-After": "3600"}), "in 1 h"),
        (Reply(503, {"error": "closed for the night"}, {"Retry-After": "7200"}), "in 2 h"),
        (Reply(429, {"error": {"message": "Daily limit reached"}}), "when the quota is there"),
        (Reply(429, {"error": {"message": "Limit of 50 requests per day reached"}}), "the quota"),
        (Reply(429, {"error": {"message": "on tokens per day (TPD): try again in 7m12s."}}),
         "in 8 min"),
        (Reply(429, [{"error": {"code": 429, "message": "Quota exceeded", "details": [
            {"violations": [DAY]}, {"retryDelay": "17s"}]}}]), "in 1 min"),
        (Reply(200, {"error": {"code": 429, "message": "Limit reached: free-models-per-day"}}),
         "the quota"),
    ],
)  # fmt: skip
def test_a_quota_that_does_not_come_back_soon_ends_the_run_and_another_goes_on(
    server: FakeServer, reply: Reply, words: str
) -> None:
    server.script = in_turn(Reply(200, chat("paid")), reply)
    ours = backend(server, max_in_flight=1)
    completions = ours.generate(asks(5))

    assert next(completions).text == "paid"
    with pytest.raises(BackendUnavailable, match=f"run again {words}|{words}"):
        next(completions)
    assert len(server.calls) == 2
    assert {completion.finish for completion in ours.generate(asks(3))} == {"stop"}


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, {"error": {"message": "Limit of 60 requests per minute reached"}}),
        Reply(429, {"error": {"message": "50 per day and 5 per minute; try again in 2s"}}),
        Reply(429, {"error": {"code": 429, "message": "You exceeded your current quota", "details":
            [{"violations": [{"quotaId": "GenerateRequestsPerMinute"}]}, {"retryDelay": "2s"}]}}),
    ],
)  # fmt: skip
def test_a_quota_that_comes_back_soon_is_waited_for(server: FakeServer, reply: Reply) -> None:
    server.script = in_turn(reply)

    assert complete(server).finish == "stop"


def test_an_endpoint_whose_quota_is_used_up_is_left_to_the_others(server: FakeServer) -> None:
    with FakeServer() as other:
        server.script = lambda call: Reply(429, {"error": "daily limit"})
        ours = OpenAIBackend("m", base_url={server.url: 1, other.url: 1}, sleep=Naps())
        completions = list(ours.generate(asks(20)))

        assert {completion.finish for completion in completions} == {"stop"}
        other.script = lambda call: Reply(429, {"error": "monthly limit"})
        with pytest.raises(BackendUnavailable, match=r"(daily|monthly) limit"):
            list(ours.generate(asks(20)))


@pytest.mark.parametrize(
    "reply",
    [
        Reply(402, {"error": {"message": "Insufficient Balance"}}),
        Reply(429, {"error": {"message": "You exceeded your current quota, please check"}}),
        Reply(400, {"error": {"message": "Your credit balance is too low to access the API"}}),
        Reply(403, {"error": {"type": "insufficient_quota", "message": "x"}}),
        Reply(429, {"error": {"type": "exceeded_current_quota_error", "message": "x"}}),
    ],
)
def test_an_account_without_credit_ends_the_run(server: FakeServer, reply: Reply) -> None:
    server.script = lambda call: reply

    with pytest.raises(BackendError, match="check the credit of the account") as caught:
        complete(server)
    assert not isinstance(caught.value, BackendUnavailable)
    assert len(server.calls) == 1


def test_a_text_that_a_moderation_refuses_is_an_error_of_its_request_alone(
    server: FakeServer,
) -> None:
    metadata = {"reasons": ["violence"], "flagged_input": "2 + 3"}
    server.script = in_turn(Reply(403, {"error": {"message": "refused", "metadata": metadata}}))

    assert complete(server).finish == "error"


def _endless(packed: str = "") -> bytes:
    text = json.dumps(chat("x" * 40 * 2**20)).encode()
    return {"": lambda: text, "gzip": lambda: gzip.compress(text),
            "deflate": lambda: zlib.compress(text)}[packed]()  # fmt: skip


@pytest.mark.parametrize("packed", ["", "gzip", "deflate", "gzip, gzip"])
def test_an_answer_without_end_is_given_up(server: FakeServer, packed: str) -> None:
    body = gzip.compress(_endless("gzip")) if ", " in packed else _endless(packed)
    server.script = in_turn(Reply(200, body, {"Content-Encoding": packed} if packed else {}))
    completion = complete(server)

    assert completion.finish == "error"
    assert "an answer of more than 32 MB" in completion.error
    assert completion.unanswered == 1


@pytest.mark.parametrize("packed", ["gzip", "deflate", "identity", "x-gzip"])
def test_an_answer_that_is_packed_is_read(server: FakeServer, packed: str) -> None:
    body = json.dumps(chat("hello")).encode()
    pack: dict[str, Callable[[bytes], bytes]] = {"deflate": zlib.compress, "identity": bytes}
    server.script = in_turn(
        Reply(200, pack.get(packed, gzip.compress)(body), {"Content-Encoding": packed})
    )

    assert complete(server).text == "hello"


@pytest.mark.parametrize("packed", ["br", "gzip", "gzip, gzip, gzip, gzip"])
def test_an_answer_that_cannot_be_unpacked_is_an_error(server: FakeServer, packed: str) -> None:
    server.script = in_turn(Reply(200, b"no archive", {"Content-Encoding": packed}))

    assert "packed" in complete(server).error


CONTROL = "\x1b[2J \x1b]0;title\x07 \x9b1m \u202e \r over \x00 \u2028 end"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error": {"message": CONTROL}}),
        Reply(400, CONTROL.encode()),
        Reply(401, {"error": {"message": CONTROL}}),
        Reply(429, {"error": {"message": f"daily {CONTROL}"}}),
        Reply(200, {"oops": CONTROL}),
        Reply(200, chat("x", f"stop {CONTROL}")),
        Reply(500, CONTROL.encode()),
    ],
)
def test_no_control_sequence_of_a_server_is_in_what_is_shown(
    server: FakeServer, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "decompose_distill")
    server.script = lambda call: reply
    try:
        words = complete(server, max_attempts=2).error
    except BackendError as error:
        words = str(error)

    assert "end" in words
    assert (words + caplog.text.replace("\n", "")).isprintable()


@pytest.mark.parametrize("end", ["", "/"])
def test_an_address_without_a_path_works_where_the_server_has_v1(
    server: FakeServer, end: str
) -> None:
    root = server.url.removesuffix("/v1")
    server.script = lambda call: echo(call) if "/v1/" in call.path else Reply(404, b"Not Found")
    ours = OpenAIBackend("m", base_url=root + end)
    list(ours.generate(asks(3)))

    assert {call.path for call in server.calls} == {"/v1/chat/completions"}
    assert ours.identity == OpenAIBackend("m", base_url=root).identity == f"openai:m {root}"


def test_an_address_without_a_path_works_where_the_server_has_no_v1(server: FakeServer) -> None:
    server.script = lambda call: Reply(404, b"") if "/v1" in call.path else echo(call)
    ours = OpenAIBackend("m", base_url=server.url.removesuffix("/v1"), max_in_flight=4)
    completions = [*ours.generate(asks(5)), *ours.generate(asks(5))]

    assert {completion.finish for completion in completions} == {"stop"}
    assert len(server.calls) == 11


def test_a_path_without_a_version_gets_one_where_it_is_not_found(server: FakeServer) -> None:
    server.script = lambda call: Reply(405, b"") if "/v1" not in call.path else echo(call)
    ours = OpenAIBackend("m", base_url=server.url.replace("/v1", "/openai"))

    assert [completion.finish for completion in ours.generate(asks(2))] == ["stop", "stop"]
    assert server.calls[-1].path == "/openai/v1/chat/completions"


def test_a_model_that_is_not_found_is_said_in_the_words_of_the_first_address(
    server: FakeServer,
) -> None:
    missing = Reply(404, {"error": {"message": "model not found, try pulling it first"}})
    server.script = lambda call: missing if "/v1" in call.path else Reply(404, b"no page")

    with pytest.raises(BackendError, match="try pulling it first"):
        list(OpenAIBackend("m", base_url=server.url.removesuffix("/v1")).generate(asks(1)))


def test_headers_body_and_query_of_the_users_are_sent(server: FakeServer) -> None:
    ours: Any = load_backend(
        f"openai:some@model@{server.url}?zone=eu",
        extra_headers={"api-key": "sk-canary-0123456789", "X-Title": "mine"},
        extra_body={"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20},
        extra_query={"api-version": "2024-10-21"},
        provider="vllm",
    )
    list(ours.generate([ask(reasoning_effort="none")]))
    [call] = server.calls

    assert call.path == "/v1/chat/completions?zone=eu&api-version=2024-10-21"
    assert call.headers["api-key"] == "sk-canary-0123456789"
    assert call.headers["x-title"] == "mine"
    assert call.body["model"] == "some@model"
    assert call.body["top_k"] == 20
    assert call.body["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    extra = '{"chat_template_kwargs": {"enable_thinking": false}, "top_k": 20}'
    assert ours.identity == f"openai:some@model {server.url} {extra}"
    assert "canary" not in repr(vars(ours))


def test_azure_gets_its_key_in_its_own_header(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", "sk-canary-0123456789")
    address = server.url.replace("/v1", "/openai/deployments/d?api-version=2024-10-21")
    ours = load_backend(f"openai:d@{address}", provider="azure", api_key_env="AZURE_KEY")
    list(ours.generate(asks(1)))
    [call] = server.calls

    assert call.path == "/openai/deployments/d/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == "sk-canary-0123456789"
    assert "authorization" not in call.headers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"provider": "mystral"}, "unknown provider 'mystral'; did you mean 'mistral'"),
        ({"extra_headers": {"api-key": 7}}, "extra_headers must map names to texts"),
        ({"extra_headers": {"api-key": "a\nb"}}, "extra_headers: 'api-key' holds characters"),
        ({"extra_body": {"stream": True}}, "extra_body must not hold 'stream'"),
        ({"extra_body": {"max_tokens": 7}}, "extra_body must not hold 'max_tokens'"),
        ({"extra_body": {"bias": {1, 2}}}, "extra_body must be plain JSON"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        OpenAIBackend("m", base_url="http://localhost:8000/v1", **options)


def test_the_address_of_a_named_provider_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")

    named = OpenAIBackend("m", provider="mistral")
    assert named.base_url == "https://api.mistral.ai/v1"


@pytest.mark.parametrize("proxy", ["socks5://localhost:1080", "socks5h://me:word@localhost:1"])
def test_a_socks_proxy_without_its_package_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, proxy: str
) -> None:
    from decompose_distill.backends.openai import connections
    from decompose_distill.backends.openai.batch import OpenAIBatchBackend

    monkeypatch.setattr(connections, "find_spec", lambda name: None)
    monkeypatch.setenv("all_proxy", proxy)
    for ours in (
        OpenAIBackend("m", base_url="http://far.invalid/v1"),
        OpenAIBatchBackend("m", tmp_path / "batches", base_url="http://far.invalid/v1"),
    ):
        with pytest.raises(MissingExtraError, match="pip install socksio") as caught:
            list(ours.generate(asks(1)))
        assert "word" not in str(caught.value)
