"""Adaptive rate control of one server: requests at once, requests per second, and pauses.

Both are learnt from what the server refuses (multiplicative decrease, additive increase).

An answer 429 may mean that the pace is too high, or nothing: some servers refuse a share of the
requests at any pace. So the first one begins a trial at little more than half the pace.

| At the lower pace     | What is concluded                                                       |
|-----------------------|-------------------------------------------------------------------------|
| none is refused       | The pace was too high: it is kept below what was served, and felt for   |
| a few are, as before  | It is not the pace: full speed, until clearly more of them are refused  |
| many are              | The pace is still too high                                              |

If the pace counts, an answer 429 takes a tenth of the requests at once and a twentieth of the
rate, one time for all that were sent before it took effect; each success adds. The rate is measured
when a server first refuses, because a limit on requests or tokens per minute shows in
no number of requests at once.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from decompose_distill.backends.openai.throttles import ConcurrencyGate, TokenBucket

AT_ONCE = 8
"""Requests at once before the first answers; each success adds one until the first refusal."""
_FEWER, _SLOWER = 0.9, 0.95
_FASTER = 0.0003
"""Growth of the rate with a success, the more the longer nothing was refused."""
_ACCELERATION = 400
"""Successes without a refusal after which the rate grows twice as fast."""
_MEASURED = 100
"""Latest successes from which the rate is measured, and latest answers for the share refused."""
_TRIAL_PACE = 0.6
_TRIAL_LEAST, _TRIAL_MOST = 20, 100
"""Answers before the verdict of a trial, and the least, none refused, till that the pace counts."""
_MISSED = 3
"""Refusals that so many answers would have held at the share before: none is no chance (95 %)."""
_MOST_AT_RANDOM = 0.25
"""Share of refusals above which the pace is too high, whatever else is the matter."""
_CLEARLY_MORE = 0.1
"""Share of refusals, beside twice what is held to be random, from which on the pace counts."""
_DOUBTFUL_BELOW = 0.7
"""Part of the pace after a verdict at which that is doubted, if it was that the pace counts."""
_DOUBTFUL_AFTER = 1000
"""Answers after which a verdict is doubted, if it was the other; twice as many each time."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Trial:
    """A trial of a lower pace, to tell whether refusals depend on it."""

    turn: int
    """The first turn at that pace."""
    gate_size: float
    rate: float
    """Pace before, which was refused: requests at once, and per second as measured."""
    enough: float
    """Answers without a refusal that show that it was the pace."""
    answers: int = 0
    refusals: int = 0

    @property
    def share(self) -> float:
        """Share of its answers that refused."""
        return self.refusals / self.answers if self.answers else 1.0


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
        self.gate = ConcurrencyGate(min(AT_ONCE, most))
        self._learnt = TokenBucket()
        self._binding = False
        self._turn = 0
        self._since_refusal = 0
        self._successes: deque[float] = deque(maxlen=_MEASURED)
        self._refusals: deque[bool] = deque(maxlen=_MEASURED)
        self._pauses: set[asyncio.Future[None]] = set()
        self._trial: _Trial | None = None
        self._at_random: float | None = None
        self._concluded = math.inf  # the pace after the last verdict
        self._since_verdict, self._doubtful_after = 0, _DOUBTFUL_AFTER

    @property
    def has_room(self) -> bool:
        """Whether a request could go now."""
        return not self._pauses and self.gate.load < int(self.gate.size)

    @property
    def tolerates(self) -> bool:
        """Whether refusals are held to be random."""
        return self._at_random is not None

    @property
    def spares_others(self) -> bool:
        """Whether a refused request waits alone, as refusals are random or few enough to be."""
        trial = self._trial
        return self.tolerates or (trial is not None and trial.share <= _MOST_AT_RANDOM)

    @property
    def refused_share(self) -> float:
        """Share of refusals among the latest answers."""
        return sum(self._refusals) / len(self._refusals) if self._refusals else 1.0

    async def enter(self, tokens: int) -> int:
        """Wait for a turn of `tokens` tokens; returns its number, the same until the pace changes.

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
        return self._turn

    def leave(self, tokens_more: int) -> None:
        """End the turn; it used `tokens_more` tokens more than were reserved."""
        self._tokens.correct(tokens_more)
        self.gate.leave()

    def succeeded(self, turn: int) -> None:
        """Add to what is asked, unless the pace is on trial."""
        self._successes.append(time.monotonic())
        self._count(turn, refused=False)
        if not self._trial:
            slowly = self._turn and not self.tolerates
            # 1 / size per success is one more per round of answers; 1 per success doubles it.
            self.gate.size = min(self._most, self.gate.size + (1 / self.gate.size if slowly else 1))
            if self._binding:
                faster = _FASTER * (1 + self._since_refusal / _ACCELERATION)
                self._learnt.per_second *= 1 + faster
        self.gate.admit()

    def refused(self, turn: int) -> None:
        """Ask less, unless the request was sent before the last time that this was done."""
        on_trial = self._trial is not None
        self._count(turn, refused=True)
        if on_trial or turn < self._turn:
            return
        if self._is_doubtful:
            self._begin_trial()
        elif self._at_random is None:
            self._set(self.gate.size * _FEWER, self._rate * _SLOWER)
        elif self.refused_share > 2 * self._at_random + _CLEARLY_MORE:
            self._at_random = None
            self._conclude(self.gate.size * _FEWER, self._rate * _SLOWER)

    def pause(self, seconds: float) -> None:
        """Ask nothing for some seconds."""
        _log.info("%s is asked nothing for %.3g s", self._shown, seconds)
        pause = asyncio.ensure_future(self._nap(seconds))
        self._pauses.add(pause)
        pause.add_done_callback(self._pauses.discard)

    def _count(self, turn: int, *, refused: bool) -> None:
        self._refusals.append(refused)
        self._since_refusal = 0 if refused else self._since_refusal + 1
        self._since_verdict += 1
        if (trial := self._trial) and turn >= trial.turn:
            trial.answers += 1
            trial.refusals += refused
            self._judge(trial)

    @property
    def _is_doubtful(self) -> bool:
        """Whether it is to be found out (again) if the refusals depend on the pace."""
        if self.tolerates:
            return self._since_verdict > self._doubtful_after
        return self._turn == 0 or self._pace < _DOUBTFUL_BELOW * self._concluded

    def _begin_trial(self) -> None:
        # The latest quarter shows a rate that has just risen, and the whole average does not.
        size, rate = self.gate.size, max(self._rate, self._measured(_MEASURED // 4))
        # Not below what any server is asked at first, as few at once take long to tell.
        self._set(max(_TRIAL_PACE * size, min(size, AT_ONCE)), _TRIAL_PACE * rate)
        enough = max(_TRIAL_MOST, _MISSED / self.refused_share)
        self._trial = _Trial(self._turn, size, rate, enough)

    def _judge(self, trial: _Trial) -> None:
        if trial.answers < _TRIAL_LEAST:
            return
        if trial.share > _MOST_AT_RANDOM:
            self._conclude(self.gate.size * _FEWER, self._rate * _SLOWER)
        elif trial.refusals:
            self._doubtful_after *= 2
            self._at_random = trial.share
            # With what the answers of the trial would have added.
            self._conclude(min(self._most, trial.gate_size + trial.answers), math.inf)
        elif trial.answers >= trial.enough:
            self._at_random = None
            self._conclude(trial.gate_size * _FEWER, trial.rate * _SLOWER)

    def _conclude(self, size: float, rate: float) -> None:
        self._trial, self._since_verdict = None, 0
        self._set(size, rate)
        self._concluded = self._pace
        if self._at_random is not None:
            words = f"refuses about {self._at_random:.0%} of requests at any pace"
        else:
            words = f"is asked {int(self.gate.size)} requests at once, {rate:.3g} per second"
        _log.info("%s %s", self._shown, words)

    @property
    def _rate(self) -> float:
        """Requests per second: as learnt, or else as measured."""
        return (
            self._learnt.per_second
            if self._binding
            else min(self._learnt.per_second, self._measured())
        )

    @property
    def _pace(self) -> float:
        rate = self._learnt.per_second
        return rate if rate < math.inf else self.gate.size

    def _set(self, size: float, rate: float) -> None:
        """Change the pace; refusals of what was sent before say nothing of the new one."""
        self._turn += 1
        self.gate.size = max(1.0, size)
        self._learnt.per_second = rate

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
            if not self._pauses:  # one may have begun during the sleep
                return

    def _measured(self, latest: int = _MEASURED) -> float:
        """Successes per second of late, or infinity while they are too few to tell."""
        count = min(latest, len(self._successes))
        if count < _MEASURED / 10:
            return math.inf
        return count / (time.monotonic() - self._successes[-count])
