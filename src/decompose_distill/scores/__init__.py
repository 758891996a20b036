"""Scores: how right an answer is, between 0 and 1; `None` if it cannot be told.

A score is any function `(answer, golds) -> float | None`. With several accepted answers the
best one counts. Those here carry a version, which stands beside every figure they make.
"""

from typing import Literal, get_args

from decompose_distill.errors import ConfigError
from decompose_distill.scores.drop import drop_em, drop_f1
from decompose_distill.scores.numeric import gsm8k, gsm8k_paper, gsm8k_strict
from decompose_distill.scores.text_match import contains, exact, f1, yes_no
from decompose_distill.scores.versioning import Score, versioned

ScoreName = Literal[
    "exact", "f1", "contains", "yes_no", "gsm8k", "gsm8k_strict", "gsm8k_paper", "drop_em",
    "drop_f1",
]  # fmt: skip
"""Scores by the names they have here, as files and command lines give them."""


def as_score(score: Score | ScoreName) -> Score:
    """A score, also by its name.

    Raises:
        ConfigError: It is no function, and no known name.

    Example:
        >>> as_score("exact") is exact
        True
    """
    if isinstance(score, str) and score in get_args(ScoreName):
        named: Score = globals()[score]
        return named
    if not callable(score):
        known = ", ".join(get_args(ScoreName))
        raise ConfigError(f"score must be a function or one of {known}, not {score!r}")
    return score


__all__ = [
    "Score",
    "ScoreName",
    "as_score",
    "contains",
    "drop_em",
    "drop_f1",
    "exact",
    "f1",
    "gsm8k",
    "gsm8k_paper",
    "gsm8k_strict",
    "versioned",
    "yes_no",
]
