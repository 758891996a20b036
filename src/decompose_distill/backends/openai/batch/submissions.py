"""Batches as files: their lines, and which were submitted."""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2

from decompose_distill.backends.openai.batch.api import PATH
from decompose_distill.backends.openai.providers import Provider
from decompose_distill.backends.openai.replies import decode, failed
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import (
    RetryableError,
    ServerError,
    holds_error,
    read_error,
)
from decompose_distill.errors import DataError
from decompose_distill.storage.jsonl import decode_object, typed, writing
from decompose_distill.types import Completion, Request

EXPIRED, TIMED_OUT = "batch_expired", "request_timeout"
"""Codes of requests that were not run, and not to their end; both may be another time."""


@dataclass(frozen=True, slots=True)
class Again:
    """What became of a request that is worth another try."""

    words: str
    unanswered: bool = False
    """Whether it was run, and may be billed, without an answer."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What became of a request that the server does not take as it is written."""

    error: ServerError
    completion: Completion
    """The error that it is, if nothing can be learnt from the refusal."""


def encode_line(custom_id: str, body: Mapping[str, object]) -> bytes:
    """One request as a line of an input file.

    Example:
        >>> encode_line("a", {})
        b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\\n'
    """
    row = {"custom_id": custom_id, "method": "POST", "url": PATH, "body": body}
    return json.dumps(row).encode() + b"\n"


def read_line(line: bytes) -> dict[str, Any] | None:
    """One line of an output or error file; `None` if it is not one.

    Example:
        >>> read_line(b'{"custom_id": "a"}')["custom_id"]
        'a'
        >>> read_line(b'{"custom_id": ') is None
        True
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    named = isinstance(row, dict) and isinstance(row.get("custom_id"), str)
    return row if named else None


def outcome(
    request: Request, row: dict[str, Any], secret: Secret, source: str, provider: Provider
) -> Completion | Again | Refused:
    """What became of a request, by its line."""
    response = row.get("response")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return _answered(request, response, secret, source, provider)
    error = row.get("error")
    fields = error if isinstance(error, dict) else {"message": error}
    code, words = (
        fields.get("code"),
        secret.strike(f"{fields.get('code')}: {fields.get('message')}"),
    )
    if code in (EXPIRED, TIMED_OUT):
        return Again(words, unanswered=code == TIMED_OUT)
    return failed(request, f"{source}: {words}")


def _answered(
    request: Request, response: dict[str, Any], secret: Secret, source: str, provider: Provider
) -> Completion | Again | Refused:
    status, body = response["status_code"], response.get("body")
    if 200 <= status < 300 and not holds_error(body):
        try:
            return decode(request, body, secret, source, provider)
        except RetryableError as error:
            return Again(str(error), unanswered=True)
    refusal = read_error(status, httpx2.Headers(), body, secret)
    words = f"HTTP {status}: {refusal.words}"
    if refusal.verdict in ("again", "later"):
        return Again(words, unanswered=refusal.status >= 500 > status)
    return Refused(refusal, failed(request, f"{source}: {words}"))


@dataclass(frozen=True, slots=True)
class Submission:
    """One batch: what is in it, and the provider's name for it.

    Example:
        >>> Submission("openai:my-model", frozenset("ab")).batch is None  # not known to be created
        True
    """

    identity: str
    """Model and endpoint."""
    custom_ids: frozenset[str]
    """Its requests; read back, those that were not settled."""
    attempt: int = 1
    """How often its requests were submitted, with this time."""
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Sent as metadata, so that a batch whose id was lost is found again."""
    time: float = field(default_factory=time.time)
    """Unix time in seconds."""
    batch: str | None = None
    """The provider's id; `None` if its answer was never written."""
    ordered: float | None = None
    """Unix time when its creation was asked for; `None` if it was not."""
    file: str = ""
    """The provider's name of its file, if it is known."""


class BatchRegister:
    """An append-only file of submissions; each line is on the disk before the next step.

    Args:
        path: Created with its folder, or continued; a last line torn by a kill is cut.

    Raises:
        DataError: A line is malformed, or the file cannot be written; the message names file,
            line and field.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: dict[str, Submission] = {}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for number, line in enumerate(_whole_lines(path), start=1):
            self._read(line, f"{path}:{number}")

    def unsettled(self, identity: str) -> dict[str, Submission]:
        """The submission each `custom_id` is in, for one model and endpoint."""
        return {
            name: submission
            for submission in self._open.values()
            if submission.identity == identity
            for name in submission.custom_ids
        }

    def intend(self, submission: Submission) -> None:
        """Note what is about to be sent."""
        row = {"event": "intent", "key": submission.key, "time": submission.time}
        row |= {"identity": submission.identity, "attempt": submission.attempt, "ordered": False}
        self._append(row | {"custom_ids": sorted(submission.custom_ids)})

    def order(self, submission: Submission, file: str) -> Submission:
        """Note that its creation is about to be asked for."""
        ordered = time.time()
        self._append({"event": "ordered", "key": submission.key, "time": ordered, "file": file})
        return replace(submission, ordered=ordered, file=file)

    def created(self, submission: Submission, batch: str) -> Submission:
        """Note the provider's id."""
        self._append({"event": "created", "key": submission.key, "batch": batch})
        return replace(submission, batch=batch)

    def settle(self, submission: Submission, custom_ids: Set[str]) -> None:
        """Note that these requests have nothing more to get from this batch."""
        row: dict[str, object] = {"event": "settled", "key": submission.key}
        if custom_ids != submission.custom_ids:
            row["custom_ids"] = sorted(custom_ids)
        self._append(row)

    def _append(self, row: Mapping[str, object]) -> None:
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, line: bytes, where: str) -> None:
        row = decode_object(line, where)
        key = typed(row, "key", str, where)
        event = typed(row, "event", str, where)
        if event == "intent":
            self._open[key] = _submission(key, row, where)
        elif key not in self._open:
            raise DataError(f"{where}: field 'key' names no open intent: restore the lines before")
        elif event == "ordered":
            ordered, file = typed(row, "time", float, where), typed(row, "file", str, where)
            self._open[key] = replace(self._open[key], ordered=ordered, file=file)
        elif event == "created":
            self._open[key] = replace(self._open[key], batch=typed(row, "batch", str, where))
        elif event == "settled":
            names = _names(row, where) if "custom_ids" in row else self._open[key].custom_ids
            left = self._open[key].custom_ids - names
            self._open[key] = replace(self._open[key], custom_ids=left)
        else:
            words = "must be intent, ordered, created or settled"
            raise DataError(f"{where}: field 'event' {words}, not {event!r}")


def _whole_lines(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(whole)
                return
            whole += len(line)
            yield line


def _submission(key: str, row: Mapping[str, Any], where: str) -> Submission:
    identity, attempt = typed(row, "identity", str, where), typed(row, "attempt", int, where)
    seconds = typed(row, "time", float, where)
    ordered = None if row.get("ordered") is False else seconds
    return Submission(identity, _names(row, where), attempt, key, seconds, ordered=ordered)


def _names(row: Mapping[str, Any], where: str) -> frozenset[str]:
    names = typed(row, "custom_ids", list, where)
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: field 'custom_ids' must be a list of strings")
    return frozenset(names)
