"""Any OpenAI-compatible server as a backend: httpx2 for the wire, tenacity for the retries.

| What comes back                         | What becomes of it                             |
|-----------------------------------------|------------------------------------------------|
| 200, `finish_reason` stop or length     | the completion                                 |
| 200, anything else                      | `finish="error"`, saying what was found        |
| 401–405, a redirect, 429 without credit | `BackendError` raised: every request fails     |
| 408, 409, 425, 429, 5xx, timeout, loss  | tried again, at last `finish="error"`          |
| 400, 413, 422, any other status         | `finish="error"` with the server's words       |
| no connection, and never one before     | tried briefly, then `BackendUnavailable` raised |
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import cached_property
from ssl import SSLContext

import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from decompose_distill.backends.endpoints import find_endpoint
from decompose_distill.backends.flight import Flight
from decompose_distill.backends.pacing import asked_wait
from decompose_distill.backends.wire import Later, decode, encode, failed, words
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError
from decompose_distill.types import Completion, Request

LONGEST_WAIT = 60.0
"""Seconds; a request whose server asks for more fails, as an early return helps nobody."""
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


class OpenAIBackend:
    """Completes chats on OpenAI or a compatible server: vLLM, Ollama, llama.cpp and the like.

    Args:
        model: The model's name on the server.
        base_url: Endpoint such as `http://localhost:8000/v1`; by default `OPENAI_BASE_URL`
            from the environment, else the official one. A `user:password@` in it is sent as
            basic authentication in place of the key, and never shown.
        api_key_env: Environment variable with the key, which only the official endpoint needs.
        max_in_flight: Requests under way at once in one call of `generate`.
        timeout: Seconds for one attempt, from connecting to the last byte, a server's own queue
            included: a server that works one by one wants a small `max_in_flight`.
        max_attempts: Attempts at one request before it becomes an error.
        sleep: Waits the given seconds between attempts; tests pass their own.

    Raises:
        ConfigError: An argument is wrong; the message names it.
        BackendError: The key is missing or malformed; the message names the variable.

    Example:
        >>> backend = OpenAIBackend("my-model", base_url="http://localhost:8000/v1")
        >>> backend.identity
        'openai:my-model http://localhost:8000/v1'
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        max_in_flight: int = 32,
        timeout: float = 600.0,
        max_attempts: int = 6,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        _check_positive(max_in_flight=max_in_flight, timeout=timeout, max_attempts=max_attempts)
        self.model, self.base_url = model, ""  # so that a report of the next line can show this
        self._endpoint = find_endpoint(base_url, api_key_env)
        self.base_url = self._endpoint.shown
        self.api_key_env = api_key_env
        self.max_in_flight = max_in_flight
        self.timeout = timeout
        self.max_attempts = max_attempts
        self._sleep = sleep
        self._answered = False

    def __repr__(self) -> str:
        return f"OpenAIBackend({self.model!r}, base_url={self.base_url!r})"

    @property
    def identity(self) -> str:
        """Model and endpoint without credentials, for keys."""
        return f"openai:{self.model} {self.base_url}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once; completions come as they finish.

        Requests are taken in the caller's thread, one at a time, where there is room for
        another and everything finished was yielded. Closing the generator cancels the rest.

        Raises:
            BackendError: The server refuses the key, the model or the address.
            BackendUnavailable: The server cannot be reached, and never could.

        Example:
            >>> list(OpenAIBackend("m", base_url="http://localhost:8000/v1").generate([]))
            []
        """
        with Flight(self._client(), self._complete) as flight:
            for request in requests:
                flight.send(request)
                yield from flight.landed(leave=self.max_in_flight - 1)
            yield from flight.landed(leave=0)

    def _client(self) -> httpx2.AsyncClient:
        most = self.max_in_flight
        return httpx2.AsyncClient(
            headers={"Content-Type": "application/json", **self._endpoint.secret.headers},
            timeout=httpx2.Timeout(None, connect=min(10, self.timeout)),
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            verify=self._tls,
        )

    @cached_property
    def _tls(self) -> SSLContext:
        return httpx2.create_ssl_context()  # some 50 ms: once a backend, not once a run

    async def _complete(self, client: httpx2.AsyncClient, request: Request) -> Completion:
        """Attempt a request until it is settled; what this raises ends the run."""
        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=self._gives_up,
            wait=_wait,
            retry=retry_if_exception_type(BackendUnavailable),
            reraise=True,
        )
        body = json.dumps(encode(self.model, request, official=self._endpoint.official)).encode()
        try:
            return await retrying(self._attempt, client, request, body)
        except Later as error:
            last = error
        if last.unreachable and not self._answered:
            advice = "check that the server runs, and base_url or OPENAI_BASE_URL"
            raise BackendUnavailable(f"{last}: {advice}") from last.__cause__
        attempts = retrying.statistics["attempt_number"]
        return failed(request, f"{last} (gave up after {attempts} attempts)")

    def _gives_up(self, state: RetryCallState) -> bool:
        later = _later(state)
        most = self.max_attempts
        if later.unreachable and not self._answered:
            most = min(most, FIRST_CONTACT_ATTEMPTS)
        return state.attempt_number >= most or later.asked > LONGEST_WAIT

    async def _attempt(
        self, client: httpx2.AsyncClient, request: Request, body: bytes
    ) -> Completion:
        response = await self._post(client, body)
        secret = self._endpoint.secret
        self._answered = True
        if response.is_success:
            return decode(request, response.content, secret, self.base_url)
        status = response.status_code
        found = f"HTTP {status} from {self.base_url}: {words(response.content, secret)}"
        no_credit = status == 429 and "insufficient_quota" in response.text
        if advice := _REFUSED.get(402 if no_credit else status):
            raise BackendError(f"{found}: {advice.format(key=self.api_key_env, model=self.model)}")
        if status in _REPEATED or status >= 500:
            raise Later(found, asked=asked_wait(response.headers))
        return failed(request, found)

    async def _post(self, client: httpx2.AsyncClient, body: bytes) -> httpx2.Response:
        try:
            async with asyncio.timeout(self.timeout):
                return await client.post(self._endpoint.at("chat/completions"), content=body)
        except TimeoutError:
            cause: Exception = TimeoutError(f"no answer in {self.timeout:g} seconds")
        except httpx2.RequestError as error:
            cause = type(error)(str(error))  # without the frames, as these hold the key
        unreachable = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
        what = "cannot be reached" if unreachable else "did not answer"
        found = f"{self.base_url} {what} ({type(cause).__name__}: {cause})"
        raise Later(found, unreachable=unreachable) from cause


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ConfigError(f"{name} must be above 0, not {number}")


def _later(state: RetryCallState) -> Later:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, Later) else Later(str(error))


def _wait(state: RetryCallState) -> float:
    return _later(state).asked or _backoff(state)
