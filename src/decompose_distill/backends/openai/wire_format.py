"""What goes over the wire: a request's body out, a completion or the server's words in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from decompose_distill.errors import BackendUnavailable
from decompose_distill.types import Completion, Request, Usage

_UNKNOWN = Usage()


class RetryableError(BackendUnavailable):
    """An attempt that failed and may be repeated, after the seconds the server asks for."""

    def __init__(
        self, message: str, *, asked: float = 0.0, unreachable: bool = False, broken: bool = False
    ) -> None:
        super().__init__(message)
        self.asked = asked
        self.unreachable = unreachable
        self.broken = broken
        """Whether it speaks against the server's health."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Credentials as sent, and what of them must never be shown."""

    headers: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    def hide(self, text: str) -> str:
        """Put stars in place of every secret."""
        for secret in self.hidden:
            if len(secret) > 5:  # "x" and "EMPTY" stand for no key
                text = text.replace(secret, "***")
        return text

    def strike(self, text: str) -> str:
        """Make a foreign text fit to be shown: no secret, one line, at most 300 characters."""
        return " ".join(self.hide(text).split())[:300]


def encode(model: str, request: Request, *, official: bool) -> dict[str, object]:
    """The body of a request; the official endpoint has a newer name for the token limit."""
    sampling = request.sampling
    return {
        "model": model,
        "messages": [{"role": each.role, "content": each.content} for each in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_completion_tokens" if official else "max_tokens": sampling.max_new_tokens,
        "seed": sampling.seed,
    }


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


def words(answer: bytes, secret: Secret) -> str:
    """What the server says of an error, short."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = answer.decode(errors="replace")
    for name in ("error", "detail", "message"):
        found = found.get(name, found) if isinstance(found, dict) else found
    return secret.strike(str(found)) or "(empty answer)"


def _usage(found: Any) -> Usage:
    counts = found if isinstance(found, dict) else {}
    given = (counts.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return Usage(*(count if type(count) is int and count >= 0 else 0 for count in given))
