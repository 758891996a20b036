"""Adaptive rate control of one server: requests at once, requests per second, and pauses.

Both are learnt from what the server refuses. It begins with a slow start: one request more at once
with each success. Refusals that count lower the pace to just below what the server *served*, from
where it grows along a cubic curve, as TCP's CUBIC does: soon back, long near the old value, then
faster and faster. Times in which nothing was served count, so the rate is also right where a server
counts in windows of fixed length.

| What is refused                                      | What follows                              |
|------------------------------------------------------|-------------------------------------------|
| three of the latest hundred                          | nothing                                   |
| more, or one that names a wait                       | the pace is lowered, which is a trial     |
| nearly as many on trial                              | such a share is held to be random         |
| four in a row                                        | single requests after growing pauses      |
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from decompose_distill.backends.openai.retry_after import LONGEST_WAIT
from decompose_distill.backends.openai.throttles import (
    ENOUGH,
    ConcurrencyGate,
    Meter,
    TokenBucket,
)

AT_ONCE = 8
"""Requests at once before the first answers; each success adds one until the first refusal."""
_LATEST, _PARDONED = 100, 3
"""Latest requests that are looked at, and refusals among them that mean nothing."""
_FEW = 50
"""Requests that a share is taken of at least, as a share of fewer is chance."""
_DROP = 0.07
"""Part of the pace that is taken below what was served."""
_SHORTEST, _LONGEST = 60, 300
"""Answers in a trial: as many as would hold three refusals if those before were random."""
_CHANCE = 1.5
"""Refusals in a trial that are fewer than chance would bring; those of the last count half."""
_MOST_AT_RANDOM, _MOST_TOLERATED = 0.25, 0.1
"""Shares of refusals: above the one the pace is too high for sure, and the other is the highest
that is held to be random, of which half as much again is let pass."""
_IN_A_ROW = 4
"""Refusals in the order of sending that mean that nothing is served now."""
_LEAST_LEFT = 0.25
"""Part of the rate that is left at least after a time in which nothing was served."""
_FIRST_PAUSE, _LONGER = 0.1, 0.25
"""Seconds before the first single request, and part of the time refused before the next."""
_EARLY = 400
"""Requests within which what was taken for a limit may have been chance from the first one on."""
_RESTED = 1.0
"""Seconds without a request after which the rate is measured anew."""
_DOUBTFUL_AFTER = 500
"""Answers after which it is tried again if refusals are random; doubles each time."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Pace:
    """Requests at once and per second, growing with successes."""

    size: float
    per_second: float = math.inf
    plateau: float = 0.0
    """Successes after which both are reached; 0 in the slow start, which begins with them."""
    successes: int = 0

    @property
    def growth(self) -> float:
        """What both are multiplied by; the size of the slow start grows by addition instead."""
        return 1 + _DROP * (self.successes / self.plateau - 1) ** 3 if self.plateau else 1.0


