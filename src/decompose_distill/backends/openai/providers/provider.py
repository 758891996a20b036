"""What there is to know of a provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Limit = Literal["max_tokens", "max_completion_tokens"]
Effort = Literal["reasoning_effort", "reasoning.effort", "thinking.budget_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How the chat completions of one provider differ from the plain form.

    Replies are read alike from all (`replies`): their fields here say what to expect, for the
    documentation, and for the tests, which read a reply of that form.

    Example:
        >>> Provider(name="plain").limit
        'max_tokens'
    """

    name: str
    """As users write it: `provider="mistral"`."""
    title: str = ""
    """The name for people."""
    hosts: tuple[str, ...] = ()
    """Hosts by which it is recognised; one that begins with a dot is the end of a host."""
    base_url: str = ""
    """Address of its API, if none is named."""

    key_header: str = "Authorization"
    """Where the key is sent; anywhere else than here, it is sent bare."""
    needs_key: bool = False
    limit: Limit = "max_tokens"
    """Field of the limit on new tokens; the other name is taken if the server asks for it."""
    seed: str | None = "seed"
    """Field of the seed; `None` if it would be ignored."""
    effort: Effort = "reasoning_effort"
    """Field of the effort of thinking."""
    effort_none: Mapping[str, object] | None = None
    """What is sent in place of the effort `none`."""

    refuses: tuple[str, ...] = ()
    """Settings that some of its models refuse, and which are then left out."""

    thinking: tuple[str, ...] = ()
    """Fields of a reply that hold the text of thinking."""
    thinking_outside: bool = False
    """Whether `completion_tokens` leaves thinking tokens out, which are billed all the same."""
    thinking_tokens: str = ""
    """Field of `usage` with the thinking tokens."""
    cached_tokens: str = ""
    """Field of `usage` with the cached input tokens."""
    cost: str = ""
    """Field of `usage` that says what is billed."""
    finish_reasons: tuple[str, ...] = ("stop", "length")
    error: Mapping[str, object] | tuple[Mapping[str, object], ...] = field(
        default_factory=lambda: {"error": {"message": "…", "type": "…", "code": "…"}}
    )
    """The form of its error bodies."""
    notes: tuple[str, ...] = ()
    """What else a user should know."""
