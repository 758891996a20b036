"""Servers with limits in simulated time, and the real rate control asking them as a client does."""

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from decompose_distill.backends.openai.rate_control import RateController
from decompose_distill.backends.openai.retry_after import LONGEST_WAIT
from decompose_distill.backends.openai.throttles import TokenBucket

Limit = Callable[[float], float]
"""Seconds until a request would be served, 0 if it is; the time is the argument."""
Latency = Callable[[random.Random], float]

LATENCIES: dict[str, Latency] = {
    "constant": lambda chance: 0.12,
    "exponential": lambda chance: chance.expovariate(1 / 0.12),
    "heavy": lambda chance: chance.lognormvariate(math.log(0.06), 1.164),
    "long": lambda chance: chance.lognormvariate(math.log(0.12), 1.164),
}
"""Seconds, about as long but for the last; the last two have the tail of a real provider."""


def free(now: float) -> float:
    """Serve everything."""
    return 0.0


def token_bucket(rate: float = 60.0, burst: float = 20.0) -> Limit:
    """Serve `rate` requests per second, and up to `burst` at once."""
    left, filled = burst, 0.0

    def limit(now: float) -> float:
        nonlocal left, filled
        left, filled = min(burst, left + (now - filled) * rate), now
        if left < 1:
            return (1 - left) / rate
        left -= 1
        return 0.0

    return limit


def fixed_window(count: int = 600, seconds: float = 10.0, phase: float = 0.0) -> Limit:
    """Serve `count` requests in a window, which turns at once for all of them."""
    window, served = -1, 0

    def limit(now: float) -> float:
        nonlocal window, served
        number = int(now / seconds + phase)
        if number != window:
            window, served = number, 0
        served += 1
        return 0.0 if served <= count else (number + 1 - phase) * seconds - now

    return limit


def sliding_window(count: int = 600, seconds: float = 10.0) -> Limit:
    """Serve a request if fewer than `count` were in the seconds before."""
    served: deque[float] = deque()

    def limit(now: float) -> float:
        while served and served[0] <= now - seconds:
            served.popleft()
        if len(served) >= count:
            return served[0] + seconds - now
        served.append(now)
        return 0.0

    return limit


def at_random(share: float, seed: int, wait: float = 0.5) -> Limit:
    """Refuse a share of all requests, whatever the pace."""
    chance = random.Random(seed)
    return lambda now: wait if chance.random() < share else 0.0


def changing(first: Limit, then: Limit, at: float) -> Limit:
    """One limit, and another from a moment on."""
    return lambda now: (first if now < at else then)(now)


def down(start: float, end: float) -> Limit:
    """Refuse everything for some seconds."""
    return lambda now: end - now if start <= now < end else 0.0


@dataclass
class LimitedServer:
    """A server that answers in simulated time.

    Attributes:
        limit: What it refuses.
        latency: Seconds to an answer; a refusal takes 3 ms.
        hints: Whether a refusal says how long to wait.
        seed: That of the latencies and of the client's waits.
    """

    limit: Limit = free
    latency: Latency = LATENCIES["heavy"]
    hints: bool = False
    seed: int = 0
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def used(self, start: float, end: float) -> float:
        """Requests served per second between two moments."""
        return sum(start <= moment < end for moment in self.served) / (end - start)

    def refused_share(self, start: float, end: float) -> float:
        """Share of refusals among the answers between two moments."""
        refused = sum(start <= moment < end for moment in self.refused)
        return refused / max(1, refused + sum(start <= moment < end for moment in self.served))

    async def answer(self, chance: random.Random) -> float | None:
        """Serve a request, or tell how long to wait; `None` if it is served."""
        now = asyncio.get_running_loop().time()
        wait = self.limit(now)
        (self.refused if wait else self.served).append(now)
        await asyncio.sleep(0.003 if wait else self.latency(chance))
        return (wait if self.hints else 0.0) if wait else None


class _Clock(selectors.SelectSelector):
    """Waits for nothing, but lets its time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += max(0.0, timeout or 0.0)
        return []


class _SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


async def _settle(
    pace: RateController, server: LimitedServer, chance: random.Random, room: asyncio.Semaphore
) -> None:
    """Ask until served, as `client.Client` does, and make room for another while resting."""
    attempts = 0
    while True:
        turn = await pace.enter(1)
        wait = await server.answer(chance)
        if wait is None:
            pace.succeeded(turn)
            pace.leave(0)
            return
        alone = pace.refused(turn, wait)
        pace.leave(0)
        attempts += 1
        if alone or not wait:
            backoff = chance.uniform(0, min(2.0 ** (attempts - 1), LONGEST_WAIT))
            room.release()
            await asyncio.sleep(wait + pace.refused_share * backoff)
            await room.acquire()


def ask(
    server: LimitedServer, seconds: float, *, most: int = 64, clients: int = 1
) -> LimitedServer:
    """Ask a server for some simulated seconds, with `most` requests at once of each client.

    As many more may wait for their next attempt.
    """

    async def client(number: int) -> None:
        chance = random.Random(server.seed * 31 + number)
        pace = RateController(most, TokenBucket(), TokenBucket(), asyncio.sleep)

        room = asyncio.Semaphore(most)

        async def worker() -> None:
            while True:
                async with room:
                    await _settle(pace, server, chance, room)

        await asyncio.gather(*[worker() for _ in range(2 * most)])

    async def run() -> None:
        asking = asyncio.gather(*map(client, range(clients)))
        await asyncio.sleep(seconds)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    with asyncio.Runner(loop_factory=_SimulatedLoop) as runner:
        runner.run(run())
    return server
