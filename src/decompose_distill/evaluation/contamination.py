"""The contamination guard: what is measured must not have been trained on.

Near-duplicates are found by containment of word 5-grams: the share of a question's that stand in
one training question (Broder, "On the resemblance and containment of documents", 1997).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from decompose_distill.types import Question, Trace

GRAM_WORDS = 5
NEAR = 0.6
"""Containment from which a question counts as nearly the same."""
MOST_SHARED = 50
"""Questions that may share a 5-gram; one in more is a turn of phrase and says nothing."""
_INSIDE = re.compile(r"(?<=\w)['’](?=\w)|(?<=\d),(?=\d{3}(?!\d))")
"""Signs that one writes and another leaves out within a word or a number."""
_WORDS = re.compile(r"\w+|[-+−*/×÷^=<>](?=\s*\d)")
"""Words, and signs before a number: 3 + 4 is not 3 - 4."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Ids of measured questions that were trained on, word for word or nearly; else false."""

    exact: tuple[str, ...]
    near: tuple[str, ...]
    n: int
    """Number of questions measured."""

    def __bool__(self) -> bool:
        return bool(self.exact or self.near)

    def __str__(self) -> str:
        return (
            f"of {self.n} questions measured {len(self.exact)} were trained on "
            f"and {len(self.near)} nearly"
        )

    def to_json(self) -> dict[str, Any]:
        """The ids as plain data."""
        return {"exact": list(self.exact), "near": list(self.near), "n": self.n}


def find_overlap(trained_on: Iterable[Question | Trace], measured: Iterable[Question]) -> Overlap:
    """Find the measured questions that were trained on, by their words without case.

    A question about a passage is the same only with the same passage. Memory grows with what is
    measured; what was trained on streams through.

    Example:
        >>> find_overlap([Question("Who is older?")], [Question("who is older")]).exact
        ('e5a2f14ee962ef05',)
    """
    questions = {question.id: question for question in measured}
    whole: dict[int, list[str]] = defaultdict(list)
    owners: dict[int, list[str]] = defaultdict(list)
    for name, question in questions.items():
        whole[hash(_words(question))].append(name)
        for gram in _grams(question):
            owners[gram].append(name)
    telling = {gram: names for gram, names in owners.items() if len(names) <= MOST_SHARED}
    sizes = Counter(name for names in telling.values() for name in names)
    exact: set[str] = set()
    near: set[str] = set()
    for item in trained_on:
        question = item.question if isinstance(item, Trace) else item
        exact.update(whole.get(hash(_words(question)), ()))
        shared = Counter(name for gram in _grams(question) for name in telling.get(gram, ()))
        near.update(name for name, count in shared.items() if count >= NEAR * sizes[name])
    return Overlap(
        tuple(name for name in questions if name in exact),
        tuple(name for name in questions if name in near - exact),
        len(questions),
    )


def _words(question: Question) -> tuple[str, ...]:
    return (" ".join(_split(question.context or "")), *_split(question.text))


def _split(text: str) -> list[str]:
    return _WORDS.findall(_INSIDE.sub("", text.lower()))


def _grams(question: Question) -> set[int]:
    """Hashed 5-grams of the question's words, each with its passage."""
    passage, *words = _words(question)
    return set(_hashed(hash(passage), words))


def _hashed(passage: int, words: list[str]) -> Iterator[int]:
    for start in range(len(words) - GRAM_WORDS + 1):
        yield hash((passage, *words[start : start + GRAM_WORDS]))
