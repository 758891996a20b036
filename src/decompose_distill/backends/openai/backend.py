"""Any OpenAI-compatible server as a backend: httpcore2 for the wire, tenacity for the retries.

| What comes back                         | What becomes of it                              |
|-----------------------------------------|-------------------------------------------------|
| 200, an ordinary end or a cut           | the completion                                  |
| 200, an error in it                     | what its code says                              |
| 200, anything else                      | `finish="error"`, saying what it was            |
| 400 or 422 that names a setting         | asked again without it, now and later           |
| 401–405, a redirect, no credit          | `BackendError` raised: every request fails      |
| a wait of over a minute, a daily quota  | `BackendUnavailable` raised, with its words     |
| 408, 409, 425, 429, 5xx, timeout, loss  | tried again, at last `finish="error"`           |
| 400, 413, 422, any other status         | `finish="error"` with the server's words        |
| no connection, and never one before     | tried briefly, then `BackendUnavailable` raised |

Beside this file, in the order of a request: `event_loop` runs all this in a thread; `client` tries
one request until it is settled, over a route that `endpoints` chooses; `rate_control` says when it
may go and `circuit_breaker` gives a broken server a rest; `dialect` writes its body as `providers`
want it and learns what the server refuses; `connections` sends it; `server_errors`, `retry_after`
and `replies` read what comes back, and `secrets` makes it fit to be shown.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from decompose_distill.backends.openai.client import Client
from decompose_distill.backends.openai.connections import Connections
from decompose_distill.backends.openai.dialect import Dialect
from decompose_distill.backends.openai.endpoints import Addresses, CircuitBreaker, Pool, Route
from decompose_distill.backends.openai.event_loop import EventLoops, RequestStream
from decompose_distill.backends.openai.rate_control import RateController
from decompose_distill.backends.openai.throttles import TokenBucket
from decompose_distill.errors import ConfigError
from decompose_distill.types import Completion, Request

MAX_NEW_TOKENS = 8192
"""What a model that thinks can live with, where nobody sets `max_new_tokens`."""


class OpenAIBackend:
    """Completes chats on OpenAI or a compatible server: vLLM, Ollama, llama.cpp and the like.

    It asks a server for less when it refuses, waits as long as it says, and leaves it alone
    while it is broken; [Rate limits and faults](../how-to/rate-limits.md) has the bounds.

    Args:
        model: The model's name on the server.
        base_url: Endpoint such as `http://localhost:8000/v1`; by default `OPENAI_BASE_URL`
            from the environment, else the official one. A `user:password@` in it is sent as
            basic authentication in place of the key, and never shown. Several endpoints of the
            same model are a mapping of each to its weight, such as `{"http://a:8000/v1": 2,
            "http://b:8000/v1": 1}`: what one does not answer another does.
        api_key_env: Environment variable with the key, which only the official endpoint needs.
        needs_key: Whether a missing key is an error at once; not for a forecast.
        max_in_flight: Requests under way at once, in all runs of this backend together.
        timeout: Seconds for one attempt, from connecting to the last byte, a server's own queue
            included: a server that works one by one wants a small `max_in_flight`.
        deadline: Seconds for all attempts at one request together, from its first.
        max_attempts: Attempts at one request before it becomes an error.
        requests_per_minute: Requests sent to each endpoint in a minute, spread evenly.
        tokens_per_minute: Tokens of requests and completions at each endpoint in a minute; they
            are guessed before (with `max_new_tokens`) and corrected by what the server counted.
        provider: Whose form requests have, such as `vllm` or `mistral`; by default it is known by
            the host, see [Providers](../reference/providers.md).
        extra_headers: Sent with every request, such as `{"api-key": key}`; their values are kept
            secret.
        extra_body: Fields for the body of every request, such as
            `{"chat_template_kwargs": {"enable_thinking": False}}`; part of the `identity`.
        extra_query: Added to the address, such as `{"api-version": "2024-10-21"}`.
        sleep: Waits the given seconds between attempts; tests pass their own.

    Raises:
        ConfigError: An argument is wrong; the message names it.
        BackendError: The key is missing or malformed; the message names the variable.

    Example:
        >>> backend = OpenAIBackend("my-model", base_url="http://localhost:8000/v1")
        >>> backend.identity
        'openai:my-model http://localhost:8000/v1'
    """

    max_new_tokens = MAX_NEW_TOKENS
    """Longest completion of a role without a `Sampling`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Mapping[str, float] | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        needs_key: bool = True,
        max_in_flight: int = 32,
        timeout: float = 600.0,
        deadline: float | None = None,
        max_attempts: int = 6,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        provider: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, object] | None = None,
        extra_query: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        addresses = Addresses(base_url, provider, extra_headers, extra_query)
        # Out of the reports that show local variables, as they may hold a password.
        del base_url, extra_headers, extra_query
        _check_positive(
            max_in_flight=max_in_flight,
            timeout=timeout,
            deadline=deadline,
            max_attempts=max_attempts,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self.model: str = model
        self.base_url: str = ""  # so that a report of the next line can show this
        self._endpoints = addresses.find(api_key_env, needs_key=needs_key)
        self.base_url = " ".join(sorted(endpoint.shown for endpoint, _ in self._endpoints))
        self._extra_body = dict(extra_body or {})
        self.max_in_flight = max_in_flight
        self.max_attempts = max_attempts
        self._meters = [
            (TokenBucket.per_minute(requests_per_minute), TokenBucket.per_minute(tokens_per_minute))
            for _ in self._endpoints
        ]
        self._dialects = [
            Dialect(endpoint.provider, extra_body, endpoint.shown, endpoint.alternatives)
            for endpoint, _ in self._endpoints
        ]
        self._client = Client(model, api_key_env, timeout, deadline, max_attempts, sleep)
        self._loops = EventLoops(self._pool)

    def __repr__(self) -> str:
        return f"OpenAIBackend({self.model!r}, base_url={self.base_url!r})"

    @property
    def identity(self) -> str:
        """Model and endpoints without credentials, and `extra_body` if there is one, for keys."""
        return identity_of(self.model, self.base_url, self._extra_body)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once; completions come as they finish.

        Requests are taken in the caller's thread, one at a time, when there is room for
        another and everything finished was yielded. Closing the generator cancels the rest.

        Raises:
            BackendError: The server refuses the key, the model or the address.
            BackendUnavailable: The server cannot be reached, and never could.

        Example:
            >>> list(OpenAIBackend("m", base_url="http://localhost:8000/v1").generate([]))
            []
        """
        with RequestStream(self._loops, self._client.complete) as stream:
            for request in requests:
                stream.send(request)
                yield from stream.completed(most=self.max_in_flight - 1)
            yield from stream.completed(most=0)

    def _pool(self) -> Pool:
        return Pool([self._route(number) for number in range(len(self._endpoints))])

    def _route(self, number: int) -> Route:
        (endpoint, weight), sleep = self._endpoints[number], self._client.sleep
        return Route(
            endpoint,
            weight,
            RateController(self.max_in_flight, *self._meters[number], sleep, endpoint.shown),
            CircuitBreaker(sleep, endpoint.shown),
            Connections(endpoint.url, endpoint.secret, self._client.timeout),
            self._dialects[number],
        )


def identity_of(model: str, base_url: str, extra_body: Mapping[str, object]) -> str:
    """What answers of a server depend on beside the request."""
    extra = f" {json.dumps(extra_body, sort_keys=True)}" if extra_body else ""
    return f"openai:{model} {base_url}{extra}"


def _check_positive(**numbers: float | None) -> None:
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise ConfigError(f"{name} must be above 0, not {number}")
