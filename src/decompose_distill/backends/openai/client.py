"""The attempts at one request, until it is settled: tenacity's retries, within a deadline."""

import asyncio
import json
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import httpcore2
import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from decompose_distill.backends.openai.connections import NOT_SENT, TROUBLE, Answer, TooMuch
from decompose_distill.backends.openai.endpoints import Pool, Route
from decompose_distill.backends.openai.replies import decode, failed
from decompose_distill.backends.openai.retry_after import LONGEST_WAIT, requested_wait, used_up
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import (
    ADVICE,
    RetryableError,
    ServerError,
    holds_error,
    parse,
    read_error,
)
from decompose_distill.errors import BackendError, BackendUnavailable
from decompose_distill.types import Completion, Request

FIRST_CONTACT_ATTEMPTS = 3
"""Attempts to connect to a server that never answered."""
_backoff = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)
_log = logging.getLogger(__name__)

Resting = Callable[[], AbstractContextManager[None]]
"""Marks a request as waiting for its next attempt, so that another may be under way meanwhile."""


@dataclass(slots=True)
class _Account:
    """What became of one request so far."""

    request: Request
    deadline: asyncio.Timeout
    resting: Resting
    attempts: int = 0
    unanswered: int = 0
    last: RetryableError | None = None
    route: Route | None = field(default=None, repr=False)
    sending: bool = False

    @property
    def lost(self) -> int:
        """Attempts that ended without an answer and may be billed."""
        return self.unanswered - self.sending


