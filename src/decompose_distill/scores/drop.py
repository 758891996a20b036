"""Scores of DROP: exact match and F1 with the semantics of its official evaluator.

Source: Dua et al., NAACL 2019 (arXiv 1903.00161), section 5, and the evaluator the dataset's
authors released. **Several spans** of one accepted answer stand on lines of their own in a gold
(`"Tony Romo\\nShaun Hill"`); an answer may also separate its spans by `;`, as models write one
line, unless the gold itself holds one. A list written with commas or "and" is one span, as for
the official evaluator.
"""

import re
import string
from collections.abc import Sequence

from decompose_distill.scores.versioning import versioned

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@versioned("2")
def drop_em(answer: str, golds: Sequence[str]) -> float | None:
    """1 if the answer's spans are those of a gold, in any order.

    Example:
        >>> drop_em("Shaun Hill; Tony Romo", ["Tony Romo\\nShaun Hill"])
        1.0
        >>> drop_em("$5", ["5.0"]), drop_em("1,000", ["1000"]), drop_em("3.75", ["3"])
        (1.0, 1.0, 0.0)

    Version 1 of both scores took an answer apart at a `;` that its gold has too.
    """
    pairs = [(_normal(_predicted_spans(answer, gold)), _normal(gold)) for gold in _golds(golds)]
    if not pairs:
        return None
    return max(
        float(set(predicted) == set(gold) and len(predicted) == len(gold))
        for predicted, gold in pairs
    )


@versioned("2")
def drop_f1(answer: str, golds: Sequence[str]) -> float | None:
    """Overlap of the token sets of spans, best aligned one to one, rounded to 2 decimals.

    A pair of spans counts 0 if the gold has numbers and the answer none of them.

    Example:
        >>> drop_f1("20 years", ["20"]), drop_f1("21 years", ["20 years"])
        (0.67, 0.0)
    """
    pairs = [(_bags(_predicted_spans(answer, gold)), _bags(gold)) for gold in _golds(golds)]
    if not pairs:
        return None
    return max(_aligned(predicted, gold) for predicted, gold in pairs)


def _golds(golds: Sequence[str]) -> list[list[str]]:
    """The spans of every gold; one whose first span is blank is no answer."""
    spans = (_spans(gold, r"\n") for gold in golds)
    return [gold for gold in spans if gold[0].strip()]


def _predicted_spans(answer: str, gold: list[str]) -> list[str]:
    return _spans(answer, r"\n" if any(";" in span for span in gold) else r"[\n;]")


def _spans(text: str, separator: str) -> list[str]:
    return [span for span in re.split(separator, text) if span.strip()] or [""]


def _normal(spans: list[str]) -> list[str]:
    return [_normalized(span) for span in spans]


def _bags(spans: list[str]) -> list[set[str]]:
    return [set(span.split()) for span in _normal(spans)]


def _normalized(span: str) -> str:
    tokens = (_token(token) for token in re.split("[ -]", span.lower()))
    return " ".join(" ".join(tokens).split())


def _token(token: str) -> str:
    if not _is_number(token):
        token = token.translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", str(float(token)) if _is_number(token) else token)


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _aligned(predicted: list[set[str]], gold: list[set[str]]) -> float:
    """Mean over the larger number of spans, spans left over counting 0."""
    size = max(len(predicted), len(gold))
    pairs = [[_pair(mine, theirs) for mine in predicted] for theirs in gold]
    return round(100 * _best_matching(pairs) / size) / 100


def _pair(predicted: set[str], gold: set[str]) -> float:
    numbers = {token for token in gold if _is_number(token)}
    if numbers and numbers.isdisjoint(predicted):
        return 0.0
    common = len(predicted & gold)
    precision = common / len(predicted) if predicted else 1.0
    recall = common / len(gold) if gold else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _best_matching(gains: list[list[float]]) -> float:
    """Largest sum of gains with each row and each column used at most once.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), cubic in the spans.
    """
    if len(gains) > len(gains[0]):
        gains = [list(column) for column in zip(*gains, strict=True)]
    rows, columns = len(gains), len(gains[0])
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)  # of a column, its row; 0 if free. Column 0 is the start.
    for row in range(1, rows + 1):
        owner[0], here = row, 0
        slack, before = [float("inf")] * (columns + 1), [0] * (columns + 1)
        seen = [False] * (columns + 1)
        while owner[here]:
            seen[here] = True
            step, nearest = float("inf"), 0
            for column in range(1, columns + 1):
                if seen[column]:
                    continue
                cost = -gains[owner[here] - 1][column - 1]
                cost -= row_price[owner[here]] + column_price[column]
                if cost < slack[column]:
                    slack[column], before[column] = cost, here
                if slack[column] < step:
                    step, nearest = slack[column], column
            for column in range(columns + 1):
                if seen[column]:
                    row_price[owner[column]] += step
                    column_price[column] -= step
                else:
                    slack[column] -= step
            here = nearest
        while here:
            owner[here], here = owner[before[here]], before[here]
    pairs = ((owner[column] - 1, column - 1) for column in range(1, columns + 1) if owner[column])
    return sum(gains[row][column] for row, column in pairs)
