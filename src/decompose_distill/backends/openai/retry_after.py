"""How long a server asks to be left alone, in each of the forms that providers use."""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

LONGEST_WAIT = 60.0
"""Seconds; a server that asks for more ends the run, as an early return helps nobody."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_LIMITED = ("requests", "tokens", "input-tokens", "output-tokens")
"""What providers count, as their headers call it."""
_IN_WORDS = re.compile(
    r"\b(?:again|retry|wait)(?:ing)?(?: after| in| for)? (?:about |another )?"
    r"(?P<number>\d[\d.]*)\s?"
    r"(?P<unit>ms|milli|s|m(?:in)?|h)?[a-z]*(?P<rest>(?:\d[\d.]*m?s)*)",
    re.IGNORECASE,
)
_EPOCH = 1e9
"""A reset above this is a moment, in seconds, or in milliseconds if it is a thousand times that."""


def requested_wait(status: int, headers: httpx2.Headers) -> float:
    """Seconds a server wants no request, or 0.

    `retry-after-ms` and `Retry-After` (seconds or a date) come first. Else it is the reset of
    what is used up; of an answer 429 that shows nothing used up, the earliest reset. A reset
    says when all is there again, so it is waited for no longer than `LONGEST_WAIT`, and after an
    answer that was given only until there is one request again.
    """
    readings: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["x-ms-retry-after-ms"]) / 1000,
        lambda: read_duration(headers["retry-after"]),
        lambda: _moment(headers["retry-after"]) - _server_time(headers),
        lambda: _iso_moment(headers["retry-after"]) - _server_time(headers),
        lambda: min(_reset(status, headers), LONGEST_WAIT),
        lambda: _window(status, headers, "x-ratelimit-reset"),
        lambda: _window(status, headers, "ratelimit-reset"),
    )
    return next((seconds for reading in readings if (seconds := _positive(reading))), 0.0)


def wait_in_body(rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds that the objects of an error's body name, or 0.

    Example:
        >>> wait_in_body([{"@type": "google.rpc.RetryInfo", "retryDelay": "1.5s"}])
        1.5
    """
    names = ("retryDelay", "retry_delay", "retry_after", "retryAfter", "retry_after_seconds")
    for row in rows:
        seconds = next(filter(None, (_duration(row.get(name)) for name in names)), 0.0)
        seconds = seconds or _duration(row.get("retry_after_ms")) / 1000
        if not seconds and isinstance(row.get("headers"), dict):  # those of a gateway's provider
            texts = {str(name): str(value) for name, value in row["headers"].items()}
            seconds = requested_wait(429, httpx2.Headers(texts))
        if seconds:
            return seconds
    return 0.0


def wait_in_words(text: str) -> float:
    """Seconds that a sentence names, or 0.

    Example:
        >>> wait_in_words("Rate limit reached. Please try again in 1m2.5s.")
        62.5
        >>> wait_in_words("Please retry after 26 seconds.")
        26.0
    """
    match = _IN_WORDS.search(text)
    if not match:
        return 0.0
    unit = {"milli": "ms", "min": "m"}.get(unit := (match["unit"] or "s").lower(), unit)
    number = match["number"].rstrip(".")
    return _positive(lambda: read_duration(f"{number}{unit}{match['rest'].rstrip('.')}"))


def used_up(headers: httpx2.Headers) -> bool:
    """Whether a header says that nothing remains; quick, as every answer is looked at."""
    return any(left == b"0" for name, left in headers.raw if b"remaining" in name.lower())


def read_duration(text: str) -> float:
    """Seconds of `6m0s`, `1.5s`, `120ms` or a bare number.

    Raises:
        ValueError: It is something else.

    Example:
        >>> read_duration("1h6m0.5s")
        3960.5
    """
    if _PART.sub("", text) or not text:
        return float(text)
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _reset(status: int, headers: httpx2.Headers) -> float:
    used_up: list[float] = []
    others: list[float] = []
    for what in _LIMITED:
        for reset, left, limit in _resets(headers, what):
            one = limit if what == "requests" and status < 400 else 1.0
            (used_up if left == "0" else others).append(reset / one)
    if used_up:
        return max(used_up)
    return min(others, default=0.0) if status == 429 else 0.0


def _resets(headers: httpx2.Headers, what: str) -> Iterator[tuple[float, str, float]]:
    """Seconds until all is there again, what is left until then, and how much all is."""
    duration = headers.get(name := f"x-ratelimit-reset-{what}", "")
    if seconds := _positive(lambda: read_duration(duration)):
        yield seconds, *_counts(headers, name)
    date = headers.get(name := f"anthropic-ratelimit-{what}-reset", "")
    if seconds := _positive(lambda: _iso_moment(date) - _server_time(headers)):
        yield seconds, *_counts(headers, name)


def _window(status: int, headers: httpx2.Headers, name: str) -> float:
    """Seconds until a window of fixed length is over, of which a header names end or rest."""
    reset = read_duration(headers[name]) if status == 429 else 0.0
    if reset > _EPOCH * 1000:
        reset /= 1000
    return reset - _server_time(headers) if reset > _EPOCH else reset


def _duration(value: Any) -> float:
    """Seconds of a number, of a text, or of a duration as protocol buffers have it."""
    if isinstance(value, dict):
        return _duration(value.get("seconds")) + _duration(value.get("nanos")) / 1e9
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    return _positive(lambda: read_duration(str(value)))


def _counts(headers: httpx2.Headers, reset: str) -> tuple[str, float]:
    limit = _positive(lambda: float(headers[reset.replace("reset", "limit")]))
    return headers.get(reset.replace("reset", "remaining"), ""), max(1.0, limit)


def _positive(reading: Callable[[], float]) -> float:
    """What was read, or 0 if it cannot be read or is no time to wait."""
    try:
        seconds = reading()
    except (KeyError, ValueError, OverflowError, TypeError):
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def _server_time(headers: httpx2.Headers) -> float:
    """The server's clock if it shows one, as ours may be off."""
    return _moment(headers["date"]) if "date" in headers else time.time()


def _moment(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _iso_moment(date: str) -> float:
    moment = datetime.fromisoformat(date)
    return moment.timestamp() if moment.tzinfo else math.nan  # no guess at whose hour it is
