"""Scores meet their semantics; without a gold answer there is no score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import scores


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("72", "72", 1),
        ("72.0", "72", 1),
        ("$1,000", "1000", 1),
        ("-5", "5", 0),
        ("3.75", "3", 0),
        ("The Eiffel Tower.", "eiffel tower", 1),
        ("Paris", "London", 0),
        ("", "72", 0),
        ("the", "a", 0),
        ("C++", "C", 0),
        ("C#", "c#", 1),
        ("?", "!", 0),
        ("50 %", "50", 1),
    ],
)
def test_exact_compares_numbers_as_numbers_and_words_as_words(
    answer: str, gold: str, points: float
) -> None:
    assert scores.exact(answer, [gold]) == points


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("18", "9 * 2 = 18\n#### 18", 1),
        ("She earns $1,018.00 a day", "#### 1,018", 1),
        ("first 18 then 19", "#### 18", 0),
        ("-3", "#### -3", 1),
        ("3.75", "#### 3", 0),
        ("none", "#### 3", 0),
    ],
)
def test_gsm8k_takes_the_last_number(answer: str, gold: str, points: float) -> None:
    assert scores.gsm8k(answer, [gold]) == points


def test_the_best_of_several_golds_counts() -> None:
    assert scores.exact("NYC", ["New York", "nyc"]) == 1
    assert scores.f1("red ball", ["blue", "red ball"]) == 1


@pytest.mark.parametrize("score", [scores.exact, scores.f1, scores.gsm8k])
def test_without_a_gold_answer_there_is_no_score(score: scores.Score) -> None:
    assert score("72", []) is None


def test_a_gold_without_number_cannot_be_scored_as_a_number() -> None:
    assert scores.gsm8k("72", ["unknown"]) is None


@pytest.mark.parametrize("score", [scores.exact, scores.f1, scores.gsm8k])
@given(answer=st.text(), gold=st.text())
def test_any_text_scores_between_0_and_1(score: scores.Score, answer: str, gold: str) -> None:
    points = score(answer, [gold])

    assert points is None or 0 <= points <= 1


@given(st.text(min_size=1).filter(str.strip))
def test_an_answer_equals_itself(answer: str) -> None:
    assert scores.exact(answer, [answer]) == 1
    assert scores.f1(answer, [answer]) == 1
