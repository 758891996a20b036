"""Reading what models write: subquestions and final answers, and writing them back."""

from decompose_distill.parsing.answers import format_answer, parse_answer, replace_answer
from decompose_distill.parsing.decompositions import (
    LEAST_REPEATS,
    NO_DECOMPOSITION,
    format_subquestions,
    parse_circle,
    parse_subquestions,
)

__all__ = [
    "LEAST_REPEATS",
    "NO_DECOMPOSITION",
    "format_answer",
    "format_subquestions",
    "parse_answer",
    "parse_circle",
    "parse_subquestions",
    "replace_answer",
]
