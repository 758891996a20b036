"""How long a server asks to be left alone, in each of the forms that providers use."""

import math
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx2

LONGEST_WAIT = 60.0
"""Seconds; a request whose server asks for more fails, as an early return helps nobody."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_LIMITED = ("requests", "tokens", "input-tokens", "output-tokens")
"""What providers count, as their headers call it."""


def requested_wait(status: int, headers: httpx2.Headers) -> float:
    """Seconds a server wants no request, or 0.

    `retry-after-ms` and `Retry-After` (seconds or a date) come first. Else it is the reset of
    what is used up; of an answer 429 that shows nothing used up, the earliest reset. A reset
    says when all is there again, so it is waited for no longer than `LONGEST_WAIT`, and after an
    answer that was given only until there is one request again.
    """
    readings: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: _moment(headers["retry-after"]) - _server_time(headers),
        lambda: min(_reset(status, headers), LONGEST_WAIT),
    )
    for reading in readings:
        asked = _positive(reading)
        if asked:
            return asked
    return 0.0


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


def _counts(headers: httpx2.Headers, reset: str) -> tuple[str, float]:
    limit = _positive(lambda: float(headers[reset.replace("reset", "limit")]))
    return headers.get(reset.replace("reset", "remaining"), ""), max(1.0, limit)


def _positive(reading: Callable[[], float]) -> float:
    """What was read, or 0 where it cannot be read or is no time to wait."""
    try:
        seconds = reading()
    except (KeyError, ValueError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < math.inf else 0.0


def _server_time(headers: httpx2.Headers) -> float:
    """The server's clock where it shows one, as ours may be off."""
    return _moment(headers["date"]) if "date" in headers else time.time()


def _moment(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _iso_moment(date: str) -> float:
    moment = datetime.fromisoformat(date)
    return moment.timestamp() if moment.tzinfo else math.nan  # no guess at whose hour it is
