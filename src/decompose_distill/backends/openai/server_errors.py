"""What a server says of a request that it did not complete."""

import json

from decompose_distill.backends.openai.secrets import Secret
from decompose_distill.errors import BackendUnavailable


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


def words(answer: bytes, secret: Secret) -> str:
    """What the server says of an error, short."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = answer.decode(errors="replace")
    for name in ("error", "detail", "message"):
        found = found.get(name, found) if isinstance(found, dict) else found
    return secret.strike(str(found)) or "(empty answer)"
