"""Intervals and tests against values from their sources."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.evaluation.statistics import (
    Z80,
    Z95,
    difference_interval,
    holm,
    mcnemar,
    mean_interval,
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


def test_on_many_values_the_intervals_are_the_normal_ones() -> None:
    values = [(number % 7) / 6 for number in range(700)]
    mean = sum(values) / 700
    error = math.sqrt(sum((value - mean) ** 2 for value in values) / 700 / 700)
    normal = pytest.approx((mean - Z95 * error, mean + Z95 * error), abs=1e-3)

    assert mean_interval(values) == normal
    assert difference_interval(values) == pytest.approx(
        (mean - Z95 * error, mean + Z95 * error), abs=3e-3
    )
    assert sign_flip([value - mean + Z95 * error for value in values]) == pytest.approx(
        0.05, abs=0.01
    )


@given(st.integers(0, 300), st.integers(0, 300))
def test_of_right_and_wrong_the_interval_is_wilsons(right: int, wrong: int) -> None:
    values = [1.0] * right + [0.0] * wrong

    assert mean_interval(values) == pytest.approx(wilson(right, right + wrong), abs=1e-9)


@pytest.mark.parametrize(("right", "n"), [(0, 7), (1, 1), (3, 40), (39, 40), (640, 1319)])
def test_scipy_gives_the_same_intervals_and_p_values(right: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    test = stats.binomtest(right, n)
    interval = test.proportion_ci(method="wilson")

    assert wilson(right, n) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert mcnemar(right, n - right) == pytest.approx(test.pvalue)


SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@given(SCORES)
def test_an_interval_holds_the_mean_within_0_and_1_and_is_never_a_point(
    values: list[float],
) -> None:
    low, high = mean_interval(values)

    assert 0 <= low <= sum(values) / len(values) + 1e-9
    assert sum(values) / len(values) - 1e-9 <= high <= 1
    assert high - low > 0.001


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_one_seed_that_errs_once_does_not_make_the_others_answers_certain(seeds: int) -> None:
    alone = mean_interval([1.0] * 40)
    together = mean_interval([1.0] * 39 + [1 - 1 / seeds])

    assert together == pytest.approx(alone, abs=0.012)


def test_a_little_more_variance_makes_the_interval_a_little_wider() -> None:
    widths = [
        high - low
        for tenths in range(6)
        for low, high in [mean_interval([0.5 - tenths / 10] * 20 + [0.5 + tenths / 10] * 20)]
    ]

    assert widths == sorted(widths)
    assert all(0 < wider - width < 0.1 for width, wider in pairwise(widths))


@pytest.mark.parametrize(("n", "mean"), [(10, 0.8), (20, 0.95), (40, 0.99), (100, 0.5)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_of_100_studies_with_several_seeds_95_hold_the_mean(
    n: int, mean: float, seeds: int
) -> None:
    random = np.random.default_rng(0)
    hard = random.beta(mean, 1 - mean, (2000, n))
    studies = random.binomial(seeds, hard) / seeds

    intervals = [mean_interval(study) for study in studies.tolist()]
    assert sum(low <= mean <= high for low, high in intervals) >= 0.94 * len(intervals)


@pytest.mark.parametrize(("first", "second"), [(0.0, 0.0), (0.05, 0.0), (0.1, 0.1), (0.5, 0.2)])
def test_the_interval_of_a_paired_difference_holds_it_in_95_of_100_samples(
    first: float, second: float
) -> None:
    n = 30

    def holds(a: int, b: int) -> bool:
        low, high = difference_interval([1.0] * a + [-1.0] * b + [0.0] * (n - a - b))
        return low <= first - second <= high

    def chance(a: int, b: int) -> float:
        ways = math.comb(n, a) * math.comb(n - a, b)
        return ways * first**a * second**b * (1 - first - second) ** (n - a - b)

    samples = [(a, b) for a in range(n + 1) for b in range(n + 1 - a)]
    assert sum(chance(a, b) for a, b in samples if holds(a, b)) > 0.94


def test_partial_scores_that_are_all_alike_do_not_make_the_mean_certain() -> None:
    low, high = mean_interval([0.5])

    assert low < 0.15 < 0.85 < high
    assert mean_interval([0.75] * 10) == pytest.approx((0.5715, 0.8709), abs=1e-4)


@pytest.mark.parametrize(("better", "worse"), [(1, 0), (4, 0), (6, 0), (9, 2), (30, 14)])
@pytest.mark.parametrize("size", [0.3, 2 / 3, 1.0])
def test_differences_of_one_size_are_tested_as_mcnemar_does(
    better: int, worse: int, size: float
) -> None:
    differences = [size] * better + [-size] * worse + [0.0] * 40

    assert sign_flip(differences) == pytest.approx(mcnemar(better, worse), abs=0.006)


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


def test_the_more_comparisons_are_corrected_together_the_larger_a_difference_must_be() -> None:
    differences = [1.0] * 20 + [-1.0] * 20 + [0.0] * 160
    alone, of_ten = (smallest_difference(differences, tests=tests) for tests in (1, 10))
    assert alone is not None
    assert of_ten is not None

    # z for 0.05 / 10, two-sided, is 2.807.
    needed = (2.807 * math.sqrt(0.2) + Z80 * math.sqrt(0.2 - of_ten**2)) ** 2 / of_ten**2
    assert needed == pytest.approx(200, rel=1e-3)
    assert of_ten > alone


def test_no_difference_can_be_shown_where_even_all_questions_do_not_suffice() -> None:
    assert mcnemar(5, 0) > 0.05 > mcnemar(6, 0)
    assert smallest_difference([1.0] * 5) is None
    assert smallest_difference([1.0] * 6) is not None
    assert smallest_difference([1.0] * 6, tests=2) is None


def test_a_sample_without_differences_does_not_say_what_it_could_show() -> None:
    assert smallest_difference([0.0] * 10) is None


def test_the_spread_of_seeds_needs_two_of_them() -> None:
    assert spread([0.5]) is None
    assert spread([0.4, 0.6]) == pytest.approx(math.sqrt(0.02))
