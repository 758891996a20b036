"""Where long work is shown: a terminal, a notebook, a log file, or nowhere.

On a terminal it is lines that are written over, in a notebook HTML that changes in place,
elsewhere a plain line now and then.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Never, Protocol

from tqdm import tqdm
from tqdm.utils import disp_trim

if TYPE_CHECKING:
    from decompose_distill.console.display import Bar

_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, the cursor, the screen
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # titles, links
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HALF = re.compile(r"[\ud800-\udfff]")

LINE_SECONDS = 30.0
"""Time between plain lines; shorter work prints none."""


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


def above_bars(say: Callable[[str], None]) -> Callable[[str], None]:
    """The same for lines that are printed in another way, with the bars out of their way."""

    def say_above(line: str) -> None:
        with tqdm.external_write_mode():
            say(line)

    return say_above


class Screen(Protocol):
    """Where a line over all and a bar are drawn, either of which may be missing."""

    every: float
    """Seconds between two times."""
    live: bool
    """Whether it is drawn over."""

    def draw(self, line: str, bar: "Bar | None") -> None: ...

    def close(self) -> None: ...


def screen(show: bool) -> Screen:
    """The one that is there."""
    if not show:
        return _Nowhere()
    if _is_notebook():
        return _Notebook()
    return _Terminal() if _is_terminal() else _Log()


def _is_notebook() -> bool:
    """Whether a kernel of IPython runs this; nothing is imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def _is_terminal() -> bool:
    """Whether lines can be written over on stderr."""
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return sys.stderr.isatty() and _columns() > 0
    except (OSError, ValueError):  # it is closed, or no file
        return False


def _columns() -> int:
    return os.get_terminal_size(sys.stderr.fileno()).columns


class _Nowhere:
    """Nothing is shown."""

    every, live = float("inf"), False

    def draw(self, line: str, bar: "Bar | None") -> None:
        pass

    def close(self) -> None:
        pass


class _Log:
    """Plain lines now and then, as for a file."""

    every, live = LINE_SECONDS, False

    def draw(self, line: str, bar: "Bar | None") -> None:
        say("; ".join(str(part) for part in (line, bar) if part))

    def close(self) -> None:
        pass


class _Terminal:
    """Lines that are written over, by tqdm: it knows of other bars, a user's own among them."""

    every, live = 0.1, True

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._upper: tqdm[Never] | None = None
        self._lower: tqdm[Never] | None = None

    def draw(self, line: str, bar: "Bar | None") -> None:
        if line:
            self._draw_line(disp_trim(printable(line), _columns() - 1))
        if bar is not self._bar and self._lower is not None:
            self._lower.close()
            self._lower = None
        if bar is not None:
            self._draw_bar(bar, leave=not line)
        self._bar = bar

    def _draw_line(self, line: str) -> None:
        if self._upper is None:
            self._upper = tqdm(desc=line, bar_format="{desc}", leave=False)
        self._upper.set_description_str(line)

    def _draw_bar(self, bar: "Bar", *, leave: bool) -> None:
        if self._lower is None:
            self._lower = self._begun(bar, leave=leave)
        self._lower.n = bar.done
        self._lower.set_postfix_str(_rate(bar))

    def _begun(self, bar: "Bar", *, leave: bool) -> "tqdm[Never]":
        known = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}"
        counted = known if bar.total else "{desc}: {n_fmt} {unit}s [{elapsed}"
        return tqdm(
            desc=printable(bar.name),
            total=bar.total,
            initial=bar.done_before,
            unit=bar.unit,
            bar_format=counted + "{postfix}]",
            dynamic_ncols=True,
            leave=leave,
        )

    def close(self) -> None:
        for bar in (self._lower, self._upper):
            if bar is not None:
                bar.close()


def _rate(bar: "Bar") -> str:
    pace = bar.pace
    slow = f"{1 / pace:.3g} s per {bar.unit}" if 0 < pace < 1 else ""
    rate = slow or f"{pace:.3g} {bar.unit}s/s"
    return f"{rate}, {bar.words}" if bar.words else rate


class _Notebook:
    """HTML below the cell, changed in place; it needs no extension and no widget."""

    every, live = 0.25, True

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, line: str, bar: "Bar | None") -> None:
        texts = [printable(str(part)) for part in (line, bar) if part]
        drawn = [escape(text) for text in texts]
        if bar is not None:
            share = f' value="{bar.done}" max="{bar.total}"' if bar.total else ""
            drawn[-1] = f"<progress{share}></progress> {drawn[-1]}"
        html = "".join(f"<div>{row}</div>" for row in drawn)
        shown = {"text/html": html, "text/plain": "\n".join(texts)}
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)

    def close(self) -> None:
        pass
