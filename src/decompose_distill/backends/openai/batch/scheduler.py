"""Requests into batches, batches into completions, and what did not come out in again."""

import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Self

from decompose_distill.backend import FIRST_LIMIT
from decompose_distill.backends.openai.backend import MAX_NEW_TOKENS
from decompose_distill.backends.openai.batch.api import ENDED, LAG, Batch, BatchApi
from decompose_distill.backends.openai.batch.submissions import (
    Again,
    BatchRegister,
    Refused,
    Submission,
    encode_line,
    outcome,
    read_line,
)
from decompose_distill.backends.openai.dialect import Dialect
from decompose_distill.backends.openai.replies import failed
from decompose_distill.backends.openai.server_errors import ServerError
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

    items: list[_BatchItem] = field(default_factory=list)
    attempt: int = 1
    size: int = 0


@dataclass(slots=True)
class _ActiveBatch:
    """A batch under way, and those of its requests that this run asked for."""

    submission: Submission
    items: dict[str, _BatchItem] = field(default_factory=dict)
    seen: Batch | None = None

    @property
    def batch(self) -> str:
        assert self.submission.batch is not None
        return self.submission.batch


class BatchRun:
    """The batches of one stream of requests; use as a context manager.

    Args:
        api: Where they run.
        model: Whom they are for.
        dialect: How requests are written.
        register: Where they are written down.
        identity: Model and endpoint.
        max_requests: Requests per batch.
        max_attempts: Times a request is submitted.
        show: Say on stderr what is under way.
    """

    def __init__(
        self,
        api: BatchApi,
        model: str,
        dialect: Dialect,
        register: BatchRegister,
        identity: str,
        *,
        max_requests: int,
        max_attempts: int,
        show: bool,
    ) -> None:
        self._api = api
        self._model = model
        self._dialect = dialect
        self._unlearnt = dialect.before_learning()
        self._register = register
        self._identity = identity
        self._most = max_requests
        self._max_attempts = max_attempts
        self._crowded = False
        self._show = show
        self._unsettled = register.unsettled(identity)
        self._seen: Counter[str] = Counter()
        self._draft = _PendingBatch()
        self._waiting: deque[_PendingBatch] = deque()
        self._active: dict[str, _ActiveBatch] = {}
        self._too_long: deque[Completion] = deque()
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            batches = ", ".join(active.batch for active in self._active.values())
            line = f"still running at the provider: {batches}; run again to await the results"
            say(line, show=self._show)

    @property
    def _gone(self) -> str:
        return (
            "it belongs to another account, or is no longer register: set the key it was submitted "
            f"with, or delete {self._register.path} to submit, and pay, again"
        )

    def take(self, request: Request) -> None:
        """Await a request in the batch it is in already, or put it into the next one."""
        item = self._named(request)
        if len(item.line) > MOST_BYTES:
            error = f"a request of {len(item.line)} bytes, where a batch holds {MOST_BYTES}"
            self._too_long.append(failed(request, error))
        elif submission := self._submitted(item.custom_id):
            active = self._active.setdefault(submission.key, _ActiveBatch(submission))
            active.items[item.custom_id] = item
        else:
            self._put(item)

    def submit(self) -> None:
        """Submit what was taken and is in no batch."""
        if self._draft.items:
            self._waiting.append(self._draft)
            self._draft = _PendingBatch()
            if not (self._crowded and self._active):
                self._launch()

    def completed(self, *, most: int) -> Iterator[Completion]:
        """Yield what has ended, waiting until at most N batches are under way."""
        while self._too_long:
            yield self._too_long.popleft()
        while len(self._active) + len(self._waiting) > most:
            active, batch = self._next_ended()
            if batch.full:
                self._make_room(active, batch)
            else:
                yield from self._settle(active, batch)
            if self._waiting and not (batch.full and self._active):
                self._launch()

    def _named(self, request: Request) -> _BatchItem:
        """Name a request by what it asks, so that another run gives it the same name.

        That is by its body before anything was learnt of the server, and with the limit that
        stands for the backend's own in keys.
        """
        keyed = request
        if request.sampling.max_new_tokens == MAX_NEW_TOKENS:
            sampling = replace(request.sampling, max_new_tokens=FIRST_LIMIT)
            keyed = replace(request, sampling=sampling)
        body = self._unlearnt.encode(self._model, keyed)
        key = json.dumps([body, request.sample, request.solve], sort_keys=True)
        digest = sha256(key.encode()).hexdigest()[:48]
        name = f"{digest}-{self._seen[digest]}"
        self._seen[digest] += 1
        return _BatchItem(request, name, self._line(name, request))

    def _line(self, custom_id: str, request: Request) -> bytes:
        return encode_line(custom_id, self._dialect.encode(self._model, request))

    def _put(self, item: _BatchItem) -> None:
        draft = self._draft
        if len(draft.items) >= self._most or draft.size + len(item.line) > MOST_BYTES:
            self.submit()
        self._draft.items.append(item)
        self._draft.size += len(item.line)

    def _submitted(self, name: str) -> Submission | None:
        """The batch a request is in from another run; one that lost its id is looked for."""
        submission = self._unsettled.get(name)
        if submission is None or submission.batch:
            return submission
        if batch := self._find(submission):
            created = self._register.created(submission, batch)
            self._unsettled |= dict.fromkeys(submission.custom_ids, created)
            return created
        self._register.settle(submission, submission.custom_ids)  # it was never created
        for custom_id in submission.custom_ids:
            del self._unsettled[custom_id]
        return None

    def _find(self, submission: Submission) -> str | None:
        """The batch of a submission whose answer was lost; the provider's list may lag."""
        ordered = submission.ordered or 0.0  # one that was not ordered is looked for once
        lag = min(LAG, max(0.0, ordered + LAG - time.time()))
        return self._api.find(submission.key, submission.file, submission.time, lag)

    def _launch(self) -> None:
        draft = self._waiting.popleft()
        items = {item.custom_id: item for item in draft.items}
        submission = Submission(self._identity, frozenset(items), draft.attempt)
        self._register.intend(submission)
        file = self._api.upload(b"".join(item.line for item in draft.items))
        submission = self._register.order(submission, file)
        batch = self._api.create(file, submission.key, submission.time)
        submission = self._register.created(submission, batch)
        self._active[submission.key] = _ActiveBatch(submission, items)
        say(f"submitted {batch}: {len(items)} requests", show=self._show)

    def _next_ended(self) -> tuple[_ActiveBatch, Batch]:
        wait = FIRST_POLL
        while True:
            for key, active in self._active.items():
                batch = self._api.status(active.batch, self._gone)
                active.seen = batch
                if batch.status in ENDED:
                    return self._active.pop(key), batch
            self._report()
            self._api.sleep(wait)
            wait = min(1.5 * wait, LONGEST_POLL)

    def _report(self) -> None:
        if time.monotonic() - self._said < LINE_SECONDS:
            return
        self._said = time.monotonic()
        shown = (
            f"{active.batch} {batch.status} {batch.done}/{batch.total}"
            for active in self._active.values()
            if (batch := active.seen)
        )
        say(f"requests done: {', '.join(shown)}", show=self._show)

    def _make_room(self, active: _ActiveBatch, batch: Batch) -> None:
        """Hold a batch that the account's queue did not take until another ends, or halve it."""
        items, attempt = list(active.items.values()), active.submission.attempt
        self._register.settle(active.submission, frozenset(active.items))  # nothing of it was run
        self._crowded = True
        if self._active:
            self._waiting.appendleft(_PendingBatch(items, attempt))
        elif len(items) == 1:
            advice = "wait until other batches of the account have ended, and run again"
            raise BackendUnavailable(f"{active.batch} was not taken: {batch.faults}: {advice}")
        else:
            self._most = len(items) // 2
            halves = items[: self._most], items[self._most :]
            self._waiting.extendleft(_PendingBatch(half, attempt) for half in halves)

    def _settle(self, active: _ActiveBatch, batch: Batch) -> Iterator[Completion]:
        """Yield what a batch that ended holds, and prepare the rest for another."""
        if batch.status == "failed":
            self._register.settle(active.submission, frozenset(active.items))
            raise BackendError(f"{active.batch} failed its validation: {batch.faults}")
        attempt = active.submission.attempt
        again: list[_BatchItem] = []
        rewritten: list[_BatchItem] = []
        for item, result in self._outcomes(active, batch):
            if isinstance(result, Refused) and self._learns(item, result.error):
                rewritten.append(item)
            elif isinstance(result, Again) and attempt < self._max_attempts:
                again.append(replace(item, unanswered=item.unanswered + result.unanswered))
            else:
                yield _last(item, result, f"{active.batch}: ", attempt)
        self._register.settle(active.submission, frozenset(active.items))
        if again:
            say(f"{active.batch} {batch.status}: {len(again)} requests go again", show=self._show)
            self._waiting.append(_PendingBatch(again, attempt + 1))
        for item in rewritten:
            self._put(replace(item, line=self._line(item.custom_id, item.request)))
        self.submit()

    def _outcomes(
        self, active: _ActiveBatch, batch: Batch
    ) -> Iterator[tuple[_BatchItem, Completion | Again | Refused]]:
        left = dict(active.items)
        unreadable = 0
        for file in batch.files:
            for line in self._api.lines(file, self._gone):
                row = read_line(line)
                unreadable += row is None
                if row and (item := left.pop(row["custom_id"], None)):
                    yield item, self._outcome(item, row, active.batch)
        for item in left.values():
            if batch.status == "expired" and not unreadable:
                yield item, Again("expired")
            else:
                words = f"no line for this request, and {unreadable} that cannot be read"
                lost = int(unreadable > 0)  # what cannot be read may be billed
                yield item, failed(item.request, f"{active.batch}: {words}", lost)

    def _outcome(
        self, item: _BatchItem, row: dict[str, Any], source: str
    ) -> Completion | Again | Refused:
        endpoint = self._api.endpoint
        return outcome(item.request, row, endpoint.secret, source, endpoint.provider)

    def _learns(self, item: _BatchItem, error: ServerError) -> bool:
        """Whether the request is written otherwise after what the server said of it."""
        self._dialect.learn(error, item.request)
        return self._line(item.custom_id, item.request) != item.line


def _last(
    item: _BatchItem, result: Completion | Again | Refused, source: str, attempt: int
) -> Completion:
    """The completion of a request that is not submitted again."""
    if isinstance(result, Refused):
        result = result.completion
    if isinstance(result, Again):
        words = f"{source}{result.words} (submitted {attempt} times)"
        result = failed(item.request, words, int(result.unanswered))
    return replace(result, unanswered=item.unanswered + result.unanswered)
