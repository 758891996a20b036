"""Scores: how right an answer is, between 0 and 1; `None` where it cannot be told.

A score is any function `(answer, golds) -> float | None`. With several accepted answers the
best one counts. Those here carry a version, which stands beside every figure they make.
"""

from typing import Literal

from decompose_distill.scores.drop import drop_em, drop_f1
from decompose_distill.scores.numeric import gsm8k, gsm8k_paper, gsm8k_strict
from decompose_distill.scores.text_match import contains, exact, f1, yes_no
from decompose_distill.scores.versioning import Score, versioned

ScoreName = Literal[
    "exact", "f1", "contains", "yes_no", "gsm8k", "gsm8k_strict", "gsm8k_paper", "drop_em",
    "drop_f1",
]  # fmt: skip
"""Scores by the names they have here, as files and command lines give them."""

__all__ = [
    "Score",
    "ScoreName",
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
