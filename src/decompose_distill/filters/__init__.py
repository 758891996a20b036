"""Filters: which traces to learn from, with the reason for each that is dropped.

A filter is any function `Trace -> str | None`: the reason to drop it, or `None` to keep it.
Reasons are few and short, as they are counted: input equals kept plus the sum of dropped.
"""

from decompose_distill.filters.duplicates import distinct, near_distinct, no_leak
from decompose_distill.filters.screening import (
    Filter,
    FilterName,
    Screened,
    all_of,
    as_filter,
    complete,
    correct,
    correct_by,
    counts,
    decomposed,
    length_cap,
    screen,
    sift,
    subquestion_count,
)
from decompose_distill.filters.solve_rates import (
    Measured,
    Rates,
    Uplift,
    best_per_question,
    measure_uplift,
    uplift,
)

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
