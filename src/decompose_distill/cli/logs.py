"""What is logged and warned of, as lines on stderr that tear no progress bar."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from decompose_distill.console import say


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def shown_on_stderr(*, verbose: bool) -> Iterator[None]:
    """Show warnings as one line each, and with `verbose` all that this package logs."""
    logger, handler = logging.getLogger("decompose_distill"), _Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
