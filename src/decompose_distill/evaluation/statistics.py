"""Intervals and paired tests, each with its source."""

import math
from collections.abc import Sequence
from statistics import NormalDist, stdev

import numpy as np

Interval = tuple[float, float]

Z95 = NormalDist().inv_cdf(0.975)
Z80 = NormalDist().inv_cdf(0.8)
LEVEL = 0.05
RESAMPLES = 10_000
SIGN_DRAWS = 100_000
"""So many that a large difference is below p = 0.001 also among a hundred others."""


def wilson(right: float, n: int) -> Interval:
    """95 % interval of a share (Wilson, JASA 22, 1927); sound also near 0 and 1.

    Example:
        >>> [round(bound, 3) for bound in wilson(8, 10)]
        [0.49, 0.943]
    """
    if n == 0:
        return (0.0, 1.0)
    share, spread = right / n, Z95**2 / n
    center = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # Exact at the ends, where rounding would leave the share just outside.
    return (center - half if right else 0.0, center + half if right < n else 1.0)


def bootstrap_mean(values: Sequence[float]) -> Interval:
    """95 % percentile bootstrap interval of a mean (Efron, Ann. Stat. 7, 1979), fixed seed.

    Example:
        >>> bootstrap_mean([0.5, 0.5])
        (0.5, 0.5)
    """
    if not values:
        return (0.0, 1.0)
    random, array = np.random.default_rng(0), np.asarray(values, dtype=float)
    means = [random.choice(array, len(array)).mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return (float(low), float(high))


def interval_of(values: Sequence[float]) -> Interval:
    """95 % interval of a mean score: Wilson for right and wrong, bootstrap for partial scores.

    Wilson too where all values are alike: drawn again they vary by nothing, and no values from
    0 to 1 with this mean vary by more than right and wrong do.

    Example:
        >>> interval_of([0.0] * 100)[0], round(interval_of([0.0] * 100)[1], 3)
        (0.0, 0.037)
    """
    if all(value in (0, 1) for value in values) or len(set(values)) == 1:
        return wilson(sum(values), len(values))
    return bootstrap_mean(values)


def paired_shares(only_first: float, only_second: float, n: int) -> Interval:
    """95 % interval of a difference of two shares, in pairs; sound also where few pairs differ.

    The adjusted Wald interval of Bonett and Price (J. Educ. Behav. Stat. 37, 2012).

    Args:
        only_first: Questions that only the first system got right.
        only_second: Questions that only the second got right.
        n: All questions.

    Example:
        >>> [round(bound, 3) for bound in paired_shares(18, 6, 100)]
        [0.022, 0.213]
    """
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    center = first - second
    half = Z95 * math.sqrt((first + second - center**2) / (n + 2))
    return (max(-1.0, center - half), min(1.0, center + half))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test (Psychometrika 12, 1947).

    Args:
        only_first: Questions that only the first system got right.
        only_second: Questions that only the second got right.

    Example:
        >>> round(mcnemar(9, 1), 4)
        0.0215
    """
    n = only_first + only_second
    tail = sum(math.comb(n, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p-value of a mean paired difference being 0, by drawing signs; fixed seed.

    Fisher's randomization test (The Design of Experiments, 1935, section 21). Where all
    differences have one size it is McNemar's; a bootstrap of the differences is far too sure
    where few questions differ.

    Example:
        >>> sign_flip([0.5, 0.0]), round(sign_flip([0.5] * 6 + [0.0] * 9), 2)
        (1.0, 0.03)
    """
    array = np.asarray([each for each in differences if each], dtype=float)
    sizes, counts = np.unique(np.abs(array).round(12), return_counts=True)
    random, sums = np.random.default_rng(0), np.zeros(SIGN_DRAWS)
    for size, count in zip(sizes, counts, strict=True):
        sums += size * (2 * random.binomial(count, 0.5, SIGN_DRAWS) - count)
    # Sums that are equal but for their rounding count as equal.
    extreme = int(np.count_nonzero(np.abs(sums) >= abs(array.sum()) - 1e-9 * np.abs(array).sum()))
    return (extreme + 1) / (SIGN_DRAWS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of one table for their number (Holm, Scand. J. Stat. 6, 1979).

    Below 0.05 after it, at most one table in twenty holds even one difference that is chance.

    Example:
        >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def smallest_difference(differences: Sequence[float], *, tests: int = 1) -> float | None:
    """Smallest true mean difference that a paired test on this sample finds in 4 cases of 5.

    Two-sided at 5 %, with 80 % power, in the normal approximation of Connor (Biometrics 43, 1987)
    for right and wrong in pairs; for other scores the mean square of the differences stands for
    the share of questions on which the two differ. `None` where nothing differs, as such a sample
    does not tell, and where the questions are too few for any difference to be shown.

    Args:
        differences: One a question, first minus baseline.
        tests: How many are corrected together. The level is that of Holm's first step, 5 % over
            their number: what is found at it is found whatever the others give.

    Example:
        >>> round(smallest_difference([1.0] * 18 + [-1.0] * 6 + [0.0] * 76), 3)
        0.136
    """
    n, share = len(differences), sum(each * each for each in differences) / len(differences)
    level = LEVEL / tests
    if not share or 2.0 ** (1 - n) >= level:
        return None
    found, critical = 0.0, NormalDist().inv_cdf(1 - level / 2)
    for _ in range(50):  # Connor's formula gives n for a difference; here it is solved for that
        differ = max(share, found)  # a difference needs as many questions that differ
        power = Z80 * math.sqrt(max(0.0, differ - found**2))
        found = (critical * math.sqrt(differ) + power) / math.sqrt(n)
    return min(1.0, found)


def spread(means: Sequence[float]) -> float | None:
    """Standard deviation between repeats, such as training seeds; `None` with fewer than two.

    Example:
        >>> round(spread([0.70, 0.72, 0.77]), 3)
        0.036
    """
    return stdev(means) if len(means) > 1 else None
