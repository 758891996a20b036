"""Ctrl-C during long work: what is under way is finished and saved first."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from decompose_distill.progress import say


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
