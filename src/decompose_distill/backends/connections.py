"""Connections to one endpoint, each used by one request at a time.

They are kept here and not in a pool of httpx2's: that looks through all its connections for
each request, which took a third of the processor's time at 64 requests at once. And its client
logs whole addresses, which may hold a key in their query.
"""

import ssl
from collections.abc import Mapping
from urllib.request import getproxies, proxy_bypass

import httpx2

from decompose_distill.errors import ConfigError

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "User-Agent": "decompose-distill",
}
_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1)


class Connections:
    """What is open to an endpoint and idle.

    Args:
        url: Where requests go.
        headers: What is sent with each, credentials too.
        tls: How the server's certificate is checked.
    """

    def __init__(self, url: httpx2.URL, headers: Mapping[str, str], tls: ssl.SSLContext) -> None:
        self._url = url
        self._headers = {**_HEADERS, **headers}
        self._tls = tls
        self._proxy = _proxy(url)
        self._idle: list[httpx2.AsyncHTTPTransport] = []

    async def send(self, body: bytes, timeout: float) -> httpx2.Response:
        """Post a body and read the whole answer; `timeout` is that of connecting, at most 10 s.

        Raises:
            httpx2.RequestError: There was no answer, or not all of it.
        """
        limits = {"connect": min(timeout / 2, 10), "read": None, "write": None, "pool": None}
        request = httpx2.Request(
            "POST", self._url, headers=self._headers, content=body, extensions={"timeout": limits}
        )
        transport = self._idle.pop() if self._idle else self._open()
        try:
            response = await transport.handle_async_request(request)
            await response.aread()
        except BaseException:
            await transport.aclose()
            raise
        self._idle.append(transport)
        return response

    async def close(self) -> None:
        """Close what is idle."""
        for transport in self._idle:
            await transport.aclose()

    def _open(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(verify=self._tls, limits=_ONE, proxy=self._proxy)


def _proxy(url: httpx2.URL) -> httpx2.Proxy | None:
    """The proxy that the environment names for an address."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.netloc.decode()):
        return None
    try:
        return httpx2.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx2.InvalidURL):
        del address, proxies  # out of the reports that show local variables
    raise ConfigError("the proxy in the environment must be like 'http://localhost:3128'")
