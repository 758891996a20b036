"""Where requests go: addresses with credentials, circuit breakers, and the choice among them."""

import asyncio
import logging
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import httpx2

from decompose_distill.backends.openai.connections import Connections
from decompose_distill.backends.openai.dialect import Dialect
from decompose_distill.backends.openai.providers import Provider, provider_at, provider_named
from decompose_distill.backends.openai.rate_control import RateController
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import RetryableError
from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError

FAILURES = 10
"""Failures in a row, with no answer between, that open the circuit."""
LONGEST_REST = 30.0
"""Seconds between two probes, at most; they begin with one and double."""
_log = logging.getLogger(__name__)


class CircuitBreaker:
    """Closed while a server answers; open while it rests; then half open for one probe.

    Args:
        sleep: Waits the given seconds.
        shown: The server's address, for the log.
    """

    def __init__(
        self, sleep: Callable[[float], Awaitable[None]], shown: str = "the server"
    ) -> None:
        self._sleep = sleep
        self._shown = shown
        self._failures = 0
        self._rests = 0
        self._resting: asyncio.Future[RetryableError | None] | None = None
        self._probe: asyncio.Future[RetryableError | None] | None = None

    @property
    def blocked(self) -> asyncio.Future[RetryableError | None] | None:
        """What must end before a request may go: the rest, or the probe, which says how it went."""
        for future in (self._resting, self._probe):
            if future and not future.done():
                return future
        return None

    def enter(self) -> bool:
        """Let a request go; tells whether it is the probe."""
        if not self._rests:
            return False
        self._probe = asyncio.get_running_loop().create_future()
        return True

    def answered(self) -> None:
        """Close: the server answers again."""
        if self._rests:
            _log.warning("%s answers again", self._shown)
        self._failures = self._rests = 0
        self._settle(None)

    def failed(self, later: RetryableError, *, probe: bool) -> None:
        """Count a failure; many in a row, or that of a probe, give the server a rest."""
        self._failures += 1
        if probe or (not self._rests and self._failures >= FAILURES):
            seconds = min(2.0**self._rests, LONGEST_REST)
            _log.warning("%s is left alone for %g s: %s", self._shown, seconds, later)
            self._rests += 1
            self._resting = asyncio.ensure_future(self._rest(seconds))
            self._settle(later)

    def abandoned(self) -> None:
        """A probe was cancelled: another request may be it."""
        self._settle(None)

    async def _rest(self, seconds: float) -> RetryableError | None:
        await self._sleep(seconds)
        return None

    def _settle(self, later: RetryableError | None) -> None:
        if self._probe and not self._probe.done():
            self._probe.set_result(later)


OFFICIAL = "https://api.openai.com/v1"
_VERSION = re.compile(r"/(?:v\d[\w.-]*|deployments)(?:/|$)")
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """An OpenAI-compatible server."""

    url: httpx2.URL
    """Base address without credentials."""
    shown: str
    """The same without its query, which may hold a key."""
    secret: Secret
    provider: Provider

    def at(self, path: str) -> httpx2.URL:
        """The address of a resource below the base address."""
        return self.url.copy_with(path=f"{self.url.path.rstrip('/')}/{path}")

    def resource(self, path: str) -> httpx2.URL:
        """The same where an address without a path stands for the one with its version."""
        return self.at(path if self.url.path.rstrip("/") else f"v1/{path}")

    @property
    def alternatives(self) -> list[httpx2.URL]:
        """Where completions may be: an address without a version may lack its `/v1`."""
        here, below = self.at("chat/completions"), self.at("v1/chat/completions")
        if _VERSION.search(self.url.path):
            return [here]
        return [here, below] if self.url.path.rstrip("/") else [below, here]


