import asyncio
from collections.abc import Awaitable, Callable

import pytest

from decompose_distill.backends.openai.rate_control import (
    AT_ONCE,
    RateController,
)
from decompose_distill.backends.openai.throttles import ConcurrencyGate, TokenBucket


class Naps:
    """A sleep that takes no time and remembers for how long it was asked to sleep."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def pace(
    most: int = 64,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    requests: float | None = None,
    tokens: float | None = None,
) -> RateController:
    return RateController(
        most, TokenBucket.per_minute(requests), TokenBucket.per_minute(tokens), sleep
    )


def test_a_meter_spreads_its_units_evenly() -> None:
    meter = TokenBucket.per_minute(60)

    assert [meter.take(1, now=100.0) for _ in range(3)] == [0, 1, 2]
    assert meter.take(1, now=200.0) == 0


def test_a_meter_gives_back_what_was_not_used() -> None:
    meter = TokenBucket.per_minute(600)
    meter.take(100, now=0.0)
    meter.correct(-90)

    assert meter.take(1, now=0.0) == pytest.approx(1)


def test_a_meter_without_limit_lets_everything_through() -> None:
    meter = TokenBucket.per_minute(None)

    assert [meter.take(10**9, now=1.0) for _ in range(3)] == [0, 0, 0]


def test_a_gate_lets_in_as_many_as_fit_and_the_others_in_turn() -> None:
    async def run() -> list[int]:
        gate, inside = ConcurrencyGate(2), []

        async def visit(number: int) -> None:
            await gate.enter()
            inside.append(number)
            assert gate.inside <= 2
            await asyncio.sleep(0)
            gate.leave()

        await asyncio.gather(*map(visit, range(6)))
        assert gate.load == 0
        return inside

    assert asyncio.run(run()) == list(range(6))


@pytest.mark.parametrize("given_a_place", [False, True])
def test_who_is_cancelled_at_a_gate_keeps_no_place(given_a_place: bool) -> None:
    async def run() -> None:
        gate = ConcurrencyGate(1)
        await gate.enter()
        waiting = asyncio.ensure_future(gate.enter())
        await asyncio.sleep(0)
        if given_a_place:
            gate.leave()
        waiting.cancel()
        await asyncio.wait([waiting])
        if not given_a_place:
            gate.leave()
        assert (gate.load, waiting.cancelled()) == (0, True)
        await asyncio.wait_for(gate.enter(), 1)

    asyncio.run(run())


async def answer_some(ours: RateController, count: int, every: int = 0) -> None:
    """Send requests, as many at once as may go, of which each so-manieth is refused."""
    sent = 0
    while sent < count:
        turns = [await ours.enter(1) for _ in range(min(count - sent, int(ours.gate.size)))]
        for turn in turns:
            sent += 1
            ours.refused(turn) if every and sent % every == 0 else ours.succeeded(turn)
        for _ in turns:
            ours.leave(0)


async def no_nap(seconds: float) -> None:
    """Sleep no longer than a moment."""
    await asyncio.sleep(0)


def test_successes_raise_the_pace_fast_till_a_refusal() -> None:
    async def run() -> None:
        ours = pace(64)
        await answer_some(ours, AT_ONCE)
        assert ours.gate.size == 2 * AT_ONCE
        await answer_some(ours, 100)
        assert ours.gate.size == 64

    asyncio.run(run())


def test_three_refusals_of_a_hundred_change_nothing() -> None:
    async def run() -> None:
        ours = pace(64, sleep=no_nap)
        await answer_some(ours, 500, every=34)
        assert ours.gate.size == 64

    asyncio.run(run())


def test_refusals_of_what_was_sent_together_lower_the_pace_once() -> None:
    async def run() -> None:
        ours = pace(64, sleep=no_nap)
        await answer_some(ours, 200)
        turns = [await ours.enter(1) for _ in range(64)]
        for turn in turns[::2]:
            ours.refused(turn)
        assert 0.85 * 64 < ours.gate.size < 0.95 * 64

    asyncio.run(run())


def test_a_wait_that_a_refusal_names_stops_the_others_till_such_are_held_to_be_random() -> None:
    async def run() -> None:
        ours = pace(64, sleep=no_nap)
        await answer_some(ours, 100)
        turn = await ours.enter(1)
        assert not ours.refused(turn, wait=3)
        assert not ours.has_room
        ours.leave(0)
        await answer_some(ours, 300, every=30)
        turn = await ours.enter(1)
        assert ours.refused(turn, wait=3)
        assert ours.has_room

    asyncio.run(run())


def test_where_a_lower_pace_changes_nothing_the_slow_start_goes_on() -> None:
    async def run() -> None:
        ours = pace(64, sleep=no_nap)
        await answer_some(ours, 400, every=10)
        assert ours.gate.size == 64

    asyncio.run(run())


def test_a_server_that_refuses_everything_is_asked_by_single_requests() -> None:
    async def run() -> list[float]:
        naps = Naps()
        ours = pace(64, sleep=naps)
        await answer_some(ours, 100)
        turns = [await ours.enter(1) for _ in range(8)]
        for turn in turns:
            ours.refused(turn)
            ours.leave(0)
        before = len(naps.seconds)
        for _ in range(3):
            ours.refused(await ours.enter(1))
            ours.leave(0)
        return naps.seconds[before:]

    assert len(asyncio.run(run())) >= 3


def test_the_pace_never_falls_below_one_request() -> None:
    async def run() -> None:
        ours = pace(sleep=no_nap)
        for _ in range(100):
            ours.refused(await asyncio.wait_for(ours.enter(1), 1))
            ours.leave(0)
        assert ours.gate.size >= 1

    asyncio.run(run())


def test_nobody_enters_during_a_pause_not_even_who_waited_for_the_rate() -> None:
    async def run() -> None:
        over = asyncio.Event()

        async def sleep(seconds: float) -> None:
            if seconds == 7:
                await over.wait()

        ours = pace(sleep=sleep, requests=60)
        await ours.enter(1)
        entering = asyncio.ensure_future(ours.enter(1))
        ours.pause(7)
        done, _ = await asyncio.wait([entering], timeout=0.05)
        assert not done
        assert not ours.has_room
        over.set()
        await asyncio.wait_for(entering, 1)
        assert ours.has_room

    asyncio.run(run())


def test_the_limits_of_the_user_are_kept_and_tokens_corrected() -> None:
    async def run() -> list[float]:
        naps = Naps()
        ours = pace(sleep=naps, requests=6000, tokens=600)
        for tokens in (100, 100):
            await ours.enter(tokens)
            ours.leave(-90)
        await ours.enter(1)
        return naps.seconds

    first, second = asyncio.run(run())
    assert first == pytest.approx(1, abs=0.2)  # the 10 tokens the first one used
    assert second == pytest.approx(2, abs=0.2)
