"""The terminal during long work: progress bars, plain messages, deferred Ctrl-C and SIGTERM."""

import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Never, Self

from tqdm import tqdm

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor, the screen
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HALF = re.compile(r"[\ud800-\udfff]")

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
        return f"{left}, {rate:.3g} per second"

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
        total: Units of work, with those `done` before; `None` if it is not known.
    """
    if show and not sys.stderr.isatty():
        return _Lines(name, total, unit, done)
    return tqdm(desc=name, total=total, initial=done, unit=unit, disable=not show)


def printable(text: str) -> str:
    """A foreign text without what a terminal would obey: escape sequences and control characters.

    Line ends and tabs stay; half of a surrogate pair, which cannot be written, becomes U+FFFD.

    Example:
        >>> printable("\x1b[2J\x1b]0;title\x07overloaded\x9b1m!")
        'overloaded!'
    """
    return _HALF.sub("\ufffd", _CONTROL.sub("", _SEQUENCE.sub("", text)))


def say(message: str, *, show: bool = True) -> None:
    """Print a line to stderr without tearing a bar."""
    if show:
        tqdm.write(printable(message), file=sys.stderr)


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a scheduler that ends a job: a run stops as after Ctrl-C."""


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Of a command that was stopped, as shells have it: 128 and the number of the signal.

    Example:
        >>> exit_code(KeyboardInterrupt()), exit_code(Terminated())
        (130, 143)
    """
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


class Stop:
    """Whether Ctrl-C was pressed or SIGTERM came; true when called, once it was."""

    def __init__(self) -> None:
        self._interrupt: type[KeyboardInterrupt] | None = None

    def __call__(self) -> bool:
        return self._interrupt is not None

    def note(self, number: int) -> None:
        """Take in a signal."""
        self._interrupt = _interrupt(number)

    def check(self) -> None:
        """Raise what the signal would have raised at once."""
        if self._interrupt is not None:
            raise self._interrupt


@contextmanager
def deferred_interrupt(first: str = "finishing and saving this step") -> Iterator[Stop]:
    """Put off Ctrl-C and SIGTERM, and tell whether one came; the second one stops at once.

    Outside the main thread, and in a background job that ignores it, nothing is changed.

    Args:
        first: What is done first, for the message.
    """
    stop, before = Stop(), _handlers()

    def at_once(number: int, frame: FrameType | None) -> None:
        raise _interrupt(number)

    def note(number: int, frame: FrameType | None) -> None:
        say(f"{first}; {'SIGTERM' if number == signal.SIGTERM else 'Ctrl-C'} again stops at once")
        stop.note(number)
        for other, handler in before.items():
            signal.signal(other, at_once if other == signal.SIGTERM else handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int) -> type[KeyboardInterrupt]:
    return Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _handlers() -> dict[int, Any]:
    """Those in place of the signals that can be put off here."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ends = {signal.SIGINT: (), signal.SIGTERM: (signal.SIG_DFL,)}
    return {
        number: handler
        for number, handler in handlers.items()
        if callable(handler) or handler in ends[number]
    }
