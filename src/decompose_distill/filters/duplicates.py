"""Traces that say what others say, and decompositions that give their answer away."""

import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from decompose_distill.data import after_marker
from decompose_distill.errors import ConfigError
from decompose_distill.filters.screening import Filter, decomposed
from decompose_distill.scores.numeric import as_number
from decompose_distill.types import Trace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint32]

# Scripts without spaces between words: each sign is a word of its own.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|\d+(?:[.,]\d+)*|[^\W\d{_UNSPACED}]+")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")


def words(text: str) -> list[str]:
    """Words and numbers without case, punctuation and thousands commas.

    Example:
        >>> words("Who paid $1,000 for Emma’s 2 cars?")
        ['who', 'paid', '1000', 'for', 'emma', 's', '2', 'cars']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_THOUSANDS.sub("", plain))


SHINGLE_WORDS = 3
BANDS = 8
CHANCE = 0.4
"""Least chance that one band of two just similar enough traces agrees; of eight, 98 %."""


def distinct() -> Filter:
    """Keep the first of the traces that split a question alike; made anew for each use.

    It holds some 140 bytes for each trace kept.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> keep, question = distinct(), Question("Why?")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "so"))
        >>> keep(trace), keep(trace)
        (None, 'duplicate')
    """
    seen: set[int] = set()

    def keep(trace: Trace) -> str | None:
        split = trace.decomposition and trace.decomposition.subquestions
        key = hash((trace.question.text, trace.question.context, split))
        if key in seen:
            return "duplicate"
        seen.add(key)
        return None

    return keep


def near_distinct(similarity: float = 0.8) -> Filter:
    """Keep the first of the traces whose question and subquestions are nearly the same words.

    What is dropped is at least that similar to a trace kept before it, by exact comparison. Of
    traces just that similar about 2 in 100 are missed, of more similar ones fewer, of those
    that differ in case, punctuation or spaces only none. A question about a passage is like
    another about the same passage only. Made anew for each use. It holds some 1.3 kB for each
    trace kept; the choice depends on the order of the traces and on nothing else.

    Args:
        similarity: Jaccard index of the sets of three consecutive words, from 0.5 to below 1.

    Raises:
        ConfigError: `similarity` is out of range.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution, Subquestion
        >>> keep = near_distinct()
        >>> def split(text):
        ...     steps = (Subquestion("How old is Ada?"), Subquestion(text))
        ...     question = Question("How old are Ada and Bob together?")
        ...     return Trace(question, Solution(Decomposition(question, steps), "42"))
        >>> keep(split("What is #1 plus the age of Bob?"))
        >>> keep(split("what is #1, plus the age of Bob"))
        'near duplicate'
    """
    if not 0.5 <= similarity < 1:
        raise ConfigError(f"similarity must be from 0.5 to below 1, not {similarity}")
    repeats = _index(similarity)

    def keep(trace: Trace) -> str | None:
        return decomposed(trace) or ("near duplicate" if repeats(_shingles(trace)) else None)

    return keep


def _shingles(trace: Trace) -> "Hashes":
    """Sorted hashes of three consecutive words each; the passage goes into every one."""
    import numpy as np

    steps = trace.decomposition.subquestions if trace.decomposition else ()
    text = "\n".join((trace.question.text, *(step.text for step in steps)))
    tokens = words(text) or [text]
    passage = zlib.crc32((trace.question.context or "").encode("utf-8", "surrogatepass"))
    starts = range(max(1, len(tokens) - SHINGLE_WORDS + 1))
    shingles = (" ".join(tokens[start : start + SHINGLE_WORDS]) for start in starts)
    hashed = [zlib.crc32(shingle.encode("utf-8", "surrogatepass"), passage) for shingle in shingles]
    return np.unique(np.array(hashed, dtype=np.uint32))


def _index(similarity: float) -> "Callable[[Hashes], bool]":
    """A function that says whether a set is like one it was given before, else remembers it."""
    import numpy as np

    rows = max(1, int(math.log(CHANCE) / math.log(similarity)))
    factors, offsets = np.random.default_rng(0).integers(
        0, 2**64, size=(2, BANDS * rows, 1), dtype=np.uint64
    )
    kept: list[bytes] = []
    latest: dict[int, int] = {}  # of a band, the trace that last had it

    def bands(shingles: "Hashes") -> list[int]:
        mixed = (shingles.astype(np.uint64) * (factors | 1) + offsets) >> np.uint64(32)
        least = mixed.min(axis=1).reshape(BANDS, rows)
        whole = hash(shingles.tobytes())  # finds what is the same in any case
        return [whole, *(hash((band, row.tobytes())) for band, row in enumerate(least))]

    def repeats(shingles: "Hashes") -> bool:
        keys = bands(shingles)
        for index in {latest[key] for key in keys if key in latest}:
            other = np.frombuffer(kept[index], dtype=np.uint32)
            shared = np.intersect1d(shingles, other, assume_unique=True).size
            if shared >= similarity * (shingles.size + other.size - shared):
                return True
        latest.update(dict.fromkeys(keys, len(kept)))
        kept.append(shingles.tobytes())
        return False

    return repeats


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
    known = (trace.question.text, trace.question.context or "")
    steps = [step.text for step in trace.decomposition.subquestions]
    leaks = any(_leaks(span, steps, known) for span in _spans(trace.question.golds))
    return "answer in a subquestion" if leaks else None


def _spans(golds: Iterable[str]) -> list[str]:
    """Accepted answers, each span of several by itself; of GSM8K's what follows `####`."""
    finals = map(after_marker, golds)
    return [span for final in finals for span in final.splitlines() if span.strip()]


def _leaks(answer: str, steps: Sequence[str], known: Sequence[str]) -> bool:
    if (number := as_number(answer)) is not None:
        return abs(number) in _numbers(steps) - _numbers(known) - _counted(known)
    sought = [word for word in words(answer) if word not in _UNTELLING]
    if not sought or (len(sought) == 1 and len(sought[0]) == 1 and sought[0].isascii()):
        return False
    return _says(steps, sought) and not _says(known, sought)


def _numbers(texts: Iterable[str]) -> set[Decimal]:
    numbers = (number.replace(",", "") for text in texts for number in _NUMBER.findall(text))
    return {Decimal(number) for number in numbers}


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
