"""Requests into batches, batches into completions, and what did not come out in again."""

import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Self

from decompose_distill.backends.openai.batch.api import ENDED, Batch, BatchApi
from decompose_distill.backends.openai.batch.file_format import (
    Again,
    encode_line,
    outcome,
    read_line,
)
from decompose_distill.backends.openai.batch.submissions import BatchRegister, Submission
from decompose_distill.backends.openai.replies import failed
from decompose_distill.console import LINE_SECONDS, say
from decompose_distill.errors import BackendError, BackendUnavailable
from decompose_distill.types import Completion, Request

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""What one file may hold at OpenAI."""
FIRST_POLL, LONGEST_POLL = 2.0, 60.0
"""Seconds between two looks at the batches, from the first on half as long again each time."""


@dataclass(frozen=True, slots=True)
class _BatchItem:
    """A request under the name it has in a batch."""

    request: Request
    custom_id: str
    line: bytes
    unanswered: int = 0


@dataclass(slots=True)
class _PendingBatch:
    """Requests to submit together."""

    asks: list[_BatchItem] = field(default_factory=list)
    attempt: int = 1
    size: int = 0


@dataclass(slots=True)
class _ActiveBatch:
    """A batch under way, and those of its requests that this run asked for."""

    submission: Submission
    asks: dict[str, _BatchItem] = field(default_factory=dict)
    seen: Batch | None = None

    @property
    def batch(self) -> str:
        assert self.submission.batch is not None
        return self.submission.batch


class BatchRun:
    """The batches of one stream of requests; use as a context manager.

    Args:
        api: Where they run.
        kept: Where they are written down.
        identity: Model and endpoint.
        max_requests: Requests a batch.
        max_attempts: Times a request is submitted.
        show: Say on stderr what is under way.
    """

    def __init__(
        self,
        api: BatchApi,
        kept: BatchRegister,
        identity: str,
        *,
        max_requests: int,
        max_attempts: int,
        show: bool,
    ) -> None:
        self._api = api
        self._kept = kept
        self._identity = identity
        self._most = max_requests
        self._max_attempts = max_attempts
        self._crowded = False
        self._show = show
        self._unsettled = kept.unsettled(identity)
        self._seen: Counter[str] = Counter()
        self._draft = _PendingBatch()
        self._waiting: deque[_PendingBatch] = deque()
        self._flights: dict[str, _ActiveBatch] = {}
        self._too_long: deque[Completion] = deque()
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._flights:
            batches = ", ".join(flight.batch for flight in self._flights.values())
            line = f"still running at the provider: {batches}; run again to await the results"
            say(line, show=self._show)

    @property
    def _gone(self) -> str:
        return (
            "it belongs to another account, or is no longer kept: set the key it was submitted "
            f"with, or delete {self._kept.path} to submit, and pay, again"
        )

    def take(self, request: Request, body: Mapping[str, object]) -> None:
        """Await a request in the batch it is in already, or put it into the next one."""
        ask = self._named(request, body)
        if len(ask.line) > MOST_BYTES:
            error = f"a request of {len(ask.line)} bytes, where a batch holds {MOST_BYTES}"
            self._too_long.append(failed(request, error))
        elif submission := self._submitted(ask.custom_id):
            flight = self._flights.setdefault(submission.key, _ActiveBatch(submission))
            flight.asks[ask.custom_id] = ask
        else:
            self._put(ask)

    def submit(self) -> None:
        """Submit what was taken and is in no batch."""
        if self._draft.asks:
            self._waiting.append(self._draft)
            self._draft = _PendingBatch()
            if not (self._crowded and self._flights):
                self._launch()

    def landed(self, *, leave: int) -> Iterator[Completion]:
        """Yield what has ended, waiting until at most `leave` batches are under way."""
        while self._too_long:
            yield self._too_long.popleft()
        while len(self._flights) + len(self._waiting) > leave:
            flight, batch = self._next_ended()
            if batch.full:
                self._make_room(flight, batch)
            else:
                yield from self._settle(flight, batch)
            if self._waiting and not (batch.full and self._flights):
                self._launch()

    def _named(self, request: Request, body: Mapping[str, object]) -> _BatchItem:
        """Name a request by what it asks, so that another run gives it the same name."""
        asked = json.dumps([body, request.sample, request.solve], sort_keys=True)
        digest = sha256(asked.encode()).hexdigest()[:48]
        name = f"{digest}-{self._seen[digest]}"
        self._seen[digest] += 1
        return _BatchItem(request, name, encode_line(name, body))

    def _put(self, ask: _BatchItem) -> None:
        draft = self._draft
        if len(draft.asks) >= self._most or draft.size + len(ask.line) > MOST_BYTES:
            self.submit()
        self._draft.asks.append(ask)
        self._draft.size += len(ask.line)

    def _submitted(self, name: str) -> Submission | None:
        """The batch a request is in from another run; one that lost its id is looked for."""
        submission = self._unsettled.get(name)
        if submission is None or submission.batch:
            return submission
        batch = self._api.find(submission.key, submission.time)
        if batch:
            found = self._kept.created(submission, batch)
            self._unsettled |= dict.fromkeys(submission.custom_ids, found)
            return found
        self._kept.settle(submission, submission.custom_ids)  # it was never created
        for each in submission.custom_ids:
            del self._unsettled[each]
        return None

    def _launch(self) -> None:
        draft = self._waiting.popleft()
        asks = {ask.custom_id: ask for ask in draft.asks}
        submission = Submission(self._identity, frozenset(asks), draft.attempt)
        self._kept.intend(submission)
        file = self._api.upload(b"".join(ask.line for ask in draft.asks))
        batch = self._api.create(file, submission.key, submission.time)
        submission = self._kept.created(submission, batch)
        self._flights[submission.key] = _ActiveBatch(submission, asks)
        say(f"submitted {batch}: {len(asks)} requests", show=self._show)

    def _next_ended(self) -> tuple[_ActiveBatch, Batch]:
        wait = FIRST_POLL
        while True:
            for key, flight in self._flights.items():
                batch = self._api.status(flight.batch, self._gone)
                flight.seen = batch
                if batch.status in ENDED:
                    return self._flights.pop(key), batch
            self._report()
            self._api.sleep(wait)
            wait = min(1.5 * wait, LONGEST_POLL)

    def _report(self) -> None:
        if time.monotonic() - self._said < LINE_SECONDS:
            return
        self._said = time.monotonic()
        shown = (
            f"{flight.batch} {batch.status} {batch.done}/{batch.total}"
            for flight in self._flights.values()
            if (batch := flight.seen)
        )
        say(f"requests done: {', '.join(shown)}", show=self._show)

    def _make_room(self, flight: _ActiveBatch, batch: Batch) -> None:
        """Hold a batch that the account's queue did not take until another ends, or halve it."""
        asks, attempt = list(flight.asks.values()), flight.submission.attempt
        self._kept.settle(flight.submission, frozenset(flight.asks))  # nothing of it was run
        self._crowded = True
        if self._flights:
            self._waiting.appendleft(_PendingBatch(asks, attempt))
        elif len(asks) == 1:
            advice = "wait until other batches of the account have ended, and run again"
            raise BackendUnavailable(f"{flight.batch} was not taken: {batch.faults}: {advice}")
        else:
            self._most = len(asks) // 2
            halves = asks[: self._most], asks[self._most :]
            self._waiting.extendleft(_PendingBatch(half, attempt) for half in halves)

    def _settle(self, flight: _ActiveBatch, batch: Batch) -> Iterator[Completion]:
        """Yield what a batch that ended holds, and prepare the rest for another."""
        if batch.status == "failed":
            self._kept.settle(flight.submission, frozenset(flight.asks))
            raise BackendError(f"{flight.batch} failed its validation: {batch.faults}")
        attempt = flight.submission.attempt
        again: list[_BatchItem] = []
        for ask, found in self._outcomes(flight, batch):
            if isinstance(found, Completion):
                yield replace(found, unanswered=ask.unanswered)
                continue
            ask = replace(ask, unanswered=ask.unanswered + found.unanswered)
            if attempt < self._max_attempts:
                again.append(ask)
            else:
                error = f"{flight.batch}: {found.found} (submitted {attempt} times)"
                yield replace(failed(ask.request, error), unanswered=ask.unanswered)
        self._kept.settle(flight.submission, frozenset(flight.asks))
        if again:
            say(f"{flight.batch} {batch.status}: {len(again)} requests go again", show=self._show)
            self._waiting.append(_PendingBatch(again, attempt + 1))

    def _outcomes(
        self, flight: _ActiveBatch, batch: Batch
    ) -> Iterator[tuple[_BatchItem, Completion | Again]]:
        left = dict(flight.asks)
        unreadable = 0
        for file in batch.files:
            for line in self._api.lines(file, self._gone):
                row = read_line(line)
                unreadable += row is None
                if row and (ask := left.pop(row["custom_id"], None)):
                    yield ask, outcome(ask.request, row, self._api.endpoint.secret, flight.batch)
        for ask in left.values():
            if batch.status == "expired" and not unreadable:
                yield ask, Again("expired")
            else:
                found = f"no line for this request, and {unreadable} that cannot be read"
                yield ask, failed(ask.request, f"{flight.batch}: {found}")
