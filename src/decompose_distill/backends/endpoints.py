"""Where requests go: an address, its credentials, and what of both may be shown."""

import os
from base64 import b64encode
from dataclasses import dataclass

import httpx2

from decompose_distill.backends.wire import Secret
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


def find_endpoint(base_url: str | None, api_key_env: str) -> Endpoint:
    """Read an address and look up its credentials: those in it, else the key.

    Raises:
        ConfigError: The address is malformed.
        BackendError: The key is missing or malformed; the message names the variable.
    """
    url = _parse_url(base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL)
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
