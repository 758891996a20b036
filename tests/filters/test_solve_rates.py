"""Uplift counts solves with and without a decomposition, and says what it rests on."""

from collections.abc import Iterable

import pytest

from decompose_distill import (
    ConfigError,
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    filters,
)

ASKED = Question("How old are Ada and Bob together?", answer="42")
GOOD, BAD = ("How old is Ada?", "How old is Bob?"), ("Who is Ada?",)


def _solves(steps: Iterable[str], answers: str, question: Question = ASKED) -> list[Trace]:
    """A trace for each sign: + right, - wrong, c cut off, e not answered."""
    split = Decomposition(question, tuple(map(Subquestion, steps)))
    said = {"+": "42", "-": "7"}
    return [
        Trace(
            question,
            Solution(split, said[sign])
            if sign in said
            else Failure(
                question,
                "solve",
                "length" if sign == "c" else "error",
                decomposition=split,
            ),
            solve=number,
        )
        for number, sign in enumerate(answers)
    ]


def test_uplift_is_the_difference_of_two_success_rates() -> None:
    measured = filters.measure_uplift((_solves(GOOD, "+++-"), _solves((), "+---")))
    found = measured(_solves(GOOD, "+")[0])

    assert found is not None
    assert found.value == 0.5
    assert str(found) == "+0.50 (3/4 with, 1/4 without)"


def test_a_cut_off_solve_was_not_right_and_an_unanswered_one_was_none() -> None:
    measured = filters.measure_uplift((_solves(GOOD, "+cee"), _solves((), "-e")))

    assert str(measured(_solves(GOOD, "+")[0])) == "+0.50 (1/2 with, 0/1 without)"


def test_two_solvers_count_alike_however_often_each_was_asked() -> None:
    sure = (_solves(GOOD, "++++"), _solves((), "----"))
    lost = (_solves(GOOD, "-"), _solves((), "-"))
    found = filters.measure_uplift(sure, lost)(_solves(GOOD, "+")[0])

    assert found is not None
    assert found.value == 0.5
    assert found.solves == 1


def test_samples_that_split_alike_add_up() -> None:
    measured = filters.measure_uplift(
        (_solves(GOOD, "+-") + _solves(GOOD, "++") + _solves(BAD, "---"), _solves((), "-"))
    )

    assert str(measured(_solves(GOOD, "-")[0])) == "+0.75 (3/4 with, 0/1 without)"
    assert str(measured(_solves(BAD, "-")[0])) == "+0.00 (0/3 with, 0/1 without)"


def test_each_reason_says_what_was_measured_and_counts_add_up() -> None:
    other = Question("Who is older?", answer="42")
    unscored = Question("And who is younger?")
    traces = [
        *_solves(GOOD, "+++-"),
        *_solves(BAD, "+---"),
        *_solves(GOOD, "+", other),
        *_solves(GOOD, "+", unscored),
        Trace(ASKED, Failure(ASKED, "decompose", "length")),
    ]
    baseline = _solves((), "----") + _solves((), "-", other) + _solves((), "-", unscored)
    measured = filters.measure_uplift((traces, baseline))
    screened = filters.screen(traces, filters.uplift(measured, minimum=0.5, solves=4))

    assert len(screened.kept) == 4
    assert screened.dropped == {
        "uplift +0.25 below 0.5": 4,
        "uplift of 1 solve, 4 needed": 1,
        "uplift not measured": 1,
        "decompose: length": 1,
    }
    assert len(screened.kept) + screened.dropped.total() == len(traces)


def test_an_uplift_that_equals_the_minimum_in_decimals_is_kept() -> None:
    measured = filters.measure_uplift((_solves(GOOD, "+++--"), _solves((), "++---")))

    assert filters.uplift(measured, minimum=0.2)(_solves(GOOD, "+")[0]) is None


def test_what_the_solver_answers_anyway_has_no_uplift() -> None:
    measured = filters.measure_uplift((_solves(GOOD, "++"), _solves((), "++")))
    trace = _solves(GOOD, "+")[0]

    assert filters.uplift(measured, minimum=0.1)(trace) == "uplift +0.00 below 0.1"
    assert filters.uplift(measured, minimum=0)(trace) is None


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="a pair for each solver"):
        filters.measure_uplift(_solves(GOOD, "+"), _solves((), "-"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="minimum must be"):
        filters.uplift(lambda trace: None, minimum=25)
    with pytest.raises(ConfigError, match="solves must be"):
        filters.uplift(lambda trace: None, minimum=0.5, solves=0)
