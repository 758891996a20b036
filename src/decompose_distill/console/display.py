"""The terminal during long work: progress bars and plain messages."""

import re
import sys
import time
from typing import Never, Self

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

    def set_postfix_str(self, s: str, refresh: bool = False) -> None:
        """Add words to the lines."""
        self._note = f", {s}" if s else ""


def progress_bar(
    name: str, total: int | None, unit: str, *, done: int = 0, show: bool = True
) -> "tqdm[Never] | _Lines":
    """A context manager with `update()` and `set_postfix_str(...)`.

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
