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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from decompose_distill.backends.openai.backend import MAX_NEW_TOKENS, identity_of
from decompose_distill.backends.openai.batch.api import BatchApi
from decompose_distill.backends.openai.batch.scheduler import MOST_REQUESTS, BatchRun
from decompose_distill.backends.openai.batch.submissions import BatchRegister
from decompose_distill.backends.openai.dialect import Dialect
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
        needs_key: Whether a missing key is an error at once; not for a forecast.
        max_requests: Requests per batch; fewer where the account's queue is short.
        max_attempts: Times a request is submitted before it becomes an error.
        progress: Print what was submitted, and now and then how far it is, on stderr.
        provider: As for `OpenAIBackend`, like the three that follow.
        extra_headers: Sent with every call.
        extra_body: Fields for the body of every request.
        extra_query: Added to every address.
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
    max_new_tokens = MAX_NEW_TOKENS
    """Longest completion of a role without a `Sampling`."""

    def __init__(
        self,
        model: str,
        batches: str | Path,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        needs_key: bool = True,
        max_requests: int = MOST_REQUESTS,
        max_attempts: int = 3,
        progress: bool = True,
        provider: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, object] | None = None,
        extra_query: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        addresses = Addresses(base_url, provider, extra_headers, extra_query)
        # Out of the reports that show local variables, as they may hold a password.
        del base_url, extra_headers, extra_query
        if not 1 <= max_requests <= MOST_REQUESTS:
            raise ConfigError(f"max_requests must be 1 to {MOST_REQUESTS}, not {max_requests}")
        if max_attempts < 1:
            raise ConfigError(f"max_attempts must be 1 or more, not {max_attempts}")
        self.model: str = model
        self.base_url: str = ""  # so that a report of the next lines can show this
        self.batches: Path = Path(batches)
        self.max_requests = max_requests
        self.max_attempts = max_attempts
        [(self._endpoint, _)] = addresses.find(api_key_env, needs_key=needs_key)
        self.base_url = self._endpoint.shown
        self._api_key_env = api_key_env
        self._extra_body = dict(extra_body or {})
        self._dialect = Dialect(self._endpoint.provider, extra_body, self._endpoint.shown)
        self._progress = progress
        self._sleep = sleep

    def __repr__(self) -> str:
        where = f"{str(self.batches)!r}, base_url={self.base_url!r}"
        return f"OpenAIBatchBackend({self.model!r}, {where})"

    @property
    def identity(self) -> str:
        """That of the same backend without batches."""
        return identity_of(self.model, self.base_url, self._extra_body)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once; completions come batch by batch.

        Closing the generator leaves the batches running, to be awaited another time.

        Raises:
            BackendError: The server refuses the key or the file, a batch failed its validation,
                or one submitted before is not known to it.
            BackendUnavailable: The server could not be reached for long.
            DataError: The file of `batches` is malformed.
        """
        register = BatchRegister(self.batches)
        api = BatchApi(self._endpoint, self._api_key_env, self._sleep)
        with api, self._run(api, register) as run:
            for request in requests:
                run.take(request)
                yield from run.completed(most=MOST_BATCHES - 1)
            run.submit()
            yield from run.completed(most=0)

    def _run(self, api: BatchApi, register: BatchRegister) -> BatchRun:
        return BatchRun(
            api,
            self.model,
            self._dialect,
            register,
            self.identity,
            max_requests=self.max_requests,
            max_attempts=self.max_attempts,
            show=self._progress,
        )
