"""The lines of a batch's files: a request out, what became of it in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decompose_distill.backends.openai.batch.api import PATH, REPEATED
from decompose_distill.backends.openai.replies import decode, failed
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import words
from decompose_distill.types import Completion, Request

EXPIRED, TIMED_OUT = "batch_expired", "request_timeout"
"""Codes of requests that were not run, and not to their end; both may be another time."""


@dataclass(frozen=True, slots=True)
class Again:
    """What became of a request that is worth another try."""

    found: str
    unanswered: bool = False
    """Whether it was run, and may be billed, without an answer."""


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
    request: Request, row: dict[str, Any], secret: Secret, source: str
) -> Completion | Again:
    """What became of a request, by its line."""
    response = row.get("response")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return _answered(request, response, secret, source)
    error = row.get("error")
    given = error if isinstance(error, dict) else {"message": error}
    code, found = given.get("code"), secret.strike(f"{given.get('code')}: {given.get('message')}")
    if code in (EXPIRED, TIMED_OUT):
        return Again(found, unanswered=code == TIMED_OUT)
    return failed(request, f"{source}: {found}")


def _answered(
    request: Request, response: dict[str, Any], secret: Secret, source: str
) -> Completion | Again:
    status = response["status_code"]
    answer = json.dumps(response.get("body")).encode()
    if 200 <= status < 300:
        return decode(request, answer, secret, source)
    found = f"HTTP {status}: {words(answer, secret)}"
    if (status in REPEATED or status >= 500) and b"insufficient_quota" not in answer:
        return Again(found)
    return failed(request, f"{source}: {found}")
