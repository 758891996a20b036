"""What lets requests through, so many per second and at once, and what counts those served."""

import asyncio
import math
from collections import deque

ENOUGH = 20
"""Successes from which a rate can be measured."""
_RISE = 1.12
"""Growth of the pace after which what was served before says little of it."""


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
        self.inside: int = 0
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


class Meter:
    """Requests served per second since one of two moments, the older of which counts."""

    def __init__(self) -> None:
        self._served = 0
        self._marks: deque[tuple[float, int, float]] = deque([(0.0, 0, 1.0)], maxlen=2)

    def count(self) -> None:
        """Count a success."""
        self._served += 1

    def follow(self, growth: float, now: float) -> None:
        """Forget what was served long before the pace grew to so much."""
        if growth > _RISE * self._marks[-1][2]:
            self._marks.append((now, self._served, growth))

    def restart(self, growth: float, now: float) -> None:
        """Measure from now on."""
        self._marks.clear()
        self._marks.append((now, self._served, growth))

    @property
    def served(self) -> int:
        """Successes since."""
        return self._served - self._marks[0][1]

    def rate(self, now: float) -> float:
        """Successes per second since, or infinity if they are too few to tell."""
        seconds = now - self._marks[0][0]
        return self.served / seconds if self.served >= ENOUGH and seconds else math.inf
