"""A decomposition that says the answer is dropped; one that only looks like it is kept."""

import pytest

from decompose_distill import (
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    filters,
)

LEAK = "answer in a subquestion"


def _trace(text: str, answer: str | None, *steps: str, **fields: object) -> Trace:
    question = Question(text, answer, **fields)  # type: ignore[arg-type]
    split = Decomposition(question, tuple(map(Subquestion, steps)))
    return Trace(question, Solution(split, "?"))


@pytest.mark.parametrize(
    ("text", "answer", "step"),
    [
        ("How much do 9 eggs cost at $2?", "18", "Is it 18?"),
        ("How much do 9 eggs cost at $2?", "18", "Is it $18.00?"),
        ("How much do 9 eggs cost at $2?", "9 * 2 = 18\n#### 18", "What is 9*2=18?"),
        ("How many live there?", "70,000", "Are there 70000 people?"),
        ("How many live there?", "70000", "Are there 70,000 people?"),
        ("How cold is it?", "-5", "Why is it 5 below zero?"),
        ("Is a number like 2.5 in 2.55?", "2", "Is it 2?"),
        ("Who was president then?", "James Madison", "When was james madison's birthday?"),
        ("Who was president then?", "James Madison", "How old was James  Madison?"),
        ("Who won, and who lost?", "Tony Romo\nShaun Hill", "How old is Shaun Hill?"),
        ("Where?", "The Hague", "How large is the Hague?"),
        ("首都はどこですか?", "東京", "東京の人口は?"),
        ("Which is it?", "Straße", "How long is the STRASSE?"),
    ],
)
def test_an_answer_in_a_subquestion_is_a_leak(text: str, answer: str, step: str) -> None:
    assert filters.no_leak(_trace(text, answer, "Who is it?", step)) == LEAK


@pytest.mark.parametrize(
    ("text", "answer", "step"),
    [
        ("What is 6 divided by 3?", "2", "What is #1 plus #2?"),
        ("How many are there?", "2", "Who came 2nd, in B2, at 1.2?"),
        ("How many are there?", "2", "Are there 12, 20 or 2,000?"),
        ("Does she sell 2 eggs?", "2", "What are 2 eggs?"),
        ("Two friends share them. How many?", "2", "What does each of the 2 friends get?"),
        ("She sells half. How many?", "2", "What is 4 / 2?"),
        ("Is Ada older?", "yes", "Did she say yes?"),
        ("Is Ada older?", "no", "Is there no record?"),
        ("Which option is right?", "A", "What is a cat?"),
        ("Who is older, Ada or Bob?", "Bob", "How old is Bob?"),
        ("Who is older, Ada or the Smiths?", "Smith", "How old is Smith?"),
        ("Who was first?", "Hill", "How high is Churchill?"),
        ("Who was first?", "the", "What is the time?"),
        ("How many?", "", "How many?"),
    ],
)
def test_what_only_looks_like_the_answer_is_kept(text: str, answer: str, step: str) -> None:
    assert filters.no_leak(_trace(text, answer, "Who is it?", step)) is None


def test_an_answer_that_the_passage_gives_may_be_said() -> None:
    trace = _trace("Who won?", "Ada", "Did Ada win?", context="Ada beat Bob.")

    assert filters.no_leak(trace) is None


def test_an_alias_is_an_answer_too() -> None:
    trace = _trace("Which country?", "UK", "How large is Britain?", aliases=("Britain",))

    assert filters.no_leak(trace) == LEAK


def test_without_a_gold_answer_nothing_can_be_given_away() -> None:
    assert filters.no_leak(_trace("Who won?", None, "Did Ada win?")) is None


def test_what_was_never_decomposed_is_dropped_for_that() -> None:
    question = Question("Who won?", "Ada")
    failure = Failure(question, "decompose", "length")

    assert filters.no_leak(Trace(question, failure)) == "decompose: length"
