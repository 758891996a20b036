"""Intervals and tests against values from their sources."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.evaluation.statistics import (
    Z80,
    Z95,
    bootstrap_mean,
    holm,
    mcnemar,
    sign_flip,
    smallest_difference,
    spread,
    wilson,
)

P_VALUES = st.lists(st.floats(0, 1), max_size=20)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_intervals(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_mcnemar_is_twice_the_smaller_tail_of_fair_tosses() -> None:
    assert mcnemar(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(5, 5) == 1
    assert mcnemar(0, 0) == 1


def test_the_bootstraps_agree_with_the_normal_interval_on_many_values() -> None:
    values = [(number % 7) / 6 for number in range(700)]
    mean = sum(values) / 700
    error = math.sqrt(sum((each - mean) ** 2 for each in values) / 700 / 700)

    assert bootstrap_mean(values) == pytest.approx(
        (mean - Z95 * error, mean + Z95 * error), abs=3e-3
    )
    assert sign_flip([each - mean + Z95 * error for each in values]) == pytest.approx(
        0.05, abs=0.01
    )


@pytest.mark.parametrize(("better", "worse"), [(1, 0), (4, 0), (6, 0), (9, 2), (30, 14)])
@pytest.mark.parametrize("size", [0.3, 2 / 3, 1.0])
def test_differences_of_one_size_are_tested_as_mcnemar_does(
    better: int, worse: int, size: float
) -> None:
    differences = [size] * better + [-size] * worse + [0.0] * 40

    assert sign_flip(differences) == pytest.approx(mcnemar(better, worse), abs=0.015)


def test_a_loss_that_a_sample_would_show_is_no_rarer_than_the_differences_it_takes() -> None:
    found = smallest_difference([1.0] + [0.0] * 99)

    assert found is not None
    assert 0.06 < found < 0.1
    # Where 8 of 100 questions are lost, the test is decided by how many are: 6 make p = 0.031.
    assert mcnemar(0, 6) < 0.05 < mcnemar(0, 5)


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_tests() -> None:
    # Steps by hand: 4 × 0.01, 3 × 0.015, then never below what came before.
    assert holm([0.04, 0.01, 0.03, 0.015]) == pytest.approx([0.06, 0.04, 0.06, 0.045])


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_plain_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)

    for p, after in zip(p_values, adjusted, strict=True):
        assert p <= after <= min(1, p * len(p_values)) + 1e-12
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[each] for each in order] == sorted(adjusted)


def test_the_smallest_difference_needs_the_sample_that_connors_formula_asks_for() -> None:
    differences = [1.0] * 60 + [-1.0] * 40 + [0.0] * 300
    found, share = smallest_difference(differences), 100 / 400
    assert found is not None

    needed = (Z95 * math.sqrt(share) + Z80 * math.sqrt(share - found**2)) ** 2 / found**2

    assert needed == pytest.approx(400)


def test_the_smallest_difference_of_one_of_many_tests_is_found_in_four_of_five_after_holm() -> None:
    random, n, tests, share = np.random.default_rng(0), 400, 16, 0.25
    differences = [1.0] * 50 + [-1.0] * 50 + [0.0] * 300
    true = smallest_difference(differences, 0.05 / tests)
    assert true is not None

    lost, won, _ = random.multinomial(
        n, [(share + true) / 2, (share - true) / 2, 1 - share], 1000
    ).T
    others = random.uniform(size=(1000, tests - 1))
    found = [
        holm([mcnemar(int(a), int(b)), *rest])[0] < 0.05
        for a, b, rest in zip(won, lost, others.tolist(), strict=True)
    ]

    assert 0.75 < sum(found) / len(found) < 0.87


def test_a_sample_without_differences_does_not_say_what_it_could_show() -> None:
    assert smallest_difference([0.0] * 10) is None


def test_the_spread_of_seeds_needs_two_of_them() -> None:
    assert spread([0.5]) is None
    assert spread([0.4, 0.6]) == pytest.approx(math.sqrt(0.02))
