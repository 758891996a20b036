"""Every exception this library raises, in one tree.

```
DecomposeDistillError
├── ConfigError(ValueError)         fix the call; names the argument
├── MissingExtraError(ImportError)  prints the exact pip command
├── BackendError(RuntimeError)      permanently refused: key, model name, request
│   └── BackendUnavailable          may work later: rate limit, timeout, 5xx
├── BudgetExceeded(RuntimeError)    raised before the money is spent
├── ParseError(ValueError)          carries the model's words
├── DataError(ValueError)           names the file, line and field
└── TrainingError(RuntimeError)     non-finite loss, no trainable token, nothing kept
    └── CheckpointError             missing, partial, tampered, other format version
```

All take one message, so all survive pickling.
"""

import os
from collections.abc import Iterable, Mapping


class DecomposeDistillError(Exception):
    """Root of every error this library raises on purpose."""


class ConfigError(DecomposeDistillError, ValueError):
    """An argument is wrong; the message names it and says what would be right."""


def wrong_kind(argument: str, value: object, wanted: str) -> ConfigError:
    """An argument of another type: what it must be, and what it is, without its content.

    Example:
        >>> str(wrong_kind("sampling", {}, "a Sampling, as Sampling(temperature=0.7)"))
        'sampling must be a Sampling, as Sampling(temperature=0.7), not dict'
    """
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    return ConfigError(f"{argument} must be {wanted}, not {kind}")


def check_path(argument: str, value: object) -> None:
    """Refuse what is no path.

    Raises:
        ConfigError: It is neither text nor a `Path`.

    Example:
        >>> check_path("path", "traces.jsonl")
    """
    if not isinstance(value, str | os.PathLike):
        raise wrong_kind(argument, value, "a path, as text or Path")


def nearest(name: str, known: Iterable[str]) -> str:
    """Words that name the nearest of the known names, and all of them.

    Example:
        >>> nearest("exat", ["exact", "f1"]), nearest("bleu", ["exact"])
        ("did you mean 'exact'? known: exact, f1", 'known: exact')
    """
    names = [*known]
    return f"{did_you_mean(name, names)}known: {', '.join(names)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the nearest of the known names, if one is near.

    Example:
        >>> did_you_mean("exat", ["exact", "f1"])
        "did you mean 'exact'? "
    """
    from difflib import get_close_matches  # not needed by who imports this package

    lowered = {known_name.lower(): known_name for known_name in known}
    close = get_close_matches(name.lower(), lowered, n=1)
    return f"did you mean {lowered[close[0]]!r}? " if close else ""


class MissingExtraError(DecomposeDistillError, ImportError):
    """An optional package is missing; the message holds the pip command that adds it."""


class BackendError(DecomposeDistillError, RuntimeError):
    """A backend permanently refused: wrong key, unknown model, malformed request."""

    unanswered: Mapping[str, int] | None = None
    """By request, attempts that may be billed though nothing came of them, where the backend
    counts them."""


class BackendUnavailable(BackendError):
    """A backend may work later: rate limit, timeout, server error. The only error retried."""


class BudgetExceeded(DecomposeDistillError, RuntimeError):
    """The next request would cost more than the budget holds; nothing was sent."""


class ParseError(DecomposeDistillError, ValueError):
    """A model's words could not be read; never leaves a Decomposer or Solver."""


class DataError(DecomposeDistillError, ValueError):
    """A question, trace or file is malformed; the message names file, line and field."""


class TrainingError(DecomposeDistillError, RuntimeError):
    """Training cannot start or go on; the message says why."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, incomplete, altered or of another format version."""
