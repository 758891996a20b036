"""Nearly repeated traces are found without comparing all pairs."""

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import ConfigError, Decomposition, Question, Solution, Subquestion, Trace
from decompose_distill.filters import near_distinct, screen

VOCABULARY = [f"{first}{second}" for first in "bcdfgh" for second in ("an", "el", "or", "ip")]


def _trace(text: str, *steps: str, context: str | None = None) -> Trace:
    question = Question(text, context=context)
    return Trace(question, Solution(Decomposition(question, tuple(map(Subquestion, steps))), "x"))


def _triples(trace: Trace) -> set[tuple[str, ...]]:
    assert trace.decomposition
    words = trace.question.text.split()
    words += [word for step in trace.decomposition.subquestions for word in step.text.split()]
    return {tuple(words[start : start + 3]) for start in range(max(1, len(words) - 2))}


def _alike(trace: Trace, others: list[set[tuple[str, ...]]], similarity: float) -> bool:
    """By the definition, on words themselves."""
    mine = _triples(trace)
    return any(len(mine & other) >= similarity * len(mine | other) for other in others)


def _varied(seed: int, count: int) -> list[Trace]:
    """Random texts, each followed by versions of itself with more and more words exchanged."""
    rng = random.Random(seed)
    traces = []
    for _ in range(count):
        words = rng.choices(VOCABULARY, k=60)
        for changes in (0, 1, 2, 4, 8):
            changed = list(words)
            for place in rng.sample(range(60), changes):
                changed[place] = rng.choice(VOCABULARY)
            traces.append(_trace(" ".join(changed[:20]), " ".join(changed[20:])))
    return traces


@settings(max_examples=25)  # the first call imports numpy
@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.6, 0.8, 0.9]))
def test_only_what_is_similar_to_a_trace_kept_before_is_dropped(
    seed: int, similarity: float
) -> None:
    keep = near_distinct(similarity)
    kept: list[set[tuple[str, ...]]] = []
    for trace in _varied(seed, 3):
        alike = _alike(trace, kept, similarity)
        if keep(trace) is None:
            kept.append(_triples(trace))
        else:
            assert alike


def test_nearly_all_that_is_similar_is_found_among_many() -> None:
    keep = near_distinct(0.8)
    kept: list[set[tuple[str, ...]]] = []
    missed = found = 0
    for trace in _varied(1, 80):
        alike = _alike(trace, kept, 0.8)
        dropped = keep(trace) is not None
        missed += alike and not dropped
        found += dropped
        if not dropped:
            kept.append(_triples(trace))

    assert found > 100
    assert missed <= 0.03 * found


@settings(max_examples=25)  # the first call imports numpy
@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_a_repeat_is_always_found_whatever_the_text(texts: list[str]) -> None:
    traces = [_trace(text, text[::-1]) for text in texts]
    kept = screen(traces + traces, near_distinct()).kept

    assert len(kept) <= len(set(texts))


def test_case_spaces_and_punctuation_make_no_difference() -> None:
    keep = near_distinct(0.99)

    assert keep(_trace("How old is Ada, 1,000?", "Who is #1?")) is None
    assert keep(_trace("how OLD is  Ada - 1000", "who is #1")) == "near duplicate"


def test_a_question_about_another_passage_is_another() -> None:
    keep = near_distinct()

    assert keep(_trace("Who won?", "Who played?", context="Ada beat Bob.")) is None
    assert keep(_trace("Who won?", "Who played?", context="Bob beat Ada.")) is None


def test_the_choice_is_the_same_in_every_process() -> None:
    code = (
        "from tests.filters.test_duplicates import _varied;"
        "from decompose_distill.filters import near_distinct;"
        "keep = near_distinct(0.7); print([keep(trace) is None for trace in _varied(5, 20)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(said) == 1


@pytest.mark.parametrize("similarity", [0.49, 1.0, 80])
def test_a_similarity_out_of_range_is_refused(similarity: float) -> None:
    with pytest.raises(ConfigError, match=r"similarity must be from 0\.5"):
        near_distinct(similarity)
