"""Progress of long work on stderr: a bar on a terminal, a plain line now and then elsewhere."""

import sys
from typing import Never

from tqdm import tqdm

LINE_SECONDS = 30.0
"""Time between plain lines."""

_LINE = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]\n"


def progress_bar(
    name: str, total: int, unit: str, *, done: int = 0, show: bool = True
) -> "tqdm[Never]":
    """A context manager with `update()` and `set_postfix()`.

    Args:
        total: Units of work, with those `done` before.
    """
    if sys.stderr.isatty():
        return tqdm(desc=name, total=total, initial=done, unit=unit, disable=not show)
    return tqdm(
        desc=name,
        total=total,
        initial=done,
        unit=unit,
        disable=not show,
        mininterval=LINE_SECONDS,
        maxinterval=LINE_SECONDS,
        bar_format=_LINE,
    )


def say(message: str, *, show: bool = True) -> None:
    """Print a line to stderr without tearing a bar."""
    if show:
        tqdm.write(message, file=sys.stderr)
