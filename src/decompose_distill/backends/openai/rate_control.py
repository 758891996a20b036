"""How fast a server is asked: so many requests at once, so many a minute, and not at all when
it says so. It is learnt from what the server refuses.

Each answer 429 takes a tenth of the requests at once and a twentieth of the rate, one time for
all that were sent before it took effect; each success adds. The rate is measured when a server
first refuses, as a limit on requests or tokens a minute shows in no number of requests at once.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable

AT_ONCE = 8
"""Requests at once before the first answers; each success adds one until the first refusal."""
_FEWER, _SLOWER = 0.9, 0.95
_FASTER = 0.0003
"""Growth of the rate with a success, the more the longer nothing was refused."""
_ACCELERATION = 400
"""Successes without a refusal after which the rate grows twice as fast."""
_MEASURED = 100
"""Latest successes from which the rate is measured."""


class TokenBucket:
    """Spreads units evenly over time."""

    def __init__(self, per_second: float = math.inf) -> None:
        self.per_second = per_second
        self._free_at = 0.0

    @classmethod
    def a_minute(cls, units: float | None) -> "TokenBucket":
        """So many units a minute; without limit where `None`."""
        return cls(math.inf if units is None else units / 60)

    def take(self, units: float, now: float) -> float:
        """Reserve units; returns the seconds to wait before they are used."""
        start = max(now, self._free_at)
        self._free_at = start + units / self.per_second
        return start - now

    def correct(self, units: float) -> None:
        """Reserve units after the fact, or give back where negative."""
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
        """Wait for a place."""
        if self.inside < int(self.size) and not self._waiting:
            self.inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place was given at the moment of the cancellation
                self.leave()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give the place back."""
        self.inside -= 1
        self.admit()

    def admit(self) -> None:
        """Let in who waits while there is room."""
        while self._waiting and self.inside < int(self.size):
            turn = self._waiting.popleft()
            if not turn.done():
                self.inside += 1
                turn.set_result(None)


class RateController:
    """What one server is asked.

    Args:
        most: Requests at once, at most.
        requests: The user's limit on requests.
        tokens: The user's limit on tokens.
        sleep: Waits the given seconds.
    """

    def __init__(
        self,
        most: int,
        requests: TokenBucket,
        tokens: TokenBucket,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._most = most
        self._requests = requests
        self._tokens = tokens
        self._sleep = sleep
        self.gate = ConcurrencyGate(min(AT_ONCE, most))
        self._learnt = TokenBucket()
        self._binding = False
        self._refusals = 0
        self._since_refusal = 0
        self._successes: deque[float] = deque(maxlen=_MEASURED)
        self._pauses: set[asyncio.Future[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether a request could go now."""
        return not self._pauses and self.gate.load < int(self.gate.size)

    async def enter(self, tokens: int) -> int:
        """Wait for a turn of so many tokens; returns how often the server had refused till then.

        Whoever enters must `leave`.
        """
        if not self.gate.load:
            self._successes.clear()  # a pause of ours says nothing of the server's rate
        await self.gate.enter()
        try:
            await self._take_turn(tokens)
        except BaseException:
            self.gate.leave()
            raise
        return self._refusals

    def leave(self, tokens_more: int) -> None:
        """End the turn; it used so many more tokens than were reserved."""
        self._tokens.correct(tokens_more)
        self.gate.leave()

    def succeeded(self) -> None:
        """Add to what is asked."""
        self._successes.append(time.monotonic())
        self._since_refusal += 1
        more = 1 / self.gate.size if self._refusals else 1
        self.gate.size = min(self._most, self.gate.size + more)
        if self._binding:
            self._learnt.per_second *= 1 + _FASTER * (1 + self._since_refusal / _ACCELERATION)
        self.gate.admit()

    def refused(self, refusals_before: int) -> None:
        """Ask less, unless the request was sent before the last time that this was done."""
        if refusals_before < self._refusals:
            return
        self._refusals += 1
        self._since_refusal = 0
        self.gate.size = max(1.0, self.gate.size * _FEWER)
        rate = self._learnt.per_second
        self._learnt.per_second = _SLOWER * (rate if self._binding else min(rate, self._measured()))

    def pause(self, seconds: float) -> None:
        """Ask nothing for so long."""
        pause = asyncio.ensure_future(self._nap(seconds))
        self._pauses.add(pause)
        pause.add_done_callback(self._pauses.discard)

    async def _nap(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _take_turn(self, tokens: int) -> None:
        now = time.monotonic()
        if wait := max(self._requests.take(1, now), self._tokens.take(tokens, now)):
            await self._sleep(wait)
        while True:
            while self._pauses:
                await asyncio.wait(self._pauses)
            wait = self._learnt.take(1, time.monotonic())
            self._binding = wait > 0
            if wait:
                await self._sleep(wait)
            if not self._pauses:
                return

    def _measured(self) -> float:
        """Successes a second of late, or infinity while they are too few to tell."""
        if len(self._successes) < _MEASURED / 10:
            return math.inf
        return len(self._successes) / (time.monotonic() - self._successes[0])
