"""The attempts at one request, until it is settled: tenacity's retries, within a deadline."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass, field, replace

import httpcore2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from decompose_distill.backends.openai.connections import NOT_SENT, TROUBLE, Answer
from decompose_distill.backends.openai.endpoints import Pool, Route
from decompose_distill.backends.openai.retry_after import LONGEST_WAIT, requested_wait, used_up
from decompose_distill.backends.openai.wire_format import (
    RetryableError,
    decode,
    encode,
    failed,
    words,
)
from decompose_distill.errors import BackendError, BackendUnavailable
from decompose_distill.types import Completion, Request

FIRST_CONTACT_ATTEMPTS = 3
"""Attempts to connect to a server that never answered."""

_ADDRESS = "check base_url (most end in /v1)"
_REFUSED = {
    401: "check the key in {key}",
    402: "check the credit of the account behind {key}",
    403: "check that the key in {key} may use model {model}",
    404: f"check the model name {{model}}, and {_ADDRESS}",
    405: _ADDRESS,
    **dict.fromkeys((301, 302, 303, 307, 308), "set base_url to where it redirects"),
}
_REPEATED = (408, 409, 425, 429)
_backoff = wait_random_exponential(multiplier=1, max=LONGEST_WAIT)


@dataclass(slots=True)
class _Account:
    """What became of one request so far."""

    deadline: asyncio.Timeout
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

    async def complete(self, pool: Pool, request: Request) -> Completion:
        """Attempt a request until it is settled; what this raises ends the run."""
        account = self.under_way[request.id] = _Account(asyncio.timeout(None))
        try:
            async with account.deadline:
                completion = await self._retry(pool, request, account)
        except BackendError as error:
            error.unanswered = {name: each.lost for name, each in self.under_way.items()}
            raise
        except TimeoutError:
            found = f"not settled in {self.deadline:g} seconds and {account.attempts} attempts"
            last = f", last: {account.last}" if account.last else ""
            completion = failed(request, found + last)
        finally:
            self.under_way.pop(request.id, None)
        if account.unanswered:
            return replace(completion, unanswered=account.unanswered)
        return completion

    async def _retry(self, pool: Pool, request: Request, account: _Account) -> Completion:
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=self._gives_up,
            wait=_wait,
            retry=retry_if_exception_type(BackendUnavailable),
            reraise=True,
        )
        try:
            return await retrying(self._attempt, pool, request, account)
        except RetryableError as error:
            last = error
        if last.unreachable and not self.answered:
            advice = "check that the server runs, and base_url or OPENAI_BASE_URL"
            raise BackendUnavailable(f"{last}: {advice}") from last.__cause__
        return failed(request, f"{last} (gave up after {account.attempts} attempts)")

    def _gives_up(self, state: RetryCallState) -> bool:
        later = _later(state)
        most = self.max_attempts
        if later.unreachable and not self.answered:
            most = min(most, FIRST_CONTACT_ATTEMPTS)
        return state.attempt_number >= most or later.asked > LONGEST_WAIT

    async def _sleep(self, seconds: float) -> None:
        if seconds:  # else the pace waits
            await self.sleep(seconds)

    async def _attempt(self, pool: Pool, request: Request, account: _Account) -> Completion:
        account.attempts += 1
        account.route = route = await pool.choose(account.route)
        probe = route.breaker.enter()
        try:
            return await self._take_turn(route, request, account)
        except RetryableError as later:
            account.last = later
            if later.broken:
                route.breaker.failed(later, probe=probe)
            raise
        finally:
            if probe:
                route.breaker.abandoned()

    async def _take_turn(self, route: Route, request: Request, account: _Account) -> Completion:
        official = route.endpoint.official
        body = json.dumps(encode(self.model, request, official=official)).encode()
        read = len(body) // 4  # a guess until the server tells
        reserved, used = read + request.sampling.max_new_tokens, read
        refusals = await route.pace.enter(reserved)
        if self.deadline and account.attempts == 1:
            account.deadline.reschedule(asyncio.get_running_loop().time() + self.deadline)
        try:
            answer = await self._post(route, body, account)
            completion = self._judge(route, request, answer, refusals)
            usage = completion.usage
            used = usage.input_tokens + usage.output_tokens or reserved
            if answer.status < 300 and completion.finish == "error" and not any(astuple(usage)):
                account.unanswered += 1  # an answer that cannot be read may be billed as well
            return completion
        finally:
            route.pace.leave(used - reserved)

    async def _post(self, route: Route, body: bytes, account: _Account) -> Answer:
        account.unanswered += 1
        account.sending = True
        try:
            async with asyncio.timeout(self.timeout):
                answer = await route.connections.post(body)
            account.unanswered -= answer.status < 500  # a 5xx may hide work that is billed
            account.sending = False
            return answer
        except TimeoutError:
            cause: Exception = TimeoutError(f"no answer in {self.timeout:g} seconds")
        except TROUBLE as error:
            cause = type(error)(str(error))  # without the frames, as these hold the key
        account.sending = False
        account.unanswered -= isinstance(cause, NOT_SENT)
        unreachable = isinstance(cause, httpcore2.ConnectError | httpcore2.ConnectTimeout)
        what = "cannot be reached" if unreachable else "did not answer"
        found = f"{route.endpoint.shown} {what} ({type(cause).__name__}: {cause})"
        raise RetryableError(found, unreachable=unreachable, broken=True) from cause

    def _judge(self, route: Route, request: Request, answer: Answer, refusals: int) -> Completion:
        """Read an answer, or raise what it means."""
        endpoint, status = route.endpoint, answer.status
        self.answered = True
        if status < 500:
            route.breaker.answered()
        if 200 <= status < 300:
            route.pace.succeeded()
            if used_up(answer.headers):
                route.pace.pause(min(requested_wait(status, answer.headers), LONGEST_WAIT))
            return decode(request, answer.content, endpoint.secret, endpoint.shown)
        found = f"HTTP {status} from {endpoint.shown}: {words(answer.content, endpoint.secret)}"
        no_credit = status == 429 and b"insufficient_quota" in answer.content
        if advice := _REFUSED.get(402 if no_credit else status):
            raise BackendError(f"{found}: {advice.format(key=self.api_key_env, model=self.model)}")
        if status not in _REPEATED and status < 500:
            return failed(request, found)
        asked = requested_wait(status, answer.headers)
        if status == 429:
            route.pace.refused(refusals)
        if asked:
            route.pace.pause(min(asked, LONGEST_WAIT))
        raise RetryableError(found, asked=asked, broken=status >= 500)


def _later(state: RetryCallState) -> RetryableError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, RetryableError) else RetryableError(str(error))


def _wait(state: RetryCallState) -> float:
    return 0.0 if _later(state).asked else _backoff(state)
