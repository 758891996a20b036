"""How often the intervals of a report hold the true mean, and how wide they are.

    python benchmarks/intervals.py --json intervals.json

Studies are drawn from known distributions: right and wrong answers; means over three training
seeds of questions that are hard or easy; scores in between, as F1 gives. Of 100 intervals, 95
should hold the mean. Beside ours stands the percentile bootstrap that stood in the reports before.
Differences are those of two decomposers on the same questions.
"""

import argparse
import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decompose_distill.evaluation import difference_interval, mean_interval

Values = NDArray[np.float64]
Random = np.random.Generator
Draw = Callable[[Random, float, tuple[int, int]], Values]

QUESTIONS, MEANS = (10, 20, 40, 100, 400), (0.5, 0.8, 0.95, 0.99)
STUDIES, RESAMPLES = 2000, 500
AT_LEAST = {"mean": 0.89, "difference": 0.94}
"""Share of intervals that must hold the truth; Wilson's dip to 0.89 for ten easy questions."""


def right_and_wrong(random: Random, mean: float, shape: tuple[int, int]) -> Values:
    return (random.random(shape) < mean).astype(float)


def three_seeds(random: Random, mean: float, shape: tuple[int, int]) -> Values:
    return np.asarray(random.binomial(3, random.beta(mean, 1 - mean, shape)) / 3)


def partial_scores(random: Random, mean: float, shape: tuple[int, int]) -> Values:
    """A fifth of the scores lie in between, the others are 0 or 1."""
    between = 0.4 * min(mean, 1 - mean)
    kind, score = random.random(shape), random.beta(2, 2, shape)
    right = mean - between / 2
    return np.where(kind < right, 1.0, np.where(kind < right + between, score, 0.0))


DRAWS: dict[str, Draw] = {
    "right and wrong": right_and_wrong,
    "three seeds": three_seeds,
    "partial scores": partial_scores,
}


def bootstrap(values: Values, random: Random) -> tuple[float, float]:
    means = values[random.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def held(intervals: list[tuple[float, float]], truth: float) -> tuple[float, float]:
    """Share of the intervals that hold the truth, and their mean width."""
    share = np.mean([low <= truth <= high for low, high in intervals])
    return float(share), float(np.mean([high - low for low, high in intervals]))


def means(kind: str, n: int, mean: float) -> dict[str, Any]:
    random = np.random.default_rng(0)
    studies = DRAWS[kind](random, mean, (STUDIES, n))
    share, width = held([mean_interval(study) for study in studies.tolist()], mean)
    few = studies[: STUDIES // 4]
    before = held([bootstrap(study, random) for study in few], mean)
    row = {"of": "mean", "kind": kind, "n": n, "mean": mean, "held": share, "width": width}
    return row | {"bootstrap_held": before[0], "bootstrap_width": before[1]}


def differences(kind: str, n: int, mean: float) -> dict[str, Any]:
    random = np.random.default_rng(0)
    first, second = (DRAWS[kind](random, each, (STUDIES, n)) for each in (mean, mean - 0.1))
    same = random.random((STUDIES, n)) < 0.6  # questions that both answer alike
    second, truth = np.where(same, first, second), 0.4 * 0.1
    share, width = held([difference_interval(pair) for pair in (first - second).tolist()], truth)
    row = {"of": "difference", "kind": kind, "n": n, "mean": mean, "held": share, "width": width}
    few = (first - second)[: STUDIES // 4]
    before = held([bootstrap(pair, random) for pair in few], truth)
    return row | {"bootstrap_held": before[0], "bootstrap_width": before[1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file of figures to write")
    path = parser.parse_args().json
    rows = [
        measure(kind, n, mean)
        for measure, kind, n, mean in product((means, differences), DRAWS, QUESTIONS, MEANS)
    ]
    print("of, kind: share held by ours and by the bootstrap, on average and at worst")
    for of, kind in product(AT_LEAST, DRAWS):
        some = [row for row in rows if (row["of"], row["kind"]) == (of, kind)]
        shares = ([row[name] for row in some] for name in ("held", "bootstrap_held"))
        figures = "  ".join(f"{np.mean(share):.3f} {min(share):.3f}" for share in shares)
        print(f"{of}, {kind}: {figures}")
    if path:
        path.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return any(row["held"] < AT_LEAST[row["of"]] for row in rows)


if __name__ == "__main__":
    sys.exit(main())
