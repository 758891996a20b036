"""Where requests go: addresses with their credentials, and the choice among several."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import httpx2

from decompose_distill.backends.openai.circuit_breaker import CircuitBreaker
from decompose_distill.backends.openai.connections import Connections
from decompose_distill.backends.openai.rate_control import RateController
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import RetryableError
from decompose_distill.errors import BackendError, ConfigError

OFFICIAL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """An OpenAI-compatible server."""

    url: httpx2.URL
    """Base address without credentials."""
    shown: str
    """The same without its query, which may hold a key."""
    secret: Secret

    @property
    def official(self) -> bool:
        """Whether this is OpenAI's own, which needs a key and has newer names."""
        return self.url.host == httpx2.URL(OFFICIAL).host

    def at(self, path: str) -> httpx2.URL:
        """The address of a resource below the base address."""
        return self.url.copy_with(path=f"{self.url.path}/{path}")


class Addresses:
    """Addresses as the user gave them: what may hold a password stays out of every variable.

    Args:
        base_url: One address, or several with their weights; by default that of the environment.
    """

    def __init__(self, base_url: str | Mapping[str, float] | None) -> None:
        if base_url is None:
            base_url = os.environ.get("OPENAI_BASE_URL") or OFFICIAL
        self._weights = {base_url: 1.0} if isinstance(base_url, str) else dict(base_url)

    def find(self, api_key_env: str) -> list[tuple[Endpoint, float]]:
        """The endpoints with their weights; credentials are those in an address, else the key.

        Raises:
            ConfigError: An address is malformed, or a weight is not above 0.
            BackendError: The key is missing or malformed; the message names the variable.
        """
        if not self._weights or not all(weight > 0 for weight in self._weights.values()):
            raise ConfigError("base_url must be an address, or map addresses to weights above 0")
        found = [_find(address, api_key_env) for address in self._weights]
        for each in found:
            if isinstance(each, Exception):
                raise each
        endpoints = [each for each in found if isinstance(each, Endpoint)]
        return list(zip(endpoints, self._weights.values(), strict=True))


def _find(address: str, api_key_env: str) -> Endpoint | Exception:
    """Read an address; an error is returned, so that it shows no local variable of here."""
    url = _read(address)
    if url is None:
        shown = "" if "@" in address or "?" in address else f", not {address!r}"
        return ConfigError(f"base_url must be like 'http://localhost:8000/v1'{shown}")
    secret = _secret(url, os.environ.get(api_key_env, "").strip())
    if secret is None:
        return BackendError(f"the key in {api_key_env} holds characters no key has: set it again")
    bare = url.copy_with(userinfo=b"")
    endpoint = Endpoint(bare, str(bare.copy_with(query=None)), secret)
    if endpoint.official and not secret.headers:
        return BackendError(
            f"no key for {endpoint.shown}: set the environment variable {api_key_env}, "
            "or give base_url for a server of your own"
        )
    return endpoint


def _read(address: str) -> httpx2.URL | None:
    try:
        url = httpx2.URL(address)
    except httpx2.InvalidURL:
        return None
    if url.scheme not in ("http", "https") or not url.host:
        return None
    path = url.path.rstrip("/").removesuffix("/chat/completions")
    return url.copy_with(path=path, fragment=None)


def _secret(url: httpx2.URL, key: str) -> Secret | None:
    """What is sent, and all that is not to be shown; `None` where the key cannot be sent."""
    hidden = {value for _, value in url.params.multi_items()} | {url.query.decode()}
    if url.userinfo:
        token = b64encode(f"{url.username}:{url.password}".encode()).decode()
        hidden |= {token, url.username, url.password, *url.userinfo.decode().split(":")}
        return _hiding({"Authorization": f"Basic {token}"}, hidden)
    if not key:
        return _hiding({}, hidden)
    if not key.isascii() or not key.isprintable() or " " in key:
        return None
    return _hiding({"Authorization": f"Bearer {key}"}, {key, *hidden})


def _hiding(headers: dict[str, str], hidden: set[str]) -> Secret:
    return Secret(headers, tuple(sorted(hidden, key=len, reverse=True)))  # parts after the whole


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """A way to an endpoint, with what is learnt of it while it is used."""

    endpoint: Endpoint
    weight: float
    pace: RateController
    breaker: CircuitBreaker
    connections: Connections


class Pool:
    """The routes of one backend; closing it closes their connections."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    async def choose(self, last: Route | None) -> Route:
        """The route for an attempt, elsewhere than the last one where there is a choice.

        It is the one with the fewest requests for its weight, of those that have room now.

        Raises:
            Later: All endpoints rest, and the probe of one failed.
        """
        while True:
            able = [each for each in self._routes if not each.breaker.blocked]
            if able:
                return min(able, key=lambda each: (each is last, *_load(each)))
            blocked = {each.breaker.blocked for each in self._routes}
            ended, _ = await asyncio.wait(
                [each for each in blocked if each], return_when=asyncio.FIRST_COMPLETED
            )
            for failed in filter(None, (each.result() for each in ended)):
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