class RateController:
    """Rate control of one server.

    Args:
        most: Requests at once, at most.
        requests: The user's limit on requests.
        tokens: The user's limit on tokens.
        sleep: Waits the given seconds.
        shown: The server's address, for the log.
    """

    def __init__(
        self,
        most: int,
        requests: TokenBucket,
        tokens: TokenBucket,
        sleep: Callable[[float], Awaitable[None]],
        shown: str = "the server",
    ) -> None:
        self._most = most
        self._requests = requests
        self._tokens = tokens
        self._sleep = sleep
        self._shown = shown
        self.gate: ConcurrencyGate = ConcurrencyGate(min(AT_ONCE, most))
        self._learnt = TokenBucket()
        self._next = asyncio.Lock()  # so that only one waits for a moment of an older pace
        self._pauses: set[asyncio.Future[None]] = set()
        self._meter, self._cycle = Meter(), Meter()  # the latter since nothing was served
        self._idle_since = -math.inf
        self._pace = _Pace(self.gate.size)
        self._turns = self._first = 0  # turns so far, and before the present pace
        self._latest: deque[bool] = deque(maxlen=_LATEST)  # which of its answers were refusals
        self._answers = self._refusals = 0  # at this pace
        self._row, self._last_refused = 0, -1
        self._trial_left = 0.0  # answers
        self._broken_off: _Pace | None = None  # the slow start, by the trial
        self._repeated = False  # whether the trial before it failed
        self._share_before = 1.0
        self._tried = self._tried_refused = 0.0  # answers on trial
        self._tolerated = 0.0
        self._doubtful_after = _DOUBTFUL_AFTER
        self._away: tuple[float, int] | None = None  # since when nothing is served, and which turn

    @property
    def has_room(self) -> bool:
        """Whether a request could go now."""
        return not self._pauses and self.gate.load < int(self.gate.size)

    @property
    def refused_share(self) -> float:
        """Share of refusals among the latest answers at this pace."""
        return sum(self._latest) / len(self._latest) if self._latest else 1.0

    async def enter(self, tokens: int) -> int:
        """Wait for a turn of `tokens` tokens; returns its number.

        Whoever enters must `leave`.
        """
        if not self.gate.load and not self._away and _now() - self._idle_since > _RESTED:
            self._meter.restart(self._pace.growth, _now())
            self._cycle.restart(1.0, _now())
        await self.gate.enter()
        try:
            await self._take_turn(tokens)
        except BaseException:
            self.gate.leave()
            raise
        self._turns += 1
        return self._turns - 1

    def leave(self, tokens_more: int) -> None:
        """End the turn; it used `tokens_more` tokens more than were reserved."""
        self._tokens.correct(tokens_more)
        self.gate.leave()
        if not self.gate.load:
            self._idle_since = _now()

    def succeeded(self, turn: int) -> None:
        """Add to what is asked, if that is what limits the requests."""
        self._meter.count()
        self._cycle.count()
        if self._away:
            if turn >= self._away[1]:
                self._come_back()
        elif turn >= self._first:
            if not self._latest and self._pace.plateau and self._meter.served > ENOUGH:
                self._meter.restart(self._pace.growth, _now())
            self._count(refused=False)
            if 2 * self.gate.load >= self.gate.size:
                self._pace = replace(self._pace, successes=self._pace.successes + 1)
                self._meter.follow(self._pace.growth, _now())
                self._apply()

    def refused(self, turn: int, wait: float = 0.0) -> bool:
        """Ask less if the pace is the reason; returns whether only this request is to wait.

        Args:
            turn: That of the request.
            wait: Seconds that the server asks for; all wait if the pace may be the reason.
        """
        alone = self._learn(turn, wait) if turn >= self._first else self._tolerated > 0
        if wait and not alone:
            self.pause(wait)
        return alone

    def pause(self, seconds: float) -> None:
        """Ask nothing for some seconds."""
        _log.info("%s is asked nothing for %.3g s", self._shown, seconds)
        pause = asyncio.ensure_future(self._nap(seconds))
        self._pauses.add(pause)
        pause.add_done_callback(self._pauses.discard)

    def _learn(self, turn: int, wait: float) -> bool:
        """Learn from a refusal at this pace; returns whether it is held to be random."""
        if self._away:
            self._stay_away(self._away[0])
            return False
        self._count(refused=True)
        self._row = self._row + 1 if turn == self._last_refused + 1 else 1
        self._last_refused = turn
        refused, sent = sum(self._latest), min(_LATEST, self._turns - self._first)
        share = refused / max(_FEW, sent)
        too_many = refused > _PARDONED + 1.5 * self._tolerated * sent
        far_off = refused > _MOST_AT_RANDOM * sent
        alone = not (too_many and far_off) and (self._trial_left > 0 or self._tolerated > 0)
        if self._row >= _IN_A_ROW:
            self._away = _now(), turn - _IN_A_ROW + 1
            self._stay_away(_now())
        elif too_many and far_off:
            self._lower(1.0)
        elif too_many and self._trial_left > 0 and self._pace.plateau:
            self._judge(share)
        elif too_many or (wait and not alone and self._pace.plateau):
            self._lower(share)
        elif wait and not alone:
            # The slow start goes on, as one refusal says little of the pace.
            self._trial_left = self._trial_length
        elif self._tolerated and self._answers > self._doubtful_after:
            self._doubtful_after *= 2
            self._lower(share)
        return alone

    @property
    def _trial_length(self) -> float:
        sent = self._turns - self._first
        return max(_SHORTEST, min(_LONGEST, 3 * sent / max(1, self._refusals)))

    def _count(self, *, refused: bool) -> None:
        self._latest.append(refused)
        self._answers += 1
        self._refusals += refused
        if self._trial_left > 0:
            self._tried += 1
            self._tried_refused += refused
            self._trial_left -= 1
            if self._trial_left <= 0:
                self._end_trial()

    def _judge(self, share: float) -> None:
        """Judge a trial in which too many are refused."""
        if self.refused_share > _MOST_AT_RANDOM:
            return  # successes take longer than refusals to come
        if share > self._share_before / 2 and (self._broken_off or self._repeated):
            self._tolerate(share)
        else:
            self._lower(share)
            self._repeated = True

    def _end_trial(self) -> None:
        if self._pace.plateau and self._meter.served > ENOUGH:
            self._meter.restart(self._pace.growth, _now())
        if self._tried_refused >= (1.0 if self._broken_off else _CHANCE):
            self._tolerate(self._tried_refused / max(_FEW, self._tried))
        else:
            self._tolerated, self._doubtful_after = 0.0, _DOUBTFUL_AFTER
            self._broken_off = None

    def _tolerate(self, share: float) -> None:
        """Hold such a share of refusals to be random, and go on with the slow start they ended."""
        early = not self._tolerated and self._turns < _EARLY
        self._tolerated = min(share, _MOST_TOLERATED)
        self._trial_left = 0
        _log.info("%s refuses about %.0f%% of requests at any pace", self._shown, 100 * share)
        if self._broken_off or early:
            self._set(self._broken_off or _Pace(self.gate.size))
            self._broken_off = None

    def _lower(self, share: float) -> None:
        """Ask for less than was served, on trial."""
        pace, far_off = self._pace, share > _MOST_AT_RANDOM
        served = self._meter.rate(_now()) / (1 - self._tolerated)
        sent = max(ENOUGH, min(_LATEST, self._turns - self._first))
        left = 1 - min(max(0.0, sum(self._latest) / sent - self._tolerated), _MOST_AT_RANDOM)
        rate = min(self._learnt.per_second * left, served)
        self._broken_off = None
        if not (pace.plateau or far_off):  # fewer at once are enough to see if that helps
            rate, self._broken_off = math.inf, _Pace(self.gate.size)
        if rate < math.inf and served < math.inf:
            left = 1.0  # the rate alone does it
        repeated = self._trial_left > 0
        kept = 0.0 if far_off or repeated else 0.5
        self._tried, self._tried_refused = self._tried * kept, self._tried_refused * kept
        self._repeated, self._share_before = False, share
        self._trial_left = max(self._trial_length, pace.plateau / 2 if repeated else 0)
        self._set(_Pace(max(1.0, self.gate.size * left), rate, self._trial_left))

    def _stay_away(self, since: float) -> None:
        """Ask nothing for a while, and then by single requests; that time counts."""
        self._first = self._turns
        self._learnt.per_second = 1 / _FIRST_PAUSE  # also for those that have entered already
        self.pause(min(LONGEST_WAIT, max(_FIRST_PAUSE, _LONGER * (_now() - since))))

    def _come_back(self) -> None:
        """Go on at the rate that was served, with the time in which nothing was."""
        pace, served = self._pace, self._cycle.served
        rate, before = self._cycle.rate(_now()), pace.per_second * pace.growth
        self._away, self._broken_off, self._repeated = None, None, False
        self._tried = self._tried_refused = 0
        self._trial_left, self._share_before = 0.0, 1.0
        if rate == before == math.inf:  # nothing is known of the rate
            self._set(_Pace(max(self.gate.size, min(AT_ONCE, self._most))))
            return
        if before < math.inf:
            rate = max(min(rate, before), _LEAST_LEFT * before)
        self._meter.restart(1.0, _now())
        self._cycle.restart(1.0, _now())
        self._trial_left = max(_SHORTEST, min(_LONGEST, served))
        self._set(_Pace(self.gate.size, rate, self._trial_left))

    def _set(self, pace: _Pace) -> None:
        """Change the pace; refusals of what was sent before say nothing of the new one."""
        self._first = self._turns
        self._latest.clear()
        self._answers = self._refusals = 0
        self._pace = pace
        self._apply()
        rate = self._learnt.per_second
        words = f", {rate:.3g} per second" if rate < math.inf else ""
        _log.info("%s is asked %d requests at once%s", self._shown, self.gate.size, words)

    def _apply(self) -> None:
        pace = self._pace
        size = pace.size * pace.growth if pace.plateau else pace.size + pace.successes
        self.gate.size = max(1.0, min(self._most, size))
        self._learnt.per_second = pace.per_second * pace.growth
        self.gate.admit()

    async def _nap(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _take_turn(self, tokens: int) -> None:
        if wait := max(self._requests.take(1, _now()), self._tokens.take(tokens, _now())):
            await self._sleep(wait)
        async with self._next:
            if wait := self._learnt.take(1, _now()):
                await self._sleep(wait)
            while self._pauses:  # one may have begun meanwhile
                await asyncio.wait(self._pauses)


def _now() -> float:
    """The event loop's clock, so that a simulation brings its own."""
    return asyncio.get_running_loop().time()
