import asyncio

from decompose_distill.backends.openai.endpoints import FAILURES, LONGEST_REST, CircuitBreaker
from decompose_distill.backends.openai.server_errors import RetryableError

DOWN = RetryableError("down", broken=True)


class Bell:
    """A sleep that ends when it is rung."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._rung = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._rung.wait()

    async def ring(self) -> None:
        self._rung.set()
        for _ in range(3):
            await asyncio.sleep(0)
        self._rung.clear()


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(DOWN, probe=False)


def test_it_opens_after_failures_in_a_row_only() -> None:
    async def run() -> None:
        breaker = CircuitBreaker(Bell())
        fail(breaker, FAILURES - 1)
        breaker.answered()
        fail(breaker, FAILURES - 1)
        assert not breaker.blocked
        fail(breaker, 1)
        assert breaker.blocked

    asyncio.run(run())


def test_after_the_rest_one_request_goes_and_its_answer_closes_it() -> None:
    async def run() -> None:
        bell = Bell()
        breaker = CircuitBreaker(bell)
        fail(breaker, FAILURES)
        resting = breaker.blocked
        await asyncio.sleep(0)
        await bell.ring()
        assert resting is not None
        assert resting.done()
        assert not breaker.blocked
        assert breaker.enter()
        probe = breaker.blocked
        assert probe is not None
        breaker.answered()
        assert probe.result() is None
        assert not breaker.blocked
        assert not breaker.enter()

    asyncio.run(run())


def test_a_failed_probe_says_why_and_the_rests_grow_up_to_a_bound() -> None:
    async def run() -> list[float]:
        bell = Bell()
        breaker = CircuitBreaker(bell)
        fail(breaker, FAILURES)
        for _ in range(8):
            await asyncio.sleep(0)
            await bell.ring()
            assert breaker.enter()
            probe = breaker.blocked
            assert probe is not None
            breaker.failed(DOWN, probe=True)
            assert probe.result() is DOWN
        await asyncio.sleep(0)
        return bell.seconds

    assert asyncio.run(run()) == [1, 2, 4, 8, 16, *[LONGEST_REST] * 4]


def test_what_was_sent_before_it_opened_prolongs_no_rest() -> None:
    async def run() -> list[float]:
        bell = Bell()
        breaker = CircuitBreaker(bell)
        fail(breaker, 3 * FAILURES)
        await asyncio.sleep(0)
        return bell.seconds

    assert asyncio.run(run()) == [1]


def test_an_abandoned_probe_makes_room_for_another() -> None:
    async def run() -> None:
        bell = Bell()
        breaker = CircuitBreaker(bell)
        fail(breaker, FAILURES)
        await asyncio.sleep(0)
        await bell.ring()
        assert breaker.enter()
        breaker.abandoned()
        assert not breaker.blocked
        assert breaker.enter()

    asyncio.run(run())
