"""OpenAI's batch interface as a backend: half the price, within 24 hours.

| A request that                                       | becomes                              |
|------------------------------------------------------|--------------------------------------|
| was answered                                         | the completion                       |
| expired, timed out, met 408, 409, 425, 429 or 5xx    | submitted again, at last an error    |
| was refused, cancelled or has no readable line       | `finish="error"`, saying what it was |
| is in a batch too large for the account's queue      | submitted again once there is room   |
| is in a batch that failed its validation             | `BackendError`, naming the line      |
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from decompose_distill.backends.openai.batch.api import BatchApi
from decompose_distill.backends.openai.batch.scheduler import MOST_REQUESTS, BatchRun
from decompose_distill.backends.openai.batch.submissions import BatchRegister
from decompose_distill.backends.openai.dialect import encode
from decompose_distill.backends.openai.endpoints import Addresses
from decompose_distill.errors import ConfigError
from decompose_distill.types import Completion, Request

MOST_BATCHES = 8
"""Batches under way at once; more requests are taken once one has ended."""


class OpenAIBatchBackend:
    """Completes chats through OpenAI's batch interface, or that of a server which has the same.

    It takes all requests there are, up to `max_requests`, before it submits the first batch,
    so a pipeline over it runs one batch of decompositions and then one of solutions. What was
    submitted is kept in a file: run again after a kill or Ctrl-C, the same requests await
    their batch and are not paid twice.

    Args:
        model: The model's name on the server.
        batches: File of what was submitted, such as `traces.jsonl.batches` beside the traces; one
            process at a time.
        base_url: As for `OpenAIBackend`; the `identity` is the same too.
        api_key_env: Environment variable with the key.
        max_requests: Requests a batch; fewer where the account's queue is short.
        max_attempts: Times a request is submitted before it becomes an error.
        progress: Print what was submitted, and now and then how far it is, on stderr.
        sleep: Waits the given seconds between two looks; tests pass their own.

    Raises:
        ConfigError: An argument is wrong; the message names it.
        BackendError: The key is missing or malformed; the message names the variable.

    Example:
        >>> url = "http://localhost:8000/v1"
        >>> OpenAIBatchBackend("my-model", "traces.jsonl.batches", base_url=url).identity
        'openai:my-model http://localhost:8000/v1'
    """

    batch = True
    """Takes the batch price."""

    def __init__(
        self,
        model: str,
        batches: str | Path,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        max_requests: int = MOST_REQUESTS,
        max_attempts: int = 3,
        progress: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        addresses = Addresses(base_url)
        del base_url  # out of the reports that show local variables, as it may hold a password
        if not 1 <= max_requests <= MOST_REQUESTS:
            raise ConfigError(f"max_requests must be 1 to {MOST_REQUESTS}, not {max_requests}")
        if max_attempts < 1:
            raise ConfigError(f"max_attempts must be 1 or more, not {max_attempts}")
        self.model, self.base_url = model, ""  # so that a report of the next lines can show this
        self.batches = Path(batches)
        self.max_requests = max_requests
        self.max_attempts = max_attempts
        [(self._endpoint, _)] = addresses.find(api_key_env)
        self.base_url = self._endpoint.shown
        self._progress = progress
        self._sleep = sleep

    def __repr__(self) -> str:
        where = f"{str(self.batches)!r}, base_url={self.base_url!r}"
        return f"OpenAIBatchBackend({self.model!r}, {where})"

    @property
    def identity(self) -> str:
        """Model and endpoint without credentials, for keys."""
        return f"openai:{self.model} {self.base_url}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once; completions come batch by batch.

        Closing the generator leaves the batches running, to be awaited another time.

        Raises:
            BackendError: The server refuses the key or the file, a batch failed its validation,
                or one submitted before is not known to it.
            BackendUnavailable: The server could not be reached for long.
            DataError: The file of `batches` is malformed.
        """
        kept, official = BatchRegister(self.batches), self._endpoint.official
        with BatchApi(self._endpoint, self._sleep) as api, self._run(api, kept) as run:
            for request in requests:
                run.take(request, encode(self.model, request, official=official))
                yield from run.landed(leave=MOST_BATCHES - 1)
            run.submit()
            yield from run.landed(leave=0)

    def _run(self, api: BatchApi, kept: BatchRegister) -> BatchRun:
        return BatchRun(
            api,
            kept,
            self.identity,
            max_requests=self.max_requests,
            max_attempts=self.max_attempts,
            show=self._progress,
        )
