"""A server's reply, read as a completion: text, thinking, how it ended, and what is billed.

All providers are read alike, as gateways pass on whatever stands behind them; only where a reply
leaves something open does its provider decide.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from decompose_distill.backends.openai.providers import Provider
from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.backends.openai.server_errors import RetryableError
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.parsing import split_thinking
from decompose_distill.types import Completion, Request, Usage

STOP = frozenset({
    "stop", "eos", "eos_token", "end", "end_turn", "end_of_turn", "end_of_text", "endoftext",
    "stop_sequence", "stop_token", "stop_word", "complete", "completed", "finish", "finished",
    "done",
})  # fmt: skip
LENGTH = frozenset({
    "length", "max_tokens", "max_token", "model_length", "max_length", "max_output_tokens",
    "max_new_tokens", "max_completion_tokens", "token_limit", "length_limit", "limit",
    "context_length", "context_length_exceeded", "context_window_exceeded",
    "model_context_window_exceeded",
})  # fmt: skip
AGAIN = frozenset({
    "error", "insufficient_system_resource", "abort", "aborted", "cancelled", "overloaded",
    "engine_overloaded", "network_error", "server_error", "timeout", "time_limit", "load",
})  # fmt: skip
"""Why a provider says that a completion ended: by itself, cut off, or by a trouble that passes.

Any other reason is a failure with its name. They are compared in small letters.
"""
_THINKING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
_THINKING_PARTS = ("thinking", "reasoning", "reasoning_content", "reasoning.text", "summary")
_TEXT_PARTS = (None, "text", "output_text")
_MOST_TOKENS = 10**8
"""A count above it is none."""
_TICKS = Decimal(10) ** 10
"""In a dollar, as xAI counts."""


def decode(
    request: Request, body: Any, secret: Secret, source: str, provider: Provider
) -> Completion:
    """Read what `source` answered; what is no completion is an error that says what it was.

    Raises:
        RetryableError: The server gave up, and may not another time.
    """
    try:
        choice = body["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (LookupError, TypeError, AttributeError):
        what = secret.strike(str(body)) or "(empty answer)"
        error = f"{source} answered no chat completion: {what}"
        return failed(request, error, unanswered=1)  # it may be billed
    text, thinking = _text(content), _thinking(message, content)
    finish = _finish(reason)
    ended = f"finish_reason {secret.strike(repr(reason))}"
    if finish == "again":
        raise RetryableError(f"{source} ended a completion with {ended}", billed=True)
    split = split_thinking(text or "")
    answer, thinking = split.rest, thinking or split.reasoning
    if finish == "stop" and not split.closed:
        finish = "length"  # thinking that does not end was cut, whatever the server calls it
    counts = body.get("usage")
    usage = read_usage(counts, request, provider, bool(text or thinking))
    cost = _billed(counts, provider)

    def completion(finish: Literal["stop", "length", "error"], error: str = "") -> Completion:
        lost = finish == "error" and usage == Usage() and cost is None
        result = Completion(request.id, answer, finish, usage, error, unanswered=int(lost))
        return replace(result, reasoning=thinking, billed_usd=cost)

    if refusal and isinstance(refusal, str):
        return completion("error", f"the model refused: {secret.strike(refusal)}")
    if finish is None:
        return completion("error", f"completion ended with {ended}")
    if text is None and finish == "stop" and not thinking:
        return completion("error", f"message.content is {type(content).__name__}, {ended}")
    return completion(finish)


def failed(request: Request, error: str, unanswered: int = 0) -> Completion:
    """The completion of a request that failed for good."""
    return Completion(request.id, "", "error", error=error, unanswered=unanswered)


def read_usage(counts: Any, request: Request, provider: Provider, spoke: bool) -> Usage:
    """What is billed, by a reply's `usage`; `Usage()` if nothing is known of it.

    Output is all that is not the prompt, thinking among it, wherever the provider counts that.
    What one half does not tell is at its worst case.

    Args:
        spoke: Whether there is a text or a thought, which cannot have cost nothing.
    """
    rows = counts if isinstance(counts, dict) else {}
    least = 1 if spoke else 0
    total = _count(rows.get("total_tokens"), 1)
    read = _count(rows.get("prompt_tokens"), 1) or _native_input(rows)
    if read is None:
        halves = [_count(rows.get(f"prompt_cache_{kind}_tokens")) for kind in ("hit", "miss")]
        read = sum(halves) or None if None not in halves else None  # type: ignore[arg-type]
    written = _count(rows.get("completion_tokens", rows.get("output_tokens")), least)
    thought = _thought(rows)
    if read is None and written is None:
        return Usage()
    if read is None:
        rest = (total or 0) - (written or 0)
        read = rest if rest > 0 else most_tokens(request).input_tokens
    rest = (total or 0) - read
    if written is None:
        known = rest if total is not None and rest >= max(least, thought) else None
        written = max(request.sampling.max_new_tokens, thought) if known is None else known
    else:
        outside = total is None and (provider.thinking_outside or thought > written)
        written = max(written + thought * outside, rest)
    cached = _nested(rows, "prompt_tokens_details", "cached_tokens")
    for name in ("prompt_cache_hit_tokens", "cache_read_input_tokens"):
        cached = cached or _count(rows.get(name)) or 0
    return Usage(
        read, written, cached_tokens=min(cached, read), reasoning_tokens=min(thought, written)
    )


def _native_input(rows: dict[str, Any]) -> int | None:
    """Input as Anthropic's own interface counts it, which some gateways pass on: cache apart."""
    if (read := _count(rows.get("input_tokens"), 1)) is None:
        return None
    cache = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return read + sum(_count(rows.get(name)) or 0 for name in cache)


