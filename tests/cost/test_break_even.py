"""What a row costs and when a student has paid for itself."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ConfigError, Decomposition, Failure, Question, Trace, Usage
from decompose_distill.cost.break_even import (
    BreakEven,
    Cost,
    Expense,
    break_even,
    machine_usd,
    pareto_front,
    usage_by_role,
)

AMOUNT = st.decimals(0, 1000, places=3)


def test_an_unknown_price_makes_the_sum_unknown_and_never_0() -> None:
    known, unknown = Expense("solver", Usage(9, 9), Decimal(1)), Expense("decomposer", Usage(9, 9))
    cost = Cost(10, (known, unknown))

    assert (cost.usd, cost.total_usd, cost.usd_per_question) == (None, None, None)
    assert machine_usd(10, None) is None
    assert break_even(Cost(10, (known,)), cost) is None
    assert break_even(Cost(10, (known,)), Cost(10, (known,), None)) is None


def test_an_hourly_rate_may_be_a_float_and_must_be_a_finite_number() -> None:
    assert machine_usd(1800, 0.5) == Decimal("0.25")
    for rate in (Decimal("NaN"), Decimal("Infinity"), float("inf")):
        with pytest.raises(ConfigError, match="usd_per_hour must be 0 or more, not"):
            machine_usd(0, rate)


def test_a_failed_trace_still_costs_the_role_that_failed() -> None:
    split = Decomposition(Question("Why?"), (), usage=Usage(10, 5))
    cut = Failure(split.question, "decompose", "length", usage=Usage(7, 512))
    lost = Failure(split.question, "solve", "length", decomposition=split, usage=Usage(20, 512))
    traces = [Trace(split.question, cut), Trace(split.question, lost)]

    assert usage_by_role(traces) == (Usage(17, 517), Usage(20, 512))


@given(AMOUNT, AMOUNT, AMOUNT)
def test_break_even_is_the_first_question_at_which_the_student_is_not_dearer(
    training: Decimal, before: Decimal, after: Decimal
) -> None:
    pays = BreakEven(training, before, after)

    if pays.questions is None:
        assert pays.saving <= 0
    else:
        assert training + pays.questions * after <= pays.questions * before
        n = pays.questions - 1
        assert n < 0 or training + n * after > n * before


@given(st.lists(st.tuples(AMOUNT, st.floats(0, 1)), max_size=12))
def test_no_point_of_the_front_is_beaten_and_every_other_is(
    points: list[tuple[Decimal, float]],
) -> None:
    front = pareto_front(points)

    for place, (price, accuracy) in enumerate(points):
        beaten = any(
            p <= price and a >= accuracy and (p < price or a > accuracy) for p, a in points
        )
        assert (place in front) != beaten
