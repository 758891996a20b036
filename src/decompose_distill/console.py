"""The terminal during long work: progress bars, plain messages, deferred Ctrl-C."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never, Self

from tqdm import tqdm

LINE_SECONDS = 30.0
"""Time between plain lines; shorter work prints none."""


class _Lines:
    """The part of tqdm's interface used here, for a log file."""

    def __init__(self, name: str, total: int | None, unit: str, done: int) -> None:
        self._name, self._total, self._unit, self._done = name, total, unit, done
        self._note, self._before = "", done
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def update(self, n: int = 1) -> None:
        """Count units, and print a line if the last one is long ago."""
        self._done += n
        now = time.monotonic()
        if now - self._printed < LINE_SECONDS:
            return
        self._printed = now
        of = f"/{self._total}" if self._total else ""
        counts = f"{self._name}: {self._done}{of} {self._unit}s"
        say(f"{counts} after {now - self._began:.0f} seconds{self._pace(now)}{self._note}")

    def _pace(self, now: float) -> str:
        rate = (self._done - self._before) / (now - self._began)
        left = f", {(self._total - self._done) / rate:.0f} left" if self._total and rate else ""
        return f"{left}, {rate:.3g} a second"

    def set_postfix(self, *, loss: str, refresh: bool = False) -> None:
        """Add a figure to the lines."""
        self._note = f", loss {loss}"

    def set_postfix_str(self, s: str, refresh: bool = False) -> None:
        """Add words to the lines."""
        self._note = f", {s}" if s else ""


def progress_bar(
    name: str, total: int | None, unit: str, *, done: int = 0, show: bool = True
) -> "tqdm[Never] | _Lines":
    """A context manager with `update()`, `set_postfix(loss=...)` and `set_postfix_str(...)`.

    Args:
        total: Units of work, with those `done` before; `None` where it is not known.
    """
    if show and not sys.stderr.isatty():
        return _Lines(name, total, unit, done)
    return tqdm(desc=name, total=total, initial=done, unit=unit, disable=not show)


def say(message: str, *, show: bool = True) -> None:
    """Print a line to stderr without tearing a bar."""
    if show:
        tqdm.write(message, file=sys.stderr)


@contextmanager
def deferred_interrupt(
    first: str = "finishing and saving this step",
) -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed; pressed twice, it stops at once.

    Outside the main thread, and in a background job that ignores it, nothing is changed.

    Args:
        first: What is done first, for the message.
    """
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        say(f"{first}; Ctrl-C again stops at once")
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    ours = threading.current_thread() is threading.main_thread() and callable(before)
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
