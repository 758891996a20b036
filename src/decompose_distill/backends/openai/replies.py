"""A server's reply, read as a completion."""

import json
from typing import Any

from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import words
from decompose_distill.types import Completion, Request, Usage

_UNKNOWN = Usage()


def decode(request: Request, answer: bytes, secret: Secret, source: str) -> Completion:
    """Read what `source` answered; what is no completion is an error that says what it was."""
    try:
        body = json.loads(answer)
        choice = body["choices"][0]
        text, reason = choice["message"].get("content"), choice["finish_reason"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return failed(request, f"{source} answered no chat completion: {words(answer, secret)}")
    usage = _usage(body.get("usage"))
    ended = f"finish_reason {secret.strike(repr(reason))}"
    if not isinstance(text, str):
        return failed(request, f"message.content is {type(text).__name__}, {ended}", usage)
    if reason not in ("stop", "length"):
        return failed(request, f"completion ended with {ended}", usage, text)
    return Completion(request.id, text.strip(), reason, usage)


def failed(request: Request, error: str, usage: Usage = _UNKNOWN, text: str = "") -> Completion:
    """The completion of a request that failed for good."""
    return Completion(request.id, text, "error", usage, error)


def _usage(found: Any) -> Usage:
    counts = found if isinstance(found, dict) else {}
    given = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(*(count if type(count) is int and count >= 0 else 0 for count in given))
