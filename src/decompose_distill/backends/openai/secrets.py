"""Credentials, and what of them must never be shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
