"""The lines of a batch's files: a request out, what became of it in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
    """One line of an output or error file; `None` where it is not one.

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
