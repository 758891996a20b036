"""What is shown of long work: a bar, perhaps below a line over all."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Self

from decompose_distill.console.screens import Screen, say, screen

EARLY = 0.05
"""Of the work, up to which its pace says nothing: of rows written together the first come late."""


class Bar:
    """Work that is counted on the screen. Use as a context manager.

    Args:
        name: What is done.
        total: Units of work, with those `done` before; `None` if it is not known.
        unit: One of what is counted.
        done: Units that were done before.
        show: Whether it is shown.
    """

    def __init__(self, name: str, total: int | None, unit: str, done: int, show: bool) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, done
        self.words = ""
        """What else there is to say, such as the loss."""
        self.usd: Decimal | None = Decimal(0)
        """What it has cost since it began; `None` if a price is unknown."""
        self.done_before = done
        self._usd_before: Decimal | None = None
        self._show = show

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        shared = _overviews[-1] if _overviews and self._show else None
        self._display = shared or Display(screen(self._show))
        self._display.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._display.end(self)

    def update(self, n: int = 1) -> None:
        """Count units."""
        self.done += n
        self._display.show(self)

    def note(self, words: str, usd: Decimal | None = Decimal(0)) -> None:
        """Say more of it, from the next count on.

        Args:
            words: Such as the loss.
            usd: What it has cost, earlier calls included; to be told before the first cost too.
        """
        self.words = words
        self._usd_before = usd if self._usd_before is None else self._usd_before
        before = self._usd_before
        self.usd = None if usd is None or before is None else usd - before

    @property
    def pace(self) -> float:
        """Units per second so far."""
        passed = time.monotonic() - self._began
        return (self.done - self.done_before) / passed if passed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """By the pace so far; `None` where too little is done to tell."""
        rest = (self.total or 0) - self.done_before
        known = self.pace and self.done - self.done_before >= EARLY * rest
        return (self.total - self.done) / self.pace if self.total and known else None

    def __str__(self) -> str:
        of, left = f"/{self.total}" if self.total else "", self.seconds_left
        early = self.total is not None and left is None
        parts = [
            f"{self.name}: {self.done}{of} {self.unit}s "
            f"after {time.monotonic() - self._began:.0f} seconds",
            "" if left is None else f"{left:.0f} seconds left",
            "" if early else f"{self.pace:.3g} per second",
            self.words,
        ]
        return ", ".join(filter(None, parts))


def progress_bar(
    name: str, total: int | None, unit: str, *, done: int = 0, show: bool = True
) -> Bar:
    """A bar of its own, or below the line over all while there is one; see `Bar`."""
    return Bar(name, total, unit, done, show)


class Display:
    """What is on a screen, drawn again as the work goes on."""

    def __init__(self, shown_on: Screen) -> None:
        self.words: Callable[[], str] = str
        """The line over all."""
        self.bar: Bar | None = None
        """What is under way."""
        self.bars = 0
        """How many there were so far."""
        self._usd: Decimal | None = Decimal(0)
        self._screen, self._drawn = shown_on, time.monotonic()

    @property
    def spent_usd(self) -> Decimal | None:
        """What was spent under all bars; `None` if a price is unknown."""
        under_way = self.bar.usd if self.bar else Decimal(0)
        return None if self._usd is None or under_way is None else self._usd + under_way

    def begin(self, bar: Bar) -> None:
        """Show a bar."""
        self.bar, self.bars = bar, self.bars + 1
        self.refresh()

    def show(self, bar: Bar) -> None:
        """Show a bar as it is now, if that was not done a moment ago."""
        self.bar = bar
        if time.monotonic() - self._drawn >= self._screen.every:
            self._draw()

    def end(self, bar: Bar) -> None:
        """Show how a bar ended; below a line over all, take it away."""
        self.bar = bar
        self.refresh()
        self._usd, self.bar = self.spent_usd, None
        if self in _overviews:
            self.refresh()
        else:
            self._screen.close()

    def refresh(self) -> None:
        """Draw at once what can be drawn over."""
        if self._screen.live or time.monotonic() - self._drawn >= self._screen.every:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._screen.draw(self.words(), self.bar)


_overviews: list[Display] = []


@contextmanager
def overview(*, show: bool = True) -> Iterator[Display]:
    """A line over all bars of long work, which its `words` say; they leave nothing behind."""
    shown_on = screen(show)
    display = Display(shown_on)
    _overviews.append(display)
    before = warnings.showwarning
    if shown_on.live:
        warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    try:
        yield display
    finally:
        warnings.showwarning = before
        _overviews.remove(display)
        shown_on.close()


def has_overview() -> bool:
    """Whether bars stand below a line over all, where details would only be in the way."""
    return bool(_overviews)
