"""Filters: which traces to learn from, with the reason for each that is dropped.

A filter is any function `Trace -> str | None`: the reason to drop it, or `None` to keep it.
Reasons are few and short, as they are counted: input equals kept plus the sum of dropped.
"""

from decompose_distill.filters.duplicates import distinct, near_distinct
from decompose_distill.filters.leakage import no_leak
from decompose_distill.filters.length import length_cap, subquestion_count
from decompose_distill.filters.outcomes import (
    Filter,
    FilterName,
    all_of,
    as_filter,
    complete,
    correct,
    correct_by,
    decomposed,
)
from decompose_distill.filters.ranking import best_per_question
from decompose_distill.filters.screening import Screened, counts, screen, sift
from decompose_distill.filters.solve_rates import Measured, Rates, Uplift, measure_uplift, uplift

__all__ = [
    "Filter",
    "FilterName",
    "Measured",
    "Rates",
    "Screened",
    "Uplift",
    "all_of",
    "as_filter",
    "best_per_question",
    "complete",
    "correct",
    "correct_by",
    "counts",
    "decomposed",
    "distinct",
    "length_cap",
    "measure_uplift",
    "near_distinct",
    "no_leak",
    "screen",
    "sift",
    "subquestion_count",
    "uplift",
]
