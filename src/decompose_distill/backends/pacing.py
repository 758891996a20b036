"""How long a server wants to be left alone."""

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx2


def asked_wait(headers: httpx2.Headers) -> float:
    """Seconds that `retry-after-ms` or `Retry-After` (seconds or a date) asks for, else 0."""
    readings: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: _moment(headers["retry-after"]) - _server_time(headers),
    )
    for reading in readings:
        try:
            asked = reading()
        except (KeyError, ValueError, OverflowError):
            continue
        return asked if 0 < asked < math.inf else 0.0
    return 0.0


def _server_time(headers: httpx2.Headers) -> float:
    """The server's clock where it shows one, as ours may be off."""
    return _moment(headers["date"]) if "date" in headers else time.time()


def _moment(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()
