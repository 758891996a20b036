"""Scores: how right an answer is, between 0 and 1; `None` where it cannot be told.

A score is any function `(answer, golds) -> float | None`. With several accepted answers the
best one counts.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

Score = Callable[[str, Sequence[str]], float | None]

_NUMBER = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?|[-+]?\$?\.\d+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = re.compile(r"[^\w\s]")


def exact(answer: str, golds: Sequence[str]) -> float | None:
    """1 where the answer equals a gold: as numbers, else without case, punctuation, articles.

    Example:
        >>> exact("The Eiffel Tower.", ["eiffel tower"]), exact("$1,000", ["1000.0"])
        (1.0, 1.0)
    """
    if not golds:
        return None
    return max(float(_normalized(answer) == _normalized(gold)) for gold in golds)


def f1(answer: str, golds: Sequence[str]) -> float | None:
    """Overlap of words between answer and gold, as the harmonic mean of precision and recall.

    Example:
        >>> f1("the red ball", ["a red big ball"])
        0.8
    """
    if not golds:
        return None
    return max(_overlap(_normalized(answer).split(), _normalized(gold).split()) for gold in golds)


def gsm8k(answer: str, golds: Sequence[str]) -> float | None:
    """1 where the last number of the answer equals the gold's number after `####`.

    Example:
        >>> gsm8k("She earns $18.00 a day", ["9 * 2 = 18\\n#### 18"])
        1.0
    """
    numbers = [_last_number(gold.rpartition("####")[2]) for gold in golds]
    known = [number for number in numbers if number is not None]
    if not known:
        return None
    return float(_last_number(answer) in known)


def _overlap(answer: list[str], gold: list[str]) -> float:
    common = (Counter(answer) & Counter(gold)).total()
    if not common:
        return float(answer == gold)
    precision, recall = common / len(answer), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _normalized(text: str) -> str:
    if (number := _as_number(text)) is not None:
        return str(number)
    text = _PUNCTUATION.sub(" ", text.lower())
    return " ".join(_ARTICLES.sub(" ", text).split())


def _as_number(text: str) -> Decimal | None:
    text = text.strip().rstrip(".%").strip()
    return _decimal(text) if _NUMBER.fullmatch(text) else None


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    return _decimal(found[-1]) if found else None


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "").replace("$", "")).normalize()
    except InvalidOperation:  # digits of another script
        return None
