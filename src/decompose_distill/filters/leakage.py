"""A filter that drops decompositions which give the answer away."""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from decompose_distill.data import after_marker
from decompose_distill.filters.outcomes import decomposed
from decompose_distill.filters.word_tokens import words
from decompose_distill.scores.numeric import as_number
from decompose_distill.types import Trace

# Not the 2 of "#2", "2nd", "B2" or "1.2"; a sign is left aside, as "5 below zero" has none.
_NUMBER = re.compile(r"(?<![\w#.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w]|[.,]\d)")
_COUNTED = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "dozen": 12,
    "once": 1, "twice": 2, "both": 2, "half": 2,
}  # fmt: skip
"""Words by which a question gives a number."""
_UNTELLING = frozenset(["yes", "no", "true", "false", "a", "an", "the"])
"""Golds that are said in passing; whether they are given away no search for words can tell."""


def no_leak(trace: Trace) -> str | None:
    """Keep decompositions that do not say the gold answer.

    A leak is an accepted answer that stands in a subquestion, and in neither the question nor
    its context: a number by value (`18`, `$18.00`), words as whole words one after the other.
    The number of an earlier step (`#2`) is none, nor an ordinal (`2nd`), nor a number the
    question spells out (`two`). Answers yes, no, true, false and single letters cannot be
    found by search and are kept, and so is what has no gold answer.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution, Subquestion
        >>> question = Question("Is it 9 eggs at $2 each?", answer="18")
        >>> def split(*steps):
        ...     decomposition = Decomposition(question, tuple(map(Subquestion, steps)))
        ...     return Trace(question, Solution(decomposition, "18"))
        >>> no_leak(split("What are 9 eggs at $2?"))
        >>> no_leak(split("What are 9 eggs at $2?", "Is #1 equal to $18?"))
        'answer in a subquestion'
    """
    if trace.decomposition is None:
        return decomposed(trace)
    given = (trace.question.text, trace.question.context or "")
    steps = [step.text for step in trace.decomposition.subquestions]
    leaks = any(_leaks(span, steps, given) for span in _spans(trace.question.golds))
    return "answer in a subquestion" if leaks else None


def _spans(golds: Iterable[str]) -> list[str]:
    """Accepted answers, each span of several by itself; of GSM8K's what follows `####`."""
    finals = map(after_marker, golds)
    return [span for final in finals for span in final.splitlines() if span.strip()]


def _leaks(answer: str, steps: Sequence[str], given: Sequence[str]) -> bool:
    if (number := as_number(answer)) is not None:
        return abs(number) in _numbers(steps) - _numbers(given) - _counted(given)
    sought = [word for word in words(answer) if word not in _UNTELLING]
    if not sought or (len(sought) == 1 and len(sought[0]) == 1 and sought[0].isascii()):
        return False
    return _says(steps, sought) and not _says(given, sought)


def _numbers(texts: Iterable[str]) -> set[Decimal]:
    found = (number.replace(",", "") for text in texts for number in _NUMBER.findall(text))
    return {Decimal(number) for number in found}


def _counted(texts: Iterable[str]) -> set[int]:
    return {_COUNTED[word] for text in texts for word in words(text) if word in _COUNTED}


def _says(texts: Iterable[str], sought: Sequence[str]) -> bool:
    """Whether a text holds the words, one after the other; a plural counts as its singular."""
    needle = f" {' '.join(map(_singular, sought))} "
    return any(needle in f" {' '.join(map(_singular, _telling(text)))} " for text in texts)


def _telling(text: str) -> list[str]:
    return [word for word in words(text) if word not in _UNTELLING]


def _singular(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
