"""Filters drop with a reason, and the counts add up."""

import pytest

from decompose_distill import ConfigError, Failure, Question, Trace, filters
from tests.support.samples import make_trace


def _failed(reason: str) -> Trace:
    question = Question("Why?")
    return Trace(question, Failure(question, "decompose", reason))


def test_kept_and_dropped_add_up_to_the_input(traces: tuple[Trace, ...]) -> None:
    mixed = [*traces, _failed("length"), _failed("length"), _failed("no subquestions found")]
    screened = filters.screen(mixed, filters.correct)

    assert len(screened.kept) + screened.dropped.total() == len(mixed)
    assert screened.dropped["wrong answer"] == 4
    assert screened.dropped["decompose: length"] == 2


def test_complete_keeps_wrong_answers_and_correct_does_not(traces: tuple[Trace, ...]) -> None:
    assert len(filters.screen(traces, filters.complete).kept) == 8
    assert len(filters.screen(traces, filters.correct).kept) == 4


def test_a_question_without_gold_answer_is_dropped_for_that() -> None:
    trace = make_trace(Question("How old is Ada?"), "4")

    assert filters.correct(trace) == "no gold answer"


def test_a_filter_that_returns_a_bool_is_refused(traces: tuple[Trace, ...]) -> None:
    with pytest.raises(ConfigError, match="None to keep it, not True"):
        filters.screen(traces, lambda trace: True)  # type: ignore[arg-type,return-value]


def test_the_first_filter_that_drops_names_the_reason(traces: tuple[Trace, ...]) -> None:
    keep = filters.all_of(filters.complete, lambda trace: "mine", filters.correct)

    assert filters.screen(traces, keep).dropped == {"mine": 8}
