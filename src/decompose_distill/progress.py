"""Progress of long work on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import Never, Self

from tqdm import tqdm

LINE_SECONDS = 30.0
"""Time between plain lines; shorter work prints none."""


class _Lines:
    """The part of tqdm's interface used here, for a log file."""

    def __init__(self, name: str, total: int | None, unit: str, done: int) -> None:
        self._name, self._total, self._unit, self._done = name, total, unit, done
        self._note = ""
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def update(self) -> None:
        """Count one unit, and print a line if the last one is long ago."""
        self._done += 1
        now = time.monotonic()
        if now - self._printed < LINE_SECONDS:
            return
        self._printed = now
        of = f"/{self._total}" if self._total else ""
        counts = f"{self._name}: {self._done}{of} {self._unit}s"
        say(f"{counts} after {now - self._began:.0f} seconds{self._note}")

    def set_postfix(self, *, loss: str, refresh: bool = False) -> None:
        """Add a figure to the lines."""
        self._note = f", loss {loss}"


def progress_bar(
    name: str, total: int | None, unit: str, *, done: int = 0, show: bool = True
) -> "tqdm[Never] | _Lines":
    """A context manager with `update()` and `set_postfix(loss=...)`.

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
