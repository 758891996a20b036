"""What a server says of a request that it did not complete, and what follows from it.

One table for all providers, and for both interfaces. The body of an error may be an object or a
list, flat or nested, and may come with status 200: then it is what its code or its words say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2

from decompose_distill.backends.openai.retry_after import (
    LONGEST_WAIT,
    requested_wait,
    wait_in_body,
    wait_in_words,
)
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.errors import BackendUnavailable

Verdict = Literal["again", "later", "end", "item"]

ADVICE = {
    401: "check the key in {key}",
    402: "check the credit of the account behind {key}",
    403: "check that the key in {key} may use model {model}",
    404: "check the model name {model}, and check base_url (most end in /v1)",
    405: "check base_url (most end in /v1)",
    **dict.fromkeys((301, 302, 303, 307, 308), "set base_url to where it redirects"),
}
"""What to do about the statuses after which every request would fail."""
AGAIN = (408, 409, 424, 425, 429, 498)
"""Statuses, with those from 500 on, after which the same request may succeed."""

_STATUS_OF = {
    "insufficient_quota": 402,
    "insufficient_credits": 402,
    "insufficient_balance": 402,
    "exceeded_current_quota_error": 402,
    "arrearage": 402,
    "billing_error": 402,
    "billing_hard_limit_reached": 402,
    "api_key_invalid": 401,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "timeout": 408,
    "request_timeout": 408,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "too_many_requests": 429,
    "toomanyrequests": 429,
    "resource_exhausted": 429,
    "throttling_error": 429,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "server_error": 500,
    "api_error": 500,
    "upstream_error": 502,
    "bad_gateway": 502,
    "unavailable": 503,
    "service_unavailable": 503,
    "overloaded": 529,
    "overloaded_error": 529,
    "engine_overloaded": 529,
    "timeout_error": 504,
    "deadline_exceeded": 504,
}
"""What the types and codes of providers mean, where they differ from the status beside them."""
_FOR_GOOD = (401, 402)
"""Statuses that a code means whatever the status beside it: of a 429 or 400 that stays."""
_NO_CREDIT = re.compile(
    r"insufficient[ _](?:quota|credits?|balance|funds)|billing[ _](?:hard[ _])?limit"
    r"|credit balance is too low|(?:out of|no|not enough) credits?\b|payment required",
    re.IGNORECASE,
)
_OVER_QUOTA = re.compile(r"exceeded your current quota", re.IGNORECASE)
_LONG_QUOTA = re.compile(
    r"\b(?:per|each|every)[ -](?:hour|day|week|month)|\b(?:hourly|daily|weekly|monthly)\b"
    r"|\b(?:today|tomorrow|midnight)\b|\b[rt]p[dw]\b",
    re.IGNORECASE,
)
_SHORT_QUOTA = re.compile(r"\bper[ -](?:second|minute)|\b[rt]pm\b", re.IGNORECASE)
_ENDLESS_QUOTA = re.compile(r"Per(?:Day|Week|Month)|\blimit: 0\b")
"""Of a quota that does not come back soon, however short the wait beside it."""
_TEXTS = ("error", "detail", "message", "msg", "raw")
"""Where the words of an error stand, or an error within it."""
_PASSING: tuple[tuple[int, re.Pattern[str]], ...] = (
    (429, re.compile(r"rate.?limit|too many requests|throttl", re.IGNORECASE)),
    (503, re.compile(r"overload|unavailable|at capacity|timed? ?out|try again", re.IGNORECASE)),
    (502, re.compile(r"upstream|bad gateway|internal (?:server )?error", re.IGNORECASE)),
)


class RetryableError(BackendUnavailable):
    """An attempt that failed and may be repeated, after the seconds the server asks for."""

    def __init__(
        self,
        message: str,
        *,
        wait: float = 0.0,
        alone: bool = False,
        unreachable: bool = False,
        broken: bool = False,
        billed: bool = False,
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.alone = alone
        """Whether the wait is for this request, and not for all of that server."""
        self.unreachable = unreachable
        self.broken = broken
        """Whether it speaks against the server's health."""
        self.billed = billed
        """Whether it came with an answer, which may be billed."""


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error as a server reports it."""

    status: int
    """What it means, as an HTTP status, whatever the status line says; 0 if nothing tells."""
    words: str
    """What the server says, fit to be shown."""
    text: str = field(default="", repr=False)
    """The same in full, to look for names in."""
    fields: tuple[str, ...] = ()
    """Parameters that it names as such."""
    wait: float = 0.0
    """Seconds in which it wants no request, or 0."""
    lasts: bool = False
    """Whether a quota is used up that does not come back soon."""

    @property
    def verdict(self) -> Verdict:
        """Try again, end the run until later, end it for good, or fail this request alone."""
        if self.status in ADVICE:
            return "end"
        if self.status not in AGAIN and self.status < 500:
            return "item"
        return "later" if self.wait > LONGEST_WAIT or self.lasts else "again"


def parse(content: bytes) -> Any:
    """The JSON of a body, or its text if it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode(errors="replace")


