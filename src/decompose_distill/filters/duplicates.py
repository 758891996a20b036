"""Filters that drop repeated traces: word for word, or nearly.

Nearness is the Jaccard index of sets of three consecutive words (Broder, "On the resemblance and
containment of documents", 1997), found through minimum hashes in bands, so that a trace is
compared with a handful of those before it.
"""

import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from decompose_distill.errors import ConfigError
from decompose_distill.filters.outcomes import Filter, decomposed
from decompose_distill.filters.word_tokens import words
from decompose_distill.types import Trace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint32]

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
    said = words(text) or [text]
    passage = zlib.crc32((trace.question.context or "").encode("utf-8", "surrogatepass"))
    starts = range(max(1, len(said) - SHINGLE_WORDS + 1))
    shingles = (" ".join(said[start : start + SHINGLE_WORDS]) for start in starts)
    hashed = [zlib.crc32(each.encode("utf-8", "surrogatepass"), passage) for each in shingles]
    return np.unique(np.array(hashed, dtype=np.uint32))


def _index(similarity: float) -> "Callable[[Hashes], bool]":
    """A function that says whether a set is like one it was given before, else remembers it."""
    import numpy as np

    rows = max(1, int(math.log(CHANCE) / math.log(similarity)))
    factors, offsets = np.random.default_rng(0).integers(
        0, 2**64, size=(2, BANDS * rows, 1), dtype=np.uint64
    )
    kept: list[bytes] = []
    places: dict[int, int] = {}  # of a band, the trace that last had it

    def bands(shingles: "Hashes") -> list[int]:
        mixed = (shingles.astype(np.uint64) * (factors | 1) + offsets) >> np.uint64(32)
        least = mixed.min(axis=1).reshape(BANDS, rows)
        whole = hash(shingles.tobytes())  # finds what is the same in any case
        return [whole, *(hash((band, row.tobytes())) for band, row in enumerate(least))]

    def repeats(shingles: "Hashes") -> bool:
        keys = bands(shingles)
        for place in {places[key] for key in keys if key in places}:
            other = np.frombuffer(kept[place], dtype=np.uint32)
            shared = np.intersect1d(shingles, other, assume_unique=True).size
            if shared >= similarity * (shingles.size + other.size - shared):
                return True
        places.update(dict.fromkeys(keys, len(kept)))
        kept.append(shingles.tobytes())
        return False

    return repeats
