"""Where requests go: addresses with their credentials, and the choice among several."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import httpx2

from decompose_distill.backends.breaker import Breaker
from decompose_distill.backends.connections import Connections
from decompose_distill.backends.pacing import Pace
from decompose_distill.backends.wire import Later, Secret
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


def find_endpoints(
    base_url: str | Mapping[str, float] | None, api_key_env: str
) -> list[tuple[Endpoint, float]]:
    """Read addresses and look up their credentials: those in an address, else the key.

    Args:
        base_url: One address, or several with their weights.
        api_key_env: Environment variable with the key.

    Raises:
        ConfigError: An address is malformed, or a weight is not above 0.
        BackendError: The key is missing or malformed; the message names the variable.
    """
    if base_url is None:
        base_url = os.environ.get("OPENAI_BASE_URL") or OFFICIAL
    weights = {base_url: 1.0} if isinstance(base_url, str) else base_url
    if not weights or not all(weight > 0 for weight in weights.values()):
        raise ConfigError("base_url must be an address, or map addresses to weights above 0")
    return [(find_endpoint(each, api_key_env), weight) for each, weight in weights.items()]


def find_endpoint(address: str, api_key_env: str) -> Endpoint:
    """Read one address and look up its credentials; raises as `find_endpoints` does."""
    url = _parse_url(address)
    bare = url.copy_with(userinfo=b"")
    endpoint = Endpoint(bare, str(bare.copy_with(query=None)), _secret(url, api_key_env))
    if endpoint.official and not endpoint.secret.headers:
        raise BackendError(
            f"no key for {endpoint.shown}: set the environment variable {api_key_env}, "
            "or give base_url for a server of your own"
        )
    return endpoint


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


def _secret(url: httpx2.URL, api_key_env: str) -> Secret:
    if url.userinfo:
        token = b64encode(f"{url.username}:{url.password}".encode()).decode()
        return Secret({"Authorization": f"Basic {token}"}, (token, url.password))
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        return Secret()
    if not key.isascii() or not key.isprintable() or " " in key:
        del key  # out of the reports that show local variables
        raise BackendError(f"the key in {api_key_env} holds characters no key has: set it again")
    return Secret({"Authorization": f"Bearer {key}"}, (key,))


@dataclass(frozen=True, slots=True, repr=False)
class Route:
    """A way to an endpoint, with what is learnt of it while it is used."""

    endpoint: Endpoint
    weight: float
    pace: Pace
    breaker: Breaker
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
                raise Later(str(failed), unreachable=failed.unreachable) from failed.__cause__

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for route in self._routes:
            await route.connections.close()


def _load(route: Route) -> tuple[bool, float]:
    return not route.pace.has_room, (route.pace.gate.load + 1) / route.weight
