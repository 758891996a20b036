"""OpenAI's files and batches over HTTP: upload, create, find, poll, download."""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ssl import SSLContext
from typing import IO, Any, TypeVar

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from decompose_distill.backends.openai.connections import MOST_BYTES, LogFilter, proxy_for
from decompose_distill.backends.openai.endpoints import Endpoint
from decompose_distill.backends.openai.server_errors import (
    ADVICE,
    RetryableError,
    parse,
    read_error,
)
from decompose_distill.errors import BackendError

Result = TypeVar("Result")

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
LAG = 900.0
"""Seconds after which a list of batches shows one that was created."""
_FIRST_LOOK, _LONGEST_LOOK = 5.0, 60.0
_MOST_PAGES = 1000
_MOST_FILE = 2**33
"""Bytes of a file of answers."""
_NAME = re.compile(r"[\w.:-]{1,200}")
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_ADVICE = ADVICE | {
    403: "check that the key may use files, batches and the model",
    404: "check that this server has the batch interface (/files and /batches), and base_url",
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

    Args:
        endpoint: The server.
        api_key_env: Environment variable with the key, for advice.
        sleep: Waits the given seconds.

    Raises:
        BackendError: The server refuses the key, the address or the call.
        BackendUnavailable: The server could not be reached for long.
    """

    def __init__(
        self, endpoint: Endpoint, api_key_env: str, sleep: Callable[[float], None]
    ) -> None:
        self.endpoint = endpoint
        self.api_key_env = api_key_env
        self.sleep = sleep
        proxy_for(endpoint.url)  # a malformed one, or one without its package, is our error
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
        order: dict[str, object] = {"input_file_id": file, "endpoint": PATH}
        order |= {"completion_window": "24h", "metadata": {METADATA: key}}
        headers = {"Idempotency-Key": key}
        lag: float | None = None

        def attempt() -> str:
            nonlocal lag
            if lag is not None and (batch := self._look(key, file, since, lag)):
                return batch
            try:
                return self._id("POST", "batches", json=order, headers=headers)
            except RetryableError as error:
                lag = LAG if error.billed else 0.0
                raise

        return self._retrying(attempt)

    def find(self, key: str, file: str, since: float, lag: float) -> str | None:
        """Find the batch of a key or a file among those created since a Unix time.

        Args:
            lag: Seconds in which the list may not show it yet, so that it is looked at again.
        """
        return self._retrying(lambda: self._look(key, file, since, lag))

    def status(self, batch: str, gone: str) -> Batch:
        """Ask how a batch stands; `gone` says what to do where it is not known."""
        row = self._retrying(lambda: self._json("GET", f"batches/{batch}", gone), POLL_ATTEMPTS)
        return self._read(row)

    def lines(self, file: str, gone: str) -> Iterator[bytes]:
        """Download a file; `gone` says what to do where it is not known."""
        with self._retrying(lambda: self._download(f"files/{file}/content", gone)) as content:
            yield from content  # ends lines at \n alone; texts hold other ends

    def _look(self, key: str, file: str, since: float, lag: float) -> str | None:
        wait = _FIRST_LOOK
        while True:
            batch = self._find(key, file, since)
            if batch or lag <= 0:
                return batch
            self.sleep(wait)
            lag -= wait
            wait = min(2 * wait, _LONGEST_LOOK)

    def _find(self, key: str, file: str, since: float) -> str | None:
        query = {"limit": str(PAGE)}
        for _ in range(_MOST_PAGES):
            page = self._json("GET", "batches", query=query)
            rows = _objects(page.get("data"))
            for row in rows:
                named = _object(row.get("metadata")).get(METADATA) == key
                if named or (file and row.get("input_file_id") == file):
                    return _name(row.get("id"))
            old = any(_number(row.get("created_at"), since) < since - CLOCKS for row in rows)
            if old or not rows or not page.get("has_more"):
                return None
            query["after"] = str(rows[-1].get("id"))
        return None

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
            tuple(filter(None, map(_name, files))),
            self.endpoint.secret.strike("; ".join(map(_fault, errors))),
            any(error.get("code") == "token_limit_exceeded" for error in errors),
        )

    def _id(self, method: str, path: str, **content: Any) -> str:
        name = _name(self._json(method, path, **content).get("id"))
        if name is None:
            what = f"{method} {self.endpoint.shown}/{path}"
            raise BackendError(f"{what} answered without an id that can be used")
        return name

    def _json(self, method: str, path: str, gone: str = "", **content: Any) -> dict[str, Any]:
        row = parse(self._call(method, path, gone, **content))
        if not isinstance(row, dict):
            words = self.endpoint.secret.strike(str(row)) or "(empty answer)"
            del row  # out of the reports that show local variables, as it may hold the key
            raise BackendError(f"{method} {self.endpoint.shown}/{path} answered no JSON: {words}")
        return row

    def _call(self, method: str, path: str, gone: str = "", **content: Any) -> bytes:
        with self._download(path, gone, method, MOST_BYTES, **content) as file:
            return file.read()

    def _download(
        self,
        path: str,
        gone: str,
        method: str = "GET",
        most: int = _MOST_FILE,
        query: Mapping[str, str] = _NOTHING,
        **content: Any,
    ) -> IO[bytes]:
        """What is answered to a call, in a file that is gone once it is closed."""
        what = f"{method} {self.endpoint.shown}/{path}"
        url = self.endpoint.resource(path).copy_merge_params(query)
        file = tempfile.SpooledTemporaryFile(max_size=2 * MOST_BYTES)  # noqa: SIM115
        try:
            with self._client.stream(method, url, **content) as response:
                _save(response, file, most, what)
            if response.is_success:
                return file
            error: BackendError = self._refusal(what, response, file.read(MOST_BYTES), gone)
        except httpx2.RequestError as lost:  # made anew, as its frames and words may hold the key
            cause = type(lost)(self.endpoint.secret.strike(str(lost)))
            words = f"{what}: no answer ({type(cause).__name__}: {cause})"
            error = RetryableError(words, billed=not isinstance(cause, _NOT_SENT))
            error.__cause__ = cause
        except BaseException:
            file.close()
            raise
        file.close()
        raise error

    def _refusal(
        self, what: str, response: httpx2.Response, answer: bytes, gone: str
    ) -> BackendError:
        status = response.status_code
        error = read_error(status, response.headers, parse(answer), self.endpoint.secret)
        words = f"{what}: HTTP {status}: {error.words}"
        if error.verdict in ("again", "later"):
            return RetryableError(words, wait=error.wait, billed=status >= 500)
        advice = _ADVICE.get(error.status, "").format(key=self.api_key_env)
        advice = gone if gone and status == 404 else advice
        return BackendError(f"{words}: {advice}" if advice else words)

    def _retrying(self, call: Callable[[], Result], attempts: int = ATTEMPTS) -> Result:
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
    wait = error.wait if isinstance(error, RetryableError) else 0.0
    return min(wait, LONGEST_WAIT) or _backoff(state)


def _save(response: httpx2.Response, file: IO[bytes], most: int, what: str) -> None:
    for chunk in response.iter_bytes():
        file.write(chunk)
        if file.tell() > most:
            raise BackendError(f"{what}: an answer of more than {most >> 20} MB")
    file.seek(0)


def _name(value: Any) -> str | None:
    """The name of a file or batch, which is shown, and written down; `None` for what is none."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _fault(error: Mapping[str, Any]) -> str:
    line = f"line {error['line']}: " if error.get("line") else ""
    return f"{line}{error.get('code')}: {error.get('message')}"


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [_object(row) for row in value] if isinstance(value, list) else []


def _number(value: Any, otherwise: float = 0) -> float:
    return value if isinstance(value, int | float) else otherwise
