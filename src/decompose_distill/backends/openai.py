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
import atexit
import json
import math
import os
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from queue import SimpleQueue
from ssl import SSLContext
from typing import Any

import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError
from decompose_distill.types import Completion, Request, Usage

OFFICIAL = "https://api.openai.com/v1"
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
_UNKNOWN = Usage()
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
        url = _parse_url(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL)
        self.model = model
        self.base_url = str(url.copy_with(userinfo=b"", query=None))
        self.api_key_env = api_key_env
        self.max_in_flight = max_in_flight
        self.timeout = timeout
        self.max_attempts = max_attempts
        self._url = url.copy_with(userinfo=b"", path=f"{url.path}/chat/completions")
        self._official = url.host == httpx2.URL(OFFICIAL).host
        self._secret = _secret(url, api_key_env)
        self._sleep = sleep
        self._answered = False
        if self._official and not self._secret.headers:
            raise BackendError(
                f"no key for {self.base_url}: set the environment variable {api_key_env}, "
                "or give base_url for a server of your own"
            )

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
        with _Flight(self._client(), self._complete) as flight:
            for request in requests:
                flight.send(request)
                yield from flight.landed(leave=self.max_in_flight - 1)
            yield from flight.landed(leave=0)

    def _client(self) -> httpx2.AsyncClient:
        most = self.max_in_flight
        return httpx2.AsyncClient(
            headers={"Content-Type": "application/json", **self._secret.headers},
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
        body = self._body(request)
        try:
            return await retrying(self._attempt, client, request, body)
        except _Later as error:
            last = error
        if last.unreachable and not self._answered:
            advice = "check that the server runs, and base_url or OPENAI_BASE_URL"
            raise BackendUnavailable(f"{last}: {advice}") from last.__cause__
        attempts = retrying.statistics["attempt_number"]
        return _failed(request, f"{last} (gave up after {attempts} attempts)")

    def _gives_up(self, state: RetryCallState) -> bool:
        later = _later(state)
        most = self.max_attempts
        if later.unreachable and not self._answered:
            most = min(most, FIRST_CONTACT_ATTEMPTS)
        return state.attempt_number >= most or later.asked > LONGEST_WAIT

    def _body(self, request: Request) -> bytes:
        sampling = request.sampling
        limit = "max_completion_tokens" if self._official else "max_tokens"
        body = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            limit: sampling.max_new_tokens,
            "seed": sampling.seed,
        }
        return json.dumps(body).encode()  # escaped to ASCII, so that lone surrogates pass

    async def _attempt(
        self, client: httpx2.AsyncClient, request: Request, body: bytes
    ) -> Completion:
        response = await self._post(client, body)
        self._answered = True
        if response.is_success:
            return self._read(request, response)
        status = response.status_code
        found = f"HTTP {status} from {self.base_url}: {self._words(response)}"
        no_credit = status == 429 and "insufficient_quota" in response.text
        if advice := _REFUSED.get(402 if no_credit else status):
            raise BackendError(f"{found}: {advice.format(key=self.api_key_env, model=self.model)}")
        if status in _REPEATED or status >= 500:
            raise _Later(found, asked=_asked_wait(response.headers))
        return _failed(request, found)

    async def _post(self, client: httpx2.AsyncClient, body: bytes) -> httpx2.Response:
        try:
            async with asyncio.timeout(self.timeout):
                return await client.post(self._url, content=body)
        except TimeoutError:
            cause: Exception = TimeoutError(f"no answer in {self.timeout:g} seconds")
        except httpx2.RequestError as error:
            cause = type(error)(str(error))  # without the frames, as these hold the key
        unreachable = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
        what = "cannot be reached" if unreachable else "did not answer"
        found = f"{self.base_url} {what} ({type(cause).__name__}: {cause})"
        raise _Later(found, unreachable=unreachable) from cause

    def _read(self, request: Request, response: httpx2.Response) -> Completion:
        try:
            body = response.json()
            choice = body["choices"][0]
            text, reason = choice["message"].get("content"), choice["finish_reason"]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            found = f"{self.base_url} answered no chat completion: {self._words(response)}"
            return _failed(request, found)
        usage = _usage(body.get("usage"))
        ended = f"finish_reason {self._secret.strike(repr(reason))}"
        if not isinstance(text, str):
            return _failed(request, f"message.content is {type(text).__name__}, {ended}", usage)
        if reason not in ("stop", "length"):
            return _failed(request, f"completion ended with {ended}", usage, text)
        return Completion(request.id, text.strip(), reason, usage)

    def _words(self, response: httpx2.Response) -> str:
        """What the server says of an error, short."""
        try:
            found = response.json()
        except (ValueError, RecursionError):
            found = response.text
        for name in ("error", "detail", "message"):
            found = found.get(name, found) if isinstance(found, dict) else found
        return self._secret.strike(str(found)) or "(empty answer)"


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ConfigError(f"{name} must be above 0, not {number}")


