"""Credentials, what of them must never be shown, and texts of others that are shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote

LONGEST_WORDS = 300
"""Characters of a foreign text that are shown."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Credentials as sent, and what of them must never be shown."""

    headers: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @classmethod
    def hiding(cls, headers: Mapping[str, str], values: Iterable[str]) -> Self:
        """Hide values in the forms in which a server or a library may repeat them."""
        forms = {form for value in values for form in (value, quote(value), repr(value)[1:-1])}
        return cls(headers, tuple(sorted(forms, key=len, reverse=True)))  # parts after the whole

    def hide(self, text: str) -> str:
        """Put stars in place of every secret."""
        for secret in self.hidden:
            if len(secret) > 5:  # "x" and "EMPTY" stand for no key
                text = text.replace(secret, "***")
        return text

    def strike(self, text: str) -> str:
        """Make a foreign text fit to be shown: no secret, no control sequence, one short line."""
        printed = "".join(sign if sign.isprintable() else " " for sign in self.hide(text))
        return self.hide(" ".join(printed.split()))[:LONGEST_WORDS]
