"""What lets requests through: so many per second, and so many at once."""

import asyncio
import math
from collections import deque


class TokenBucket:
    """Spreads units evenly over time."""

    def __init__(self, per_second: float = math.inf) -> None:
        self.per_second = per_second
        self._free_at = 0.0

    @classmethod
    def per_minute(cls, units: float | None) -> "TokenBucket":
        """A bucket of `units` per minute, without limit if `None`."""
        return cls(math.inf if units is None else units / 60)

    def take(self, units: float, now: float) -> float:
        """Reserve units; returns the seconds to wait before they are used."""
        start = max(now, self._free_at)
        self._free_at = start + units / self.per_second
        return start - now

    def correct(self, units: float) -> None:
        """Reserve units after the fact, or give them back if negative."""
        self._free_at += units / self.per_second


class ConcurrencyGate:
    """A semaphore whose size may change; first come, first served."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def load(self) -> int:
        """Requests inside and waiting."""
        return self.inside + len(self._waiting)

    async def enter(self) -> None:
        """Wait for a free slot."""
        if self.inside < int(self.size) and not self._waiting:
            self.inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the slot was given at the moment of the cancellation
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give the slot back."""
        self.inside -= 1
        self.admit()

    def admit(self) -> None:
        """Let in who waits while there is room."""
        while self._waiting and self.inside < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)
