"""Connections to one endpoint, each used by one request at a time.

They are kept here, not in a pool of httpx2's: that looks through all its connections for each
request, and with its client takes more processor time than all else that becomes of a request.
And the client logs whole addresses, which may hold a key in their query.
"""

import logging
import ssl
import zlib
from collections.abc import AsyncIterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.errors import ConfigError, MissingExtraError

NOT_SENT = (
    httpcore2.ConnectError,
    httpcore2.ConnectTimeout,
    httpcore2.LocalProtocolError,
    httpcore2.ProxyError,
)
"""What is raised before a server has seen anything of a request."""
TROUBLE = (
    *NOT_SENT,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.TimeoutException,
)
"""What is raised in place of an answer."""
_LOGGERS = ("httpx2", *(f"httpcore2.{name}" for name in ("connection", "http11", "proxy", "socks")))
MOST_BYTES = 32 * 2**20
"""Of one answer, also when unpacked: far above any completion, far below the memory there is."""
_IDLE_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "decompose-distill",
}


class TooMuch(Exception):
    """An answer that is longer than any completion, or packed in a way that is not known."""


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a server answered."""

    status: int
    headers: httpx2.Headers
    content: bytes


class Connections:
    """What is open to an endpoint and idle.

    Args:
        url: Where requests go.
        secret: The credentials sent with each.
        timeout: Seconds for one attempt; connecting may take half of it, and at most ten.

    Raises:
        ConfigError: The environment names a malformed proxy.
    """

    def __init__(self, url: httpx2.URL, secret: Secret, timeout: float) -> None:
        self._origin = httpcore2.Origin(url.raw_scheme, url.raw_host, _port(url))
        sent = httpx2.Headers({"Host": url.netloc.decode(), **_HEADERS})
        sent.update(secret.headers)
        self._headers = sent.raw
        self._timeout = {"connect": min(timeout / 2, _CONNECT_SECONDS)}
        self._tls = _tls() if url.scheme == "https" else None
        self._proxy = proxy_for(url)
        self._idle: list[_Connection] = []
        self._log = LogFilter(secret)

    async def post(self, url: httpx2.URL, body: bytes) -> Answer:
        """Post a body and read the whole answer; raises `TROUBLE` if there is none.

        Raises:
            TooMuch: The answer has no end, or cannot be unpacked.
        """
        length = (b"Content-Length", str(len(body)).encode())
        request = httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=[*self._headers, length],
            content=body,
            extensions={"timeout": self._timeout},
        )
        connection = await self._take()
        try:
            response = await connection.handle_async_request(request)
            headers = httpx2.Headers(response.headers)
            packed = headers.get("content-encoding", "")
            assert isinstance(response.stream, AsyncIterable)
            content = await _read(response.stream, packed)
            await response.aclose()
        except BaseException:
            await connection.aclose()
            raise
        self._idle.append(connection)
        return Answer(response.status, headers, content)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().aclose()
        self._log.remove()

    async def _take(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if not isinstance(connection, httpcore2.AsyncHTTPConnection):
                return connection  # a proxy's looks after itself
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        return self._open()

    def _open(self) -> "_Connection":
        if self._proxy is None:
            return httpcore2.AsyncHTTPConnection(
                self._origin, ssl_context=self._tls, keepalive_expiry=_IDLE_SECONDS
            )
        socks = self._proxy.url.scheme.startswith("socks5")
        kind = httpcore2.AsyncSOCKSProxy if socks else httpcore2.AsyncHTTPProxy
        return kind(
            proxy_url=str(self._proxy.url),
            proxy_auth=self._proxy.raw_auth,
            ssl_context=self._tls,
            max_connections=1,
            keepalive_expiry=_IDLE_SECONDS,
        )


class LogFilter(logging.Filter):
    """Strikes secrets from what the HTTP library logs, until it is removed.

    It logs addresses, which may hold a key in their query, and an answer's headers, which may
    repeat one.
    """

    def __init__(self, secret: Secret) -> None:
        super().__init__()
        self._secret = secret
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def remove(self) -> None:
        """Leave the loggers as they were."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._secret.hide(record.getMessage()), ()
        return True


_Connection = httpcore2.AsyncHTTPConnection | httpcore2.AsyncHTTPProxy | httpcore2.AsyncSOCKSProxy


async def _read(chunks: AsyncIterable[bytes], packed: str) -> bytes:
    """The whole body, unpacked piece by piece, so that a small one cannot become a huge one."""
    names = [name for name in packed.lower().replace(" ", "").split(",") if name != "identity"]
    if len(names) > 2 or not {*names} <= {"", "gzip", "x-gzip", "deflate"}:
        raise TooMuch("an answer packed in a way that was not asked for")
    unpackers = [zlib.decompressobj(zlib.MAX_WBITS | 32) for name in reversed(names) if name]
    content = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        for unpacker in unpackers:
            try:
                chunk = unpacker.decompress(chunk, MOST_BYTES)
            except zlib.error:
                raise TooMuch("an answer that cannot be unpacked") from None
            if unpacker.unconsumed_tail:
                raise TooMuch(f"an answer of more than {MOST_BYTES >> 20} MB")
        content += chunk
        if max(len(content), received) > MOST_BYTES:
            raise TooMuch(f"an answer of more than {MOST_BYTES >> 20} MB")
    return bytes(content)


def _port(url: httpx2.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


@cache
def _tls() -> ssl.SSLContext:
    return httpx2.create_ssl_context()  # some 50 ms: once a process, not once a run


def proxy_for(url: httpx2.URL) -> httpx2.Proxy | None:
    """The proxy that the environment names for an address."""
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or proxy_bypass(url.netloc.decode()):
        return None
    try:
        proxy = httpx2.Proxy(address if "://" in address else f"http://{address}")
    except (ValueError, httpx2.InvalidURL):
        proxy = None
    del address, proxies  # out of the reports that show local variables
    if proxy is None:
        raise ConfigError("the proxy in the environment must be like 'http://localhost:3128'")
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise MissingExtraError(
            "the environment names a SOCKS proxy, which needs a package: pip install socksio"
        )
    return proxy
