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


def asked_wait(status: int, headers: httpx2.Headers) -> float:
    """Seconds a server wants no request, or 0.

    `retry-after-ms` and `Retry-After` (seconds or a date) come first. Else it is the reset of
    what is used up; of an answer 429 that shows nothing used up, the earliest reset. A reset
    says when all is there again, so it is waited for no longer than `LONGEST_WAIT`.
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
    resets = list(_resets(headers))
    used_up = [seconds for seconds, left in resets if left == "0"]
    if used_up:
        return max(used_up)
    return min((seconds for seconds, _ in resets), default=0.0) if status == 429 else 0.0


def _resets(headers: httpx2.Headers) -> Iterator[tuple[float, str]]:
    """Seconds to each reset, and what is left until then."""
    for what in _LIMITED:
        duration = headers.get(f"x-ratelimit-reset-{what}", "")
        if seconds := _positive(lambda: read_duration(duration)):  # noqa: B023 (called at once)
            yield seconds, headers.get(f"x-ratelimit-remaining-{what}", "")
        date = headers.get(f"anthropic-ratelimit-{what}-reset", "")
        if seconds := _positive(lambda: _iso_moment(date) - _server_time(headers)):  # noqa: B023
            yield seconds, headers.get(f"anthropic-ratelimit-{what}-remaining", "")


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
