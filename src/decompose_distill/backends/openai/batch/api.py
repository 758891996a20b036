"""OpenAI's files and batches over HTTP: upload, create, find, poll, download."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext
from typing import Any, TypeVar

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from decompose_distill.backends.openai.connections import LogFilter
from decompose_distill.backends.openai.endpoints import Endpoint
from decompose_distill.backends.openai.retry_after import requested_wait
from decompose_distill.backends.openai.server_errors import RetryableError, words
from decompose_distill.errors import BackendError

Found = TypeVar("Found")

PATH = "/v1/chat/completions"
"""What the requests of a batch are for, whatever the address of the server."""
ENDED = ("completed", "expired", "cancelled", "failed")
UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
ATTEMPTS = 6
"""Of one call, while the trouble may pass."""
POLL_ATTEMPTS = 60
"""Of asking for a status, an hour or so: a batch outlives an outage."""
TIMEOUT = 600.0
"""Seconds without a byte; a server reads a file of 200 MB before it answers."""
METADATA = "decompose_distill"
"""Name under which a batch carries its key."""
PAGE = 100
"""Batches listed at once, the most there are."""
LONGEST_WAIT = 600.0
"""Seconds between two attempts, even where the server asks for more."""
CLOCKS = 3600.0
"""Seconds by which two clocks may disagree."""
REPEATED = (408, 409, 425, 429)
"""Statuses, with those from 500 on, after which the same may succeed."""
_REFUSED = {
    401: "check the key",
    402: "check the credit of the account",
    403: "check that the key may use files, batches and the model",
    404: "check that this server has the batch interface (/files and /batches), and base_url",
    **dict.fromkeys((301, 302, 303, 307, 308), "set base_url to where it redirects"),
}
_NOTHING: Mapping[str, str] = {}
_backoff = wait_random_exponential(multiplier=1, max=60)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider shows it."""

    status: str
    done: int
    """Requests that were run or have failed."""
    total: int
    """Requests in it; 0 before its validation."""
    files: tuple[str, ...]
    """Where outputs and errors are, as far as there are any."""
    faults: str
    """Why it failed: line, code and message."""
    full: bool
    """Whether it failed as the account has too many tokens enqueued."""


