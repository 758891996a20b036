"""Intervals and paired tests, each with its source."""

import math
from collections.abc import Collection, Sequence
from statistics import NormalDist, fmean, stdev

import numpy as np

Interval = tuple[float, float]

Z95 = NormalDist().inv_cdf(0.975)
Z80 = NormalDist().inv_cdf(0.8)
LEVEL = 0.05
SIGN_DRAWS = 100_000
"""Enough for a large difference to be below p = 0.001 also among a hundred others."""


def mean_of(values: Collection[float]) -> float:
    """Mean; NaN of no value."""
    return fmean(values) if values else math.nan


def wilson(right: float, n: float) -> Interval:
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
    return (max(0.0, center - half) if right else 0.0, center + half if right < n else 1.0)


def mean_interval(values: Sequence[float]) -> Interval:
    """95 % interval of a mean of values from 0 to 1; for right and wrong it is Wilson's.

    Partial scores, and means over training seeds, vary by less than right and wrong would with
    their mean, so that n of them tell as much as n / ratio right or wrong answers: Wilson's
    interval of that effective number (Kish, Survey Sampling, 1965; with Wilson, Dean and Pagano,
    J. Surv. Stat. Methodol. 3, 2015). The ratio of the two variances is taken with z² more
    answers, half right and half wrong, as Wilson's center holds them: few values, or values all
    alike, cannot show that there is little variance. `benchmarks/intervals.py` shows how often
    the interval holds the mean.

    Example:
        >>> [round(bound, 3) for bound in mean_interval([1.0] * 40)]
        [0.912, 1.0]
        >>> [round(bound, 3) for bound in mean_interval([1.0] * 39 + [2 / 3])]  # three seeds
        [0.912, 0.999]
    """
    n = len(values)
    if n == 0:
        return (0.0, 1.0)
    mean, added = fmean(values), Z95**2 / 4  # of z² answers, each ½ from ½
    squares = sum((value - mean) ** 2 for value in values)
    ratio = (squares + added) / (n * mean * (1 - mean) + added)
    return wilson(mean * n / ratio, n / ratio)


def difference_interval(differences: Sequence[float]) -> Interval:
    """95 % interval of a mean paired difference; sound also if few pairs differ.

    The adjusted Wald interval of Bonett and Price (J. Educ. Behav. Stat. 37, 2012), which counts
    one more pair that only the first got right and one that only the second did; for partial
    scores and means over seeds, with the variance of the differences so completed.

    Args:
        differences: One per question, first minus second, from -1 to 1.

    Example:
        >>> pairs = [1.0] * 18 + [-1.0] * 6 + [0.0] * 76
        >>> [round(bound, 3) for bound in difference_interval(pairs)]
        [0.022, 0.213]
    """
    n = len(differences) + 2
    center = sum(differences) / n
    variance = (sum(value * value for value in differences) + 2) / n - center**2
    half = Z95 * math.sqrt(variance / n)
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

    Fisher's randomization test (The Design of Experiments, 1935, section 21). If all
    differences have one size it is McNemar's; a bootstrap of the differences is far too sure
    if few questions differ.

    Example:
        >>> sign_flip([0.5, 0.0]), round(sign_flip([0.5] * 6 + [0.0] * 9), 2)
        (1.0, 0.03)
    """
    array = np.asarray([value for value in differences if value], dtype=float)
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
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def smallest_difference(differences: Sequence[float], *, tests: int = 1) -> float | None:
    """Smallest true mean difference that a paired test on this sample finds in 4 cases of 5.

    Two-sided at 5 %, with 80 % power, in the normal approximation of Connor (Biometrics 43, 1987)
    for right and wrong in pairs; for other scores the mean square of the differences stands for
    the share of questions on which the two differ. `None` if nothing differs, as such a sample
    does not tell, and if the questions are too few for any difference to be shown.

    Args:
        differences: One per question, first minus baseline.
        tests: How many are corrected together. The level is that of Holm's first step, 5 % over
            their number: what is shown at it is shown whatever the others give.

    Example:
        >>> round(smallest_difference([1.0] * 18 + [-1.0] * 6 + [0.0] * 76), 3)
        0.136
    """
    n, share = len(differences), fmean(value * value for value in differences)
    level = LEVEL / tests
    if not share or 2.0 ** (1 - n) >= level:
        return None
    smallest, critical = 0.0, NormalDist().inv_cdf(1 - level / 2)
    for _ in range(50):  # Connor's formula gives n for a difference; here it is solved for that
        differ = max(share, smallest)  # a difference needs as many questions that differ
        power = Z80 * math.sqrt(max(0.0, differ - smallest**2))
        smallest = (critical * math.sqrt(differ) + power) / math.sqrt(n)
    return min(1.0, smallest)


def spread(means: Sequence[float]) -> float | None:
    """Standard deviation between repeats, such as training seeds; `None` with fewer than two.

    Example:
        >>> round(spread([0.70, 0.72, 0.77]), 3)
        0.036
    """
    return stdev(means) if len(means) > 1 else None
