"""A circuit breaker: a server that only fails is left alone, then tried by single requests."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from decompose_distill.backends.openai.server_errors import RetryableError

FAILURES = 10
"""Failures in a row, with no answer between, that open the circuit."""
LONGEST_REST = 30.0
"""Seconds between two probes, at most; they begin with one and double."""
_log = logging.getLogger(__name__)


class CircuitBreaker:
    """Closed while a server answers; open while it rests; then half open for one probe.

    Args:
        sleep: Waits the given seconds.
        shown: The server's address, for the log.
    """

    def __init__(
        self, sleep: Callable[[float], Awaitable[None]], shown: str = "the server"
    ) -> None:
        self._sleep = sleep
        self._shown = shown
        self._failures = 0
        self._rests = 0
        self._resting: asyncio.Future[RetryableError | None] | None = None
        self._probe: asyncio.Future[RetryableError | None] | None = None

    @property
    def blocked(self) -> asyncio.Future[RetryableError | None] | None:
        """What must end before a request may go: the rest, or the probe, which says how it went."""
        for future in (self._resting, self._probe):
            if future and not future.done():
                return future
        return None

    def enter(self) -> bool:
        """Let a request go; tells whether it is the probe."""
        if not self._rests:
            return False
        self._probe = asyncio.get_running_loop().create_future()
        return True

    def answered(self) -> None:
        """Close: the server answers again."""
        if self._rests:
            _log.warning("%s answers again", self._shown)
        self._failures = self._rests = 0
        self._settle(None)

    def failed(self, later: RetryableError, *, probe: bool) -> None:
        """Count a failure; many in a row, or that of a probe, give the server a rest."""
        self._failures += 1
        if probe or (not self._rests and self._failures >= FAILURES):
            seconds = min(2.0**self._rests, LONGEST_REST)
            _log.warning("%s is left alone for %g s: %s", self._shown, seconds, later)
            self._rests += 1
            self._resting = asyncio.ensure_future(self._rest(seconds))
            self._settle(later)

    def abandoned(self) -> None:
        """A probe was cancelled: another request may be it."""
        self._settle(None)

    async def _rest(self, seconds: float) -> RetryableError | None:
        await self._sleep(seconds)
        return None

    def _settle(self, later: RetryableError | None) -> None:
        if self._probe and not self._probe.done():
            self._probe.set_result(later)