class BatchApi:
    """The calls that batches need; use as a context manager.

    Raises:
        BackendError: The server refuses the key, the address or the call.
        BackendUnavailable: The server could not be reached for long.
    """

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None]) -> None:
        self.endpoint = endpoint
        self.sleep = sleep
        self._log = LogFilter(endpoint.secret)
        self._client = httpx2.Client(
            headers=dict(endpoint.secret.headers),
            timeout=httpx2.Timeout(TIMEOUT, connect=10),
            verify=_tls(),
        )

    def __enter__(self) -> "BatchApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._log.remove()

    def upload(self, content: bytes) -> str:
        """Send a file of requests; a copy that is sent twice costs nothing."""
        form = {"purpose": (None, b"batch"), "file": ("requests.jsonl", content)}
        return self._retrying(lambda: self._id("POST", "files", files=form))

    def create(self, file: str, key: str, since: float) -> str:
        """Have a file run as a batch; where the answer is lost, look before asking again."""
        order = {"input_file_id": file, "endpoint": PATH, "completion_window": "24h"}
        asked = False

        def attempt() -> str:
            nonlocal asked
            found = self._find(key, since) if asked else None
            asked = True
            made = order | {"metadata": {METADATA: key}}
            return found or self._id("POST", "batches", json=made)

        return self._retrying(attempt)

    def find(self, key: str, since: float) -> str | None:
        """Find the batch with a key among those created since a Unix time."""
        return self._retrying(lambda: self._find(key, since))

    def status(self, batch: str, gone: str) -> Batch:
        """Ask how a batch stands; `gone` says what to do where it is not known."""
        row = self._retrying(lambda: self._json("GET", f"batches/{batch}", gone), POLL_ATTEMPTS)
        return self._read(row)

    def lines(self, file: str, gone: str) -> Iterator[bytes]:
        """Download a file; `gone` says what to do where it is not known."""
        response = self._retrying(lambda: self._call("GET", f"files/{file}/content", gone))
        yield from io.BytesIO(response.content)  # ends lines at \n alone; texts hold other ends

    def _find(self, key: str, since: float) -> str | None:
        query = {"limit": str(PAGE)}
        while True:
            page = self._json("GET", "batches", query=query)
            rows = _objects(page.get("data"))
            for row in rows:
                if _object(row.get("metadata")).get(METADATA) == key:
                    return str(row.get("id"))
            old = any(_number(row.get("created_at"), since) < since - CLOCKS for row in rows)
            if old or not rows or not page.get("has_more"):
                return None
            query["after"] = str(rows[-1].get("id"))

    def _read(self, row: Mapping[str, Any]) -> Batch:
        status = str(row.get("status")).lower()
        if status not in (*ENDED, *UNDER_WAY):
            raise BackendError(f"{self.endpoint.shown} shows a batch of unknown status {status!r}")
        counts = _object(row.get("request_counts"))
        errors = _objects(_object(row.get("errors")).get("data"))
        files = (row.get("output_file_id"), row.get("error_file_id"))
        return Batch(
            status,
            sum(int(_number(counts.get(kind))) for kind in ("completed", "failed")),
            int(_number(counts.get("total"))),
            tuple(file for file in files if isinstance(file, str)),
            self.endpoint.secret.strike("; ".join(map(_fault, errors))),
            any(error.get("code") == "token_limit_exceeded" for error in errors),
        )

    def _id(self, method: str, path: str, **content: Any) -> str:
        found = self._json(method, path, **content).get("id")
        if not isinstance(found, str):
            raise BackendError(f"{method} {self.endpoint.shown}/{path} answered without an id")
        return found

    def _json(self, method: str, path: str, gone: str = "", **content: Any) -> dict[str, Any]:
        response = self._call(method, path, gone, **content)
        try:
            row = response.json()
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            found = words(response.content, self.endpoint.secret)
            raise BackendError(f"{method} {self.endpoint.shown}/{path} answered no JSON: {found}")
        return row

    def _call(
        self,
        method: str,
        path: str,
        gone: str = "",
        query: Mapping[str, str] = _NOTHING,
        **content: Any,
    ) -> httpx2.Response:
        what = f"{method} {self.endpoint.shown}/{path}"
        url = self.endpoint.at(path).copy_merge_params(query)
        try:
            response = self._client.request(method, url, **content)
        except httpx2.RequestError as error:
            cause = type(error)(str(error))  # without the frames, as these hold the key
        else:
            if response.is_success:
                return response
            raise self._refusal(what, response, gone)
        raise RetryableError(f"{what}: no answer ({type(cause).__name__}: {cause})") from cause

    def _refusal(self, what: str, response: httpx2.Response, gone: str) -> BackendError:
        status = response.status_code
        found = f"{what}: HTTP {status}: {words(response.content, self.endpoint.secret)}"
        no_credit = status == 429 and "insufficient_quota" in response.text
        if not no_credit and (status in REPEATED or status >= 500):
            return RetryableError(found, asked=requested_wait(status, response.headers))
        advice = gone if gone and status == 404 else _REFUSED.get(402 if no_credit else status)
        return BackendError(f"{found}: {advice}" if advice else found)

    def _retrying(self, call: Callable[[], Found], attempts: int = ATTEMPTS) -> Found:
        retrying = Retrying(
            sleep=self.sleep,
            stop=stop_after_attempt(attempts),
            wait=_wait,
            retry=retry_if_exception_type(RetryableError),
            reraise=True,
        )
        return retrying(call)


@cache
def _tls() -> SSLContext:
    return httpx2.create_ssl_context()  # some 50 ms: once a process, not once a run


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.asked if isinstance(error, RetryableError) else 0.0
    return min(asked, LONGEST_WAIT) or _backoff(state)


def _fault(error: Mapping[str, Any]) -> str:
    line = f"line {error['line']}: " if error.get("line") else ""
    return f"{line}{error.get('code')}: {error.get('message')}"


def _object(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _objects(found: Any) -> list[dict[str, Any]]:
    return [_object(each) for each in found] if isinstance(found, list) else []


def _number(found: Any, otherwise: float = 0) -> float:
    return found if isinstance(found, int | float) else otherwise
