import time
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from httpx2 import Headers
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.backends.openai.retry_after import (
    LONGEST_WAIT,
    read_duration,
    requested_wait,
    used_up,
)


def http_date(seconds_from_now: float) -> str:
    return formatdate(time.time() + seconds_from_now, usegmt=True)


def rfc_3339(seconds_from_now: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=seconds_from_now)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def openai(what: str, left: str, reset: str, limit: str = "500") -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": limit,
        f"x-ratelimit-remaining-{what}": left,
        f"x-ratelimit-reset-{what}": reset,
    }


def anthropic(what: str, left: str, reset: str) -> dict[str, str]:
    return {
        f"anthropic-ratelimit-{what}-remaining": left,
        f"anthropic-ratelimit-{what}-reset": reset,
    }


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "120"}, 0.12),
        ({"retry-after": "90"}, 90),
        ({"retry-after": "-1"}, 0),
        (openai("requests", "0", "1s"), 1),
        (openai("tokens", "0", "6m0s"), LONGEST_WAIT),
        (openai("tokens", "0", "120ms"), 0.12),
        (openai("tokens", "0", "17.5"), 17.5),
        (openai("requests", "0", "1s") | openai("tokens", "0", "2s"), 2),
        (openai("requests", "9", "50s") | openai("tokens", "0", "2s"), 2),
        (openai("requests", "9", "50s") | openai("tokens", "120", "2s"), 2),
        (openai("requests", "0", "1s") | {"retry-after": "3"}, 3),
        (openai("requests", "0", "soon"), 0),
        (openai("requests", "0", ""), 0),
        (anthropic("requests", "0", "2026-01-01T00:00:00Z"), 0),
        (anthropic("requests", "0", "2026-01-01T00:00:00"), 0),
        (anthropic("requests", "0", "tomorrow"), 0),
        ({}, 0),
    ],
)
def test_a_refusal_says_how_long_to_wait(headers: dict[str, str], seconds: float) -> None:
    assert requested_wait(429, Headers(headers)) == pytest.approx(seconds)


@pytest.mark.parametrize("what", ["requests", "tokens", "input-tokens", "output-tokens"])
def test_the_date_of_a_reset_is_read_by_the_clock_of_the_server(what: str) -> None:
    yesterday = {"date": http_date(-86400), **anthropic(what, "0", rfc_3339(-86400 + 20))}

    assert requested_wait(429, Headers(yesterday)) == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("retry-after", "2030-01-01T00:00:05Z"),
        ("x-ratelimit-reset", "1893456005"),
        ("x-ratelimit-reset", "1893456005000"),
    ],
)
def test_a_moment_is_read_by_the_clock_of_the_server(name: str, moment: str) -> None:
    headers = {"date": "Tue, 01 Jan 2030 00:00:00 GMT", name: moment}

    assert requested_wait(429, Headers(headers)) == pytest.approx(5)
    assert requested_wait(200, Headers(headers)) == (5 if name == "retry-after" else 0)


def test_an_answer_that_leaves_nothing_asks_to_wait_for_one_request() -> None:
    headers = Headers(openai("requests", "0", "30s", limit="60"))

    assert used_up(headers)
    assert requested_wait(200, headers) == pytest.approx(0.5)
    assert requested_wait(429, headers) == pytest.approx(30)


def test_an_answer_that_leaves_no_tokens_asks_to_wait_for_their_reset() -> None:
    headers = Headers(openai("tokens", "0", "30s", limit="60000"))

    assert used_up(headers)
    assert requested_wait(200, headers) == pytest.approx(30)


def test_an_answer_that_leaves_something_asks_for_no_wait() -> None:
    headers = Headers(openai("requests", "10", "30s") | openai("tokens", "1", "6m0s"))

    assert not used_up(headers)
    assert requested_wait(200, headers) == 0


@given(st.integers(0, 30), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59_999))
def test_any_duration_is_read_as_it_was_written(
    days: int, hours: int, minutes: int, milliseconds: int
) -> None:
    text = f"{days}d{hours}h{minutes}m{milliseconds / 1000:g}s"
    expected = ((days * 24 + hours) * 60 + minutes) * 60 + milliseconds / 1000

    assert read_duration(text) == pytest.approx(expected)


@given(st.text(alphabet="0123456789.hmsd +-einfa"))
def test_no_header_makes_anybody_wait_for_ever_or_back_in_time(text: str) -> None:
    assert 0 <= requested_wait(429, Headers(openai("requests", "0", text))) <= LONGEST_WAIT
    assert 0 <= requested_wait(429, Headers({"retry-after": text})) < float("inf")