@dataclass(slots=True)
class Client:
    """Settles requests one by one; the settings are those of `OpenAIBackend`."""

    model: str
    api_key_env: str
    timeout: float
    deadline: float | None
    max_attempts: int
    sleep: Callable[[float], Awaitable[None]]
    answered: bool = False
    """Whether any endpoint ever did."""
    under_way: dict[str, _Account] = field(default_factory=dict)

    async def complete(self, pool: Pool, request: Request, resting: Resting) -> Completion:
        """Attempt a request until it is settled; what this raises ends the run."""
        account = _Account(request, asyncio.timeout(None), resting)
        self.under_way[request.id] = account
        try:
            async with account.deadline:
                completion = await self._retry(pool, account)
        except BackendError as error:
            error.unanswered = {name: other.lost for name, other in self.under_way.items()}
            raise
        except TimeoutError:
            late = f"not settled in {self.deadline:g} seconds and {account.attempts} attempts"
            last = f", last: {account.last}" if account.last else ""
            completion = failed(request, late + last)
        finally:
            self.under_way.pop(request.id, None)
        if account.unanswered:
            completion = replace(completion, unanswered=account.unanswered + completion.unanswered)
        return completion

    async def _retry(self, pool: Pool, account: _Account) -> Completion:
        retrying = AsyncRetrying(
            sleep=lambda seconds: self._rest(seconds, account),
            stop=self._gives_up,
            wait=_wait,
            retry=retry_if_exception_type(RetryableError),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, pool, account)
        except RetryableError as error:
            last = error
        if last.unreachable and not self.answered:
            advice = "check that the server runs, and base_url or OPENAI_BASE_URL"
            raise BackendUnavailable(f"{last}: {advice}") from last.__cause__
        return failed(account.request, f"{last} (gave up after {account.attempts} attempts)")

    def _gives_up(self, state: RetryCallState) -> bool:
        most = self.max_attempts
        if _later(state).unreachable and not self.answered:
            most = min(most, FIRST_CONTACT_ATTEMPTS)
        return state.attempt_number >= most

    async def _rest(self, seconds: float, account: _Account) -> None:
        name, number = account.request.id, account.attempts + 1
        _log.info("request %s: attempt %d in %.2g s: %s", name, number, seconds, account.last)
        if seconds:  # else the pace waits
            with account.resting():
                await self.sleep(seconds)

    async def _attempt(self, pool: Pool, account: _Account) -> Completion:
        account.attempts += 1
        account.route = route = await pool.choose(account.route)
        probe = route.breaker.enter()
        try:
            return await self._take_turn(pool, route, account)
        except RetryableError as later:
            account.last = later
            account.unanswered += later.billed
            if later.broken:
                route.breaker.failed(later, probe=probe)
            raise
        except TooMuch as error:
            return failed(account.request, f"{route.endpoint.shown} sent {error}")
        finally:
            if probe:
                route.breaker.abandoned()

    async def _take_turn(self, pool: Pool, route: Route, account: _Account) -> Completion:
        request = account.request
        read = sum(len(message.content) for message in request.messages) // 4  # till it is counted
        reserved, used = read + request.sampling.max_new_tokens, read
        turn = await route.pace.enter(reserved)
        if self.deadline and account.attempts == 1:
            account.deadline.reschedule(asyncio.get_running_loop().time() + self.deadline)
        try:
            answer, error = await self._ask(route, account)
            self.answered = True
            if answer.status < 500:
                route.breaker.answered()
            if error:
                return self._judge(
                    pool, route, account, turn=turn, status=answer.status, error=error
                )
            completion = self._read(route, account, turn, answer)
            usage = completion.usage
            used = usage.input_tokens + usage.output_tokens or reserved
            return completion
        finally:
            route.pace.leave(used - reserved)

    async def _ask(self, route: Route, account: _Account) -> tuple[Answer, ServerError | None]:
        """Post a request, again as long as what the server says teaches how to ask it."""
        dialect, request = route.dialect, account.request
        scout = await dialect.enter(request)
        urls, wrong = list(dialect.urls), None
        try:
            while True:
                body = dialect.encode(self.model, request)
                answer = await self._post(route, urls[0], json.dumps(body).encode(), account)
                error = _error_of(answer, route.endpoint.secret)
                if error and answer.status in (404, 405) and len(urls) > 1:
                    wrong = wrong or (answer, error)
                    urls.pop(0)
                    continue
                if wrong and answer.status in (404, 405):
                    return wrong
                dialect.urls = urls
                if error is None:
                    return answer, None
                if dialect.encode(self.model, request) != body:
                    continue  # another request has learnt meanwhile
                if not dialect.learn(error, request):
                    return answer, error
        finally:
            dialect.leave(scout, request)

    async def _post(self, route: Route, url: httpx2.URL, body: bytes, account: _Account) -> Answer:
        account.unanswered += 1
        account.sending = True
        try:
            async with asyncio.timeout(self.timeout):
                answer = await route.connections.post(url, body)
            account.unanswered -= answer.status < 500  # a 5xx may hide work that is billed
            account.sending = False
            return answer
        except TimeoutError:
            cause: Exception = TimeoutError(f"no answer in {self.timeout:g} seconds")
        except TROUBLE as error:  # made anew, as its frames, and maybe its words, hold the key
            cause = type(error)(route.endpoint.secret.strike(str(error)))
        account.sending = False
        account.unanswered -= isinstance(cause, NOT_SENT)
        unreachable = isinstance(cause, httpcore2.ConnectError | httpcore2.ConnectTimeout)
        what = "cannot be reached" if unreachable else "did not answer"
        words = f"{route.endpoint.shown} {what} ({type(cause).__name__}: {cause})"
        raise RetryableError(words, unreachable=unreachable, broken=True) from cause

    def _read(self, route: Route, account: _Account, turn: int, answer: Answer) -> Completion:
        endpoint = route.endpoint
        route.pace.succeeded(turn)
        if used_up(answer.headers):
            route.pace.pause(min(requested_wait(answer.status, answer.headers), LONGEST_WAIT))
        reply = parse(answer.content)
        return decode(account.request, reply, endpoint.secret, endpoint.shown, endpoint.provider)

    def _judge(
        self,
        pool: Pool,
        route: Route,
        account: _Account,
        *,
        turn: int,
        status: int,
        error: ServerError,
    ) -> Completion:
        """Fail the request, or raise what the error means."""
        meaning = f" (as {error.status})" if status != error.status and error.status else ""
        words = f"HTTP {status}{meaning} from {route.endpoint.shown}: {error.words}"
        if error.verdict == "item":
            return failed(account.request, words)
        if error.verdict == "end":
            advice = ADVICE[error.status].format(key=self.api_key_env, model=self.model)
            raise BackendError(f"{words}: {advice}")
        if error.verdict == "later":
            route.leave(f"{words}: {_when(error.wait)}")
            if not pool.routes:
                raise BackendUnavailable(route.left)
            raise RetryableError(words)
        alone = error.status == 429 and route.pace.refused(turn, error.wait)
        if error.wait and error.status != 429:
            route.pace.pause(error.wait)
        raise RetryableError(
            words,
            wait=error.wait,
            alone=alone,
            broken=status >= 500,
            billed=error.status >= 500 > status,
        )


def _error_of(answer: Answer, secret: Secret) -> ServerError | None:
    """The error that an answer is, with whatever status."""
    success = 200 <= answer.status < 300
    if success and b"rror" not in answer.content and b"choices" in answer.content:
        return None  # quick, as every answer is looked at
    reply = parse(answer.content)
    if success and not holds_error(reply):
        return None
    return read_error(answer.status, answer.headers, reply, secret)


def _when(seconds: float) -> str:
    if not seconds:
        return "run again when the quota is there again"
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"run again in {f'{hours} h ' if hours else ''}{minutes} min"


def _later(state: RetryCallState) -> RetryableError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, RetryableError) else RetryableError(str(error))


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: the longer, the more of the server's answers refuse."""
    later, account = _later(state), state.args[1]
    if later.wait and not later.alone:
        return 0.0  # the pace waits, for all
    if account.route is None or account.route.left:
        return 0.0
    share = 1.0 if later.broken else account.route.pace.refused_share
    return later.wait + share * _backoff(state)