def _parse_url(base_url: str) -> httpx2.URL:
    """Check an endpoint; a wrong one that may hold a password is not repeated."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        shown = "" if "@" in base_url else f", not {base_url!r}"
        raise ConfigError(f"base_url must be like 'http://localhost:8000/v1'{shown}")
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    return url.copy_with(path=path, fragment=None)


@dataclass(frozen=True, slots=True, repr=False)
class _Secret:
    """Credentials as sent, and what of them must never be shown."""

    headers: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    def strike(self, text: str) -> str:
        """Make a foreign text fit to be shown: no secret, one line, at most 300 characters."""
        for secret in self.hidden:
            if len(secret) > 5:  # "x" and "EMPTY" stand for no key
                text = text.replace(secret, "***")
        return " ".join(text.split())[:300]


def _secret(url: httpx2.URL, api_key_env: str) -> _Secret:
    if url.userinfo:
        token = b64encode(f"{url.username}:{url.password}".encode()).decode()
        return _Secret({"Authorization": f"Basic {token}"}, (token, url.password))
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        return _Secret()
    if not key.isascii() or not key.isprintable() or " " in key:
        del key  # out of the reports that show local variables
        raise BackendError(f"the key in {api_key_env} holds characters no key has: set it again")
    return _Secret({"Authorization": f"Bearer {key}"}, (key,))


class _Later(BackendUnavailable):
    """An attempt that failed and may be repeated, after the seconds the server asks for."""

    def __init__(self, message: str, *, asked: float = 0.0, unreachable: bool = False) -> None:
        super().__init__(message)
        self.asked = asked
        self.unreachable = unreachable


def _later(state: RetryCallState) -> _Later:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, _Later) else _Later(str(error))


def _wait(state: RetryCallState) -> float:
    return _later(state).asked or _backoff(state)


def _asked_wait(headers: httpx2.Headers) -> float:
    """Seconds that `retry-after-ms` or `Retry-After` (seconds or a date) asks for, else 0."""
    readings: tuple[Callable[[], float], ...] = (
        lambda: float(headers["retry-after-ms"]) / 1000,
        lambda: float(headers["retry-after"]),
        lambda: _moment(headers["retry-after"]) - _server_time(headers),
    )
    for reading in readings:
        try:
            asked = reading()
        except (KeyError, ValueError, OverflowError):
            continue
        return asked if 0 < asked < math.inf else 0.0
    return 0.0


def _server_time(headers: httpx2.Headers) -> float:
    """The server's clock where it shows one, as ours may be off."""
    return _moment(headers["date"]) if "date" in headers else time.time()


def _moment(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()


def _failed(request: Request, error: str, usage: Usage = _UNKNOWN, text: str = "") -> Completion:
    return Completion(request.id, text, "error", usage, error)


def _usage(found: Any) -> Usage:
    counts = found if isinstance(found, dict) else {}
    given = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(*(count if isinstance(count, int) else 0 for count in given))


class _Flight:
    """Requests under way on an event loop in a thread of its own."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        complete: Callable[[httpx2.AsyncClient, Request], Coroutine[Any, Any, Completion]],
    ) -> None:
        self._client = client
        self._complete = complete
        self._under_way = 0
        self._finished: SimpleQueue[Future[Completion]] = SimpleQueue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        # A daemon closed by atexit: an abandoned generator must not hold up the interpreter.
        self._thread = threading.Thread(target=self._run, name="openai-backend", daemon=True)

    def __enter__(self) -> "_Flight":
        self._thread.start()
        atexit.register(self.close)
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self.close)
        self.close()

    def send(self, request: Request) -> None:
        """Set a request under way."""
        work = asyncio.run_coroutine_threadsafe(self._carry(request), self._loop)
        work.add_done_callback(self._finished.put)
        self._under_way += 1

    def landed(self, *, leave: int) -> Iterator[Completion]:
        """Yield everything finished, waiting until at most `leave` are under way."""
        while self._under_way > leave or not self._finished.empty():
            work = self._finished.get()
            self._under_way -= 1
            yield work.result()

    def close(self) -> None:
        """Cancel what is under way and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            if self._thread is not threading.current_thread():  # where garbage is collected
                self._thread.join()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._live())

    async def _live(self) -> None:
        async with self._client:
            await self._closing.wait()
            # Not all tasks of the loop: those below ours are httpx2's to cancel.
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, request: Request) -> Completion:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._complete(self._client, request)
        finally:
            self._tasks.discard(task)