def read_error(status: int, headers: httpx2.Headers, body: Any, secret: Secret) -> ServerError:
    """Read the error that a body holds, or is."""
    rows = list(_objects(body))
    text = _message(rows) or (str(body) if body else "")
    wait = requested_wait(status, headers) or wait_in_body(rows) or wait_in_words(text)
    everything = f"{text} {body}"[:10_000]
    meaning = _meaning(status, [code for row in rows for code in _codes(row)], text, wait)
    if meaning == 403 and "flagged" in everything:
        meaning = 400  # a moderation refused this text, not the key
    return ServerError(
        meaning,
        secret.strike(text) or "(empty answer)",
        secret.hide(text)[:10_000],
        tuple(name for row in rows for name in _fields(row)),
        wait,
        meaning == 429 and _lasts(everything, wait),
    )


def holds_error(body: Any) -> bool:
    """Whether the body of an answer with status 200 is an error, or holds one.

    Example:
        >>> holds_error({"error": {"code": 429, "message": "slow down"}})
        True
        >>> holds_error({"choices": [{"message": {"content": "Hi!"}}], "error": None})
        False
    """
    if isinstance(body, list):
        return any(holds_error(row) for row in body[:1])
    if not isinstance(body, dict):
        return False
    if body.get("error") or body.get("errors"):
        return True
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        return isinstance(choices[0], dict) and bool(choices[0].get("error"))
    marks = ("message", "detail", "code")
    return "error" in (body.get("object"), body.get("type")) or any(body.get(m) for m in marks)


def words(answer: bytes, secret: Secret) -> str:
    """What the server says of an error, short."""
    body = parse(answer)
    text = _message(list(_objects(body))) or ("" if body == "" else str(body))
    return secret.strike(text) or "(empty answer)"


def _objects(body: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """The objects that an error consists of, the innermost last."""
    body = _unpacked(body)
    if isinstance(body, list):
        for row in body[:8]:
            yield from _objects(row, depth + 1)
    if not isinstance(body, dict) or depth > 6:
        return
    yield body
    choices = body.get("choices")
    if isinstance(choices, list):
        yield from _objects([row.get("error") for row in choices[:1] if isinstance(row, dict)])
    for name in (*_TEXTS, "errors", "details", "metadata"):
        yield from _objects(body.get(name), depth + 1)


def _unpacked(value: Any) -> Any:
    """What a text holds that is JSON itself, as gateways pass it on."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return parse(value.encode("utf-8", "surrogatepass"))
    return value


def _message(rows: list[Mapping[str, Any]]) -> str:
    """All that it says, from the outside in."""
    texts = (row[name] for row in rows for name in _TEXTS if isinstance(row.get(name), str))
    return ": ".join(dict.fromkeys(text for text in texts if isinstance(_unpacked(text), str)))


def _codes(row: Mapping[str, Any]) -> Iterator[int | str]:
    for name in ("code", "status", "type", "reason", "error_type", "status_code", "statusCode"):
        value = row.get(name)
        if isinstance(value, str):
            yield int(value) if value.isdecimal() and len(value) == 3 else value.lower()
        elif isinstance(value, int) and not isinstance(value, bool):
            yield value


def _meaning(status: int, codes: list[int | str], text: str, wait: float) -> int:
    named = [_STATUS_OF[code] for code in codes if isinstance(code, str) and code in _STATUS_OF]
    if status in (400, 403, 429) or status < 400:
        if _NO_CREDIT.search(text):
            return 402
        if _OVER_QUOTA.search(text) and not wait and 429 not in named:
            return 402
    for meaning in named:
        if meaning in _FOR_GOOD:
            return meaning
    if status >= 300:
        return status
    numbers = [code for code in codes if isinstance(code, int) and 400 <= code < 600]
    if numbers or named:
        return (numbers or named)[0]
    return next((meaning for meaning, pattern in _PASSING if pattern.search(text)), 0)


def _lasts(text: str, wait: float) -> bool:
    if _ENDLESS_QUOTA.search(text):
        return True
    return not wait and bool(_LONG_QUOTA.search(text)) and not _SHORT_QUOTA.search(text)


def _fields(row: Mapping[str, Any]) -> Iterator[str]:
    """The parameters that an error names in fields of their own."""
    for name in ("param", "parameter", "field"):
        if isinstance(row.get(name), str):
            yield row[name]
    path = row.get("loc")
    if isinstance(path, list):
        names = [part for part in path if isinstance(part, str) and part != "body"]
        yield from names[:1]