def _finish(reason: Any) -> Literal["stop", "length", "again"] | None:
    if not isinstance(reason, str):
        return None
    name = re.sub(r"[\s-]+|(?<=[a-z])(?=[A-Z])", "_", reason.strip())
    name = name.lower().removeprefix("finish_reason_")
    if name in STOP:
        return "stop"
    if name in LENGTH:
        return "length"
    return "again" if name in AGAIN else None


def _text(content: Any) -> str | None:
    """The text of a content; `None` if there is none."""
    if isinstance(content, list):
        parts = (part if isinstance(part, dict) else {"text": part} for part in content)
        texts = [part.get("text") for part in parts if part.get("type") in _TEXT_PARTS]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else None


def _thinking(message: Mapping[str, Any], content: Any) -> str:
    for name in _THINKING_FIELDS:
        if text := _flat(message.get(name)).strip():
            return text
    parts = content if isinstance(content, list) else []
    thoughts = [
        row for row in parts if isinstance(row, dict) and row.get("type") in _THINKING_PARTS
    ]
    return _flat(thoughts).strip()


def _flat(value: Any, depth: int = 0) -> str:
    """All text in a thinking part, however it is nested."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth < 8:
        return "".join(_flat(part, depth + 1) for part in value)
    if isinstance(value, dict) and depth < 8:
        names = ("text", "summary", "thinking", "reasoning", "content")
        return next(filter(None, (_flat(value.get(name), depth + 1) for name in names)), "")
    return ""


def _thought(rows: Mapping[str, Any]) -> int:
    inner = _nested(rows, "completion_tokens_details", "reasoning_tokens")
    return inner or _count(rows.get("reasoning_tokens")) or 0


def _nested(rows: Mapping[str, Any], outer: str, inner: str) -> int:
    details = rows.get(outer)
    return (_count(details.get(inner)) if isinstance(details, dict) else None) or 0


def _count(value: Any, least: int = 0) -> int | None:
    """A number of tokens, also one written as a float or a text; `None` for what is none."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,12}(?:\.0*)?", value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not least <= value <= _MOST_TOKENS:
        return None
    return math.ceil(value)


def _billed(counts: Any, provider: Provider) -> Decimal | None:
    """What the provider says that it bills, in dollars."""
    if not isinstance(counts, dict):
        return None
    if ticks := _amount(counts.get("cost_in_usd_ticks")):
        return ticks / _TICKS
    cost = _amount(counts.get("cost"))
    if cost is None:
        return None
    details = counts.get("cost_details")
    if counts.get("is_byok") is True and isinstance(details, dict):
        cost += _amount(details.get("upstream_inference_cost")) or 0
    return cost if cost or provider.cost == "cost" else None  # others do not work for nothing


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and 0 <= amount <= 10**15 else None
