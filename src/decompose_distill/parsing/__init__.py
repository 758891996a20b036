"""Reading what models write: subquestions and final answers, and writing them back."""

from decompose_distill.parsing.answers import format_answer, parse_answer, replace_answer
from decompose_distill.parsing.decompositions import (
    LEAST_REPEATS,
    NO_DECOMPOSITION,
    ParsedDecomposition,
    format_subquestions,
    parse_circle,
    parse_subquestions,
    read_decomposition,
)
from decompose_distill.parsing.thinking import SplitText, split_thinking

__all__ = [
    "LEAST_REPEATS",
    "NO_DECOMPOSITION",
    "ParsedDecomposition",
    "SplitText",
    "format_answer",
    "format_subquestions",
    "parse_answer",
    "parse_circle",
    "parse_subquestions",
    "read_decomposition",
    "replace_answer",
    "split_thinking",
]
