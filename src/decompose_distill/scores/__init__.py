"""Scores: how right an answer is, between 0 and 1; `None` if it cannot be told.

A score is any function `(answer, golds) -> float | None`. With several accepted answers the
best one counts. Those here carry a version, which stands beside every figure they make.
"""

import importlib
import os
import sys
from typing import Literal, get_args

from decompose_distill.errors import ConfigError, did_you_mean
from decompose_distill.scores.drop import drop_em, drop_f1
from decompose_distill.scores.numeric import gsm8k, gsm8k_paper, gsm8k_strict
from decompose_distill.scores.text_match import contains, exact, f1, yes_no
from decompose_distill.scores.versioning import Score, versioned

ScoreName = Literal[
    "exact", "f1", "contains", "yes_no", "gsm8k", "gsm8k_strict", "gsm8k_paper", "drop_em",
    "drop_f1",
]  # fmt: skip
"""Scores by the names they have here, as files and command lines give them."""


def as_score(score: Score | ScoreName | str) -> Score:
    """A score: a function, a known name, or `module:function` for one of a user's own.

    A module is looked for where Python looks, and in the current folder.

    Raises:
        ConfigError: It is no function, no known name, or cannot be imported.

    Example:
        >>> as_score("exact") is exact, as_score("decompose_distill.scores:exact") is exact
        (True, True)
    """
    if isinstance(score, str) and score in get_args(ScoreName):
        named: Score = globals()[score]
        return named
    if isinstance(score, str) and ":" in score:
        return _imported(*score.split(":", 1))
    if isinstance(score, str) or not callable(score):
        known = ", ".join(get_args(ScoreName))
        raise ConfigError(
            f"score cannot be {score!r}; {did_you_mean(str(score), get_args(ScoreName))}it must be "
            f"a function, its module:function, or one of {known}"
        )
    return score


def _imported(module: str, name: str) -> Score:
    sys.path.append(os.getcwd())
    try:
        home = importlib.import_module(module)
    except Exception as error:  # a user's file may fail in any way
        words = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"score {module}:{name}: cannot import {module!r} here: {words}"
        ) from error
    finally:
        sys.path.remove(os.getcwd())
    own: object = getattr(home, name, None)
    if not callable(own):
        functions = [member for member in dir(home) if callable(getattr(home, member))]
        raise ConfigError(
            f"score {module}:{name}: {module} has no function {name!r}; "
            f"{did_you_mean(name, functions)}it must be one (answer, golds) -> float | None"
        )
    score: Score = own
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
