"""What a score is, and the version that stands beside its figures."""

from collections.abc import Callable, Sequence
from functools import wraps

Score = Callable[[str, Sequence[str]], float | None]


def versioned(version: str) -> Callable[[Score], Score]:
    """Give a score a version, to be raised whenever some answer would score otherwise.

    Example:
        >>> @versioned("1")
        ... def is_long(answer, golds):
        ...     return float(len(answer) > 9)
        >>> name_and_version(is_long)
        ('is_long', '1')
    """

    def mark(score: Score) -> Score:
        @wraps(score)
        def scored(answer: str, golds: Sequence[str]) -> float | None:
            # One string is a sequence of letters, each of which would pass for a gold.
            return score(answer, (golds,) if isinstance(golds, str) else golds)

        setattr(scored, "version", version)  # noqa: B010 - a function's type has no such field
        return scored

    return mark


def name_and_version(score: Score) -> tuple[str, str | None]:
    """The name and version of a score; a user's function need not have either.

    Example:
        >>> name_and_version(lambda answer, golds: 1.0)
        ('<lambda>', None)
    """
    return getattr(score, "__name__", "score"), getattr(score, "version", None)