class Addresses:
    """Addresses as the user gave them: what may hold a password stays out of every variable.

    Args:
        base_url: One address, or several with their weights; by default that of the provider,
            else that of the environment.
        provider: Name of the provider; by default it is known by its host.
        headers: Sent with every request; their values are kept secret.
        query: Added to each address; its values are kept secret.
    """

    def __init__(
        self,
        base_url: str | Mapping[str, float] | None,
        provider: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        self._provider = provider_named(provider) if provider is not None else None
        self._headers, self._query = headers or _NOTHING, query or _NOTHING
        _check_texts("extra_headers", self._headers)
        _check_texts("extra_query", self._query)
        if base_url is None:
            own = self._provider.base_url if self._provider else ""
            base_url = own or os.environ.get("OPENAI_BASE_URL") or OFFICIAL
        self._weights = {base_url: 1.0} if isinstance(base_url, str) else dict(base_url)

    def find(self, api_key_env: str, *, needs_key: bool = True) -> list[tuple[Endpoint, float]]:
        """The endpoints with their weights; credentials are those in an address, else the key.

        Args:
            api_key_env: Environment variable with the key.
            needs_key: Whether a missing key is an error; not for a forecast, which sends nothing.

        Raises:
            ConfigError: An address is malformed, or a weight is not above 0.
            BackendError: The key is missing or malformed; the message names the variable.
        """
        if not self._weights or not all(weight > 0 for weight in self._weights.values()):
            raise ConfigError("base_url must be an address, or map addresses to weights above 0")
        results = [self._endpoint(address, api_key_env, needs_key) for address in self._weights]
        for result in results:
            if isinstance(result, Exception):
                raise result
        endpoints = [result for result in results if isinstance(result, Endpoint)]
        return list(zip(endpoints, self._weights.values(), strict=True))

    def _endpoint(self, address: str, api_key_env: str, needs_key: bool) -> Endpoint | Exception:
        """Read an address; an error is returned, so that it shows no local variable of here."""
        url = _read(address)
        if url is None:
            shown = "" if "@" in address or "?" in address else f", not {address!r}"
            return ConfigError(f"base_url must be like 'http://localhost:8000/v1'{shown}")
        provider = self._provider or provider_at(url.host)
        if self._query:
            url = url.copy_merge_params(dict(self._query))
        secret = self._secret(url, os.environ.get(api_key_env, "").strip(), provider)
        if secret is None:
            return BackendError(
                f"the key in {api_key_env} holds characters no key has: set it again"
            )
        bare = url.copy_with(userinfo=b"")
        endpoint = Endpoint(bare, str(bare.copy_with(query=None)), secret, provider)
        theirs = provider.needs_key and provider is provider_at(url.host)
        if needs_key and theirs and not secret.headers:
            return BackendError(
                f"no key for {endpoint.shown}: set the environment variable {api_key_env}, "
                "or give base_url for a server of your own"
            )
        return endpoint

    def _secret(self, url: httpx2.URL, key: str, provider: Provider) -> Secret | None:
        """What is sent, and all that is not to be shown; `None` if the key cannot be sent."""
        hidden = {value for _, value in url.params.multi_items()} | {url.query.decode()}
        hidden |= {*self._headers.values()}
        sent: dict[str, str] = {}
        if url.userinfo:
            token = b64encode(f"{url.username}:{url.password}".encode()).decode()
            hidden |= {token, url.username, url.password, *url.userinfo.decode().split(":")}
            sent = {"Authorization": f"Basic {token}"}
        elif key:
            if not key.isascii() or not key.isprintable() or " " in key:
                return None
            hidden.add(key)
            bare = provider.key_header != "Authorization"
            sent = {provider.key_header: key if bare else f"Bearer {key}"}
        return Secret.hiding(sent | dict(self._headers), hidden)


def _read(address: str) -> httpx2.URL | None:
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL:
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    return url.copy_with(path=path, fragment=None)


def _check_texts(option: str, texts: Mapping[str, str]) -> None:
    for name, value in texts.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigError(f"{option} must map names to texts, which {name!r} does not")
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"{option}: {name!r} holds characters that cannot be sent")


@dataclass(slots=True, repr=False)
class Route:
    """A way to an endpoint, with what is learnt of it while it is used."""

    endpoint: Endpoint
    weight: float
    pace: RateController
    breaker: CircuitBreaker
    connections: Connections
    dialect: Dialect
    left: str = ""
    """Why it is asked no more in this run; empty while it is."""

    def leave(self, why: str) -> None:
        """Ask it no more."""
        if not self.left:
            _log.warning("%s is left out of this run: %s", self.endpoint.shown, why)
        self.left = why


class Pool:
    """The routes of one backend; closing it closes their connections."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    @property
    def routes(self) -> list[Route]:
        """Those that are still asked."""
        return [route for route in self._routes if not route.left]

    async def choose(self, last: Route | None) -> Route:
        """The route for an attempt, elsewhere than the last one if there is a choice.

        It is the one with the fewest requests for its weight, of those that have room now.

        Raises:
            RetryableError: All endpoints rest, and the probe of one failed.
            BackendUnavailable: None is left.
        """
        while True:
            if not self.routes:
                raise BackendUnavailable("; ".join(route.left for route in self._routes))
            able = [route for route in self.routes if not route.breaker.blocked]
            if able:
                return min(able, key=lambda route: (route is last, *_load(route)))
            blocked = {route.breaker.blocked for route in self.routes}
            ended, _ = await asyncio.wait(
                [future for future in blocked if future], return_when=asyncio.FIRST_COMPLETED
            )
            for failed in filter(None, (future.result() for future in ended)):
                raise RetryableError(
                    str(failed), unreachable=failed.unreachable
                ) from failed.__cause__

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for route in self._routes:
            await route.connections.close()


def _load(route: Route) -> tuple[bool, float]:
    return not route.pace.has_room, (route.pace.gate.load + 1) / route.weight
