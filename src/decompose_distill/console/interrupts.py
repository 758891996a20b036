"""Ctrl-C and SIGTERM, put off until what is under way is finished."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from decompose_distill.console.screens import say


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
def deferred_interrupt(
    first: str = "finishing and saving this step", *, show: bool = True
) -> Iterator[Stop]:
    """Put off Ctrl-C and SIGTERM, and tell whether one came; the second one stops at once.

    Outside the main thread, and in a background job that ignores it, nothing is changed.

    Args:
        first: What is done first, for the message.
        show: Whether there is a message.
    """
    stop, before = Stop(), _handlers()

    def at_once(number: int, frame: FrameType | None) -> None:
        raise _interrupt(number)

    def note(number: int, frame: FrameType | None) -> None:
        name = "SIGTERM" if number == signal.SIGTERM else "Ctrl-C"
        say(f"{first}; {name} again stops at once", show=show)
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
