"""Parsing is tolerant of layouts and total over all text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ParseError, Subquestion
from decompose_distill.parsing import (
    LEAST_REPEATS,
    format_subquestions,
    parse_answer,
    parse_circle,
    parse_subquestions,
    replace_answer,
)

TWO = ["How old is Ada?", "Is #1 above 9?"]

LAYOUTS = {
    "numbers": "1. How old is Ada?\n2. Is #1 above 9?",
    "brackets": "1) How old is Ada?\n(2) Is #1 above 9?",
    "Q labels": "Q1: How old is Ada?\nQ2: Is #1 above 9?",
    "labels in words": "Subquestion 1: How old is Ada?\nSub-question 2: Is #1 above 9?",
    "steps": "Step 1: How old is Ada?\nStep 2 - Is #1 above 9?",
    "hyphens": "- How old is Ada?\n- Is #1 above 9?",
    "bullets": "• How old is Ada?\n* Is #1 above 9?",
    "bold": "**1.** How old is Ada?\n**2. Is #1 above 9?**",
    "one line": "1. How old is Ada? 2. Is #1 above 9?",
    "one line with labels": "Q1: How old is Ada? Q2: Is #1 above 9?",
    "no marks": "How old is Ada?\nIs #1 above 9?",
    "no marks on one line": "How old is Ada? Is #1 above 9?",
    "preamble": "Here are the 2 subquestions:\n\n1. How old is Ada?\n2. Is #1 above 9?",
    "epilogue": "1. How old is Ada?\n2. Is #1 above 9?\n\nThese lead to the answer.",
    "code fence": "```text\n1. How old is Ada?\n2. Is #1 above 9?\n```",
    "heading": "Subquestions:\n1. How old is Ada?\n2. Is #1 above 9?",
    "reasoning first": "<think>1. hm?</think>\n1. How old is Ada?\n2. Is #1 above 9?",
    "main question repeated": "1. How old is Ada?\n2. Is #1 above 9?\n3. Main question: Is she?",
    "wrapped line": "1. How old\nis Ada?\n2. Is #1 above 9?",
    "indented": "  1. How old is Ada?\n  2. Is #1 above 9?",
    "windows line ends": "1. How old is Ada?\r\n2. Is #1 above 9?\r\n",
    "bullets before numbers": "- 1. How old is Ada?\n- 2. Is #1 above 9?",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_subquestions_are_read_from_every_layout(layout: str) -> None:
    found = [each.text for each in parse_subquestions(LAYOUTS[layout])]

    assert found == TWO


@pytest.mark.parametrize(
    "text",
    ["No decomposition", "no decomposition.", '"No decomposition"', "**No decomposition needed**"],
)
def test_a_model_may_decline_to_decompose(text: str) -> None:
    assert parse_subquestions(text) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty completion"),
        (" \n\t", "empty completion"),
        ("```\n```", "empty completion"),
        ("I cannot help with that.", "no subquestions found"),
        ("<think>1. never finished", "empty completion"),
    ],
)
def test_what_cannot_be_read_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse_subquestions(text)


def test_steps_that_are_no_questions_are_kept() -> None:
    found = parse_subquestions("1. Find Ada's age.\n2. Compare #1 with 9")

    assert [each.text for each in found] == ["Find Ada's age.", "Compare #1 with 9"]


def test_numbers_inside_a_question_do_not_split_it() -> None:
    found = parse_subquestions("1. What is 2.5 times 3?\n2. Is it above 7. 5?")

    assert [each.text for each in found] == ["What is 2.5 times 3?", "Is it above 7. 5?"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1. **What is 2**10?**", "What is 2**10?"),
        ("1. What is 2 ** 10?", "What is 2 ** 10?"),
        ("1. **Age:** How old is **Ada**'s son?", "Age: How old is Ada's son?"),
        ("1. __Who__ wrote ____?", "Who wrote ____?"),
        ("1. ***Who?***", "*Who?*"),
    ],
)
def test_emphasis_goes_and_arithmetic_and_blanks_stay(text: str, read: str) -> None:
    assert [each.text for each in parse_subquestions(text)] == [read]


@pytest.mark.parametrize("marked", ["**Answer:** 71", "### Answer: 71", "_Answer_: 71"])
def test_an_answer_that_is_replaced_leaves_nothing_of_the_other(marked: str) -> None:
    text = f"48 + 24 = 71\n{marked}"

    assert replace_answer(text, "72") == "48 + 24 = 71\nThe answer is: 72"
    assert parse_answer(text) == "71"


def test_references_name_the_earlier_steps() -> None:
    assert Subquestion("Is #1 older than #12, or # 3?").references == (1, 12)


def _outcome(text: str) -> tuple[Subquestion, ...] | str:
    try:
        return parse_subquestions(text)
    except ParseError as error:
        return str(error)


def _is_read_or_has_a_reason(outcome: tuple[Subquestion, ...] | str) -> bool:
    reasons = ("empty completion", "no subquestions found")
    return outcome in reasons or all(each.text.strip() for each in outcome)  # type: ignore[union-attr]


@given(st.text())
def test_any_text_gives_subquestions_or_a_reason(text: str) -> None:
    assert _is_read_or_has_a_reason(_outcome(text))


MARKS = ["1.", "2)", "Q1:", "- ", "**", "```", "\n", "No decomposition", "?", " ", "Why", "#1"]
PIECES = st.sampled_from([*MARKS, "<think>"])


@given(st.lists(PIECES).map("".join))
def test_any_mix_of_marks_gives_subquestions_or_a_reason(text: str) -> None:
    assert _is_read_or_has_a_reason(_outcome(text))


WORDS = st.lists(
    st.sampled_from(["how", "old", "is", "Ada", "or", "Bob", "in", "12", "#1", "#2", "towns"]),
    min_size=1,
)
QUESTIONS = WORDS.map(lambda words: "What " + " ".join(words) + "?")


@given(st.lists(QUESTIONS.map(Subquestion), max_size=8).map(tuple))
def test_what_is_formatted_is_read_back(subquestions: tuple[Subquestion, ...]) -> None:
    assert parse_subquestions(format_subquestions(subquestions)) == subquestions


@given(st.lists(QUESTIONS, min_size=1, max_size=6, unique=True), st.integers(1, 6), st.data())
def test_a_text_that_goes_round_in_a_circle_is_read_up_to_where_it_began(
    steps: list[str], period: int, data: st.DataObject
) -> None:
    circle = steps[-min(period, len(steps)) :]
    said = steps + circle * 3
    cut = data.draw(st.integers(len(steps) + LEAST_REPEATS + 1, len(said)))
    text = format_subquestions([Subquestion(step) for step in said[:cut]])

    assert [step.text for step in parse_circle(text)] == steps


@given(st.lists(QUESTIONS, min_size=1, unique=True))
def test_a_text_cut_off_while_it_says_something_new_is_in_no_circle(steps: list[str]) -> None:
    assert parse_circle(format_subquestions([Subquestion(step) for step in steps])) == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So 48 / 2 = 24.\nThe answer is: 72", "72"),
        ("The answer is 5. Wait.\nThe answer is: 6.", "6"),
        ("the final answer is **Paris**.", "Paris"),
        ("Final answer: 18", "18"),
        ("Answer: yes", "yes"),
        ("42", "42"),
        ("some working\n\n3.5", "3.5"),
        ("The answer is:\n7", "7"),
    ],
)
def test_the_final_answer_is_read(text: str, answer: str) -> None:
    assert parse_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So the answer is:\n\\[\n\\boxed{72}\n\\]", "72"),
        ("Thus\n\\[\n\\boxed{72}\n\\]", "72"),
        ("We get \\boxed{72} apples.", "72"),
        ("The answer is $\\boxed{\\$1{,}000}$.", "$1,000"),
        ("\\boxed{\\text{Paris}}", "Paris"),
        ("The answer is \\(\\frac{1}{2}\\).", "1/2"),
        ("The answer is $5 and $6", "$5 and $6"),
        ("\\boxed{5} and then\nThe answer is: 6", "6"),
        ("\\boxed{", "\\boxed{"),
    ],
)
def test_an_answer_in_latex_is_read_without_it(text: str, answer: str) -> None:
    assert parse_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("My final answer is 72.", "72"),
        ("The correct answer is 72.", "72"),
        ("Answers:\n1. 5\nSo she has 72.", "So she has 72"),
        ("Answering the first: 5\n72", "72"),
    ],
)
def test_only_words_that_announce_the_answer_mark_it(text: str, answer: str) -> None:
    assert parse_answer(text) == answer


def test_a_boxed_answer_is_replaced_too() -> None:
    assert replace_answer("Thus\n\\[\n\\boxed{71}\n\\]", "72") == "Thus\nThe answer is: 72"


@given(st.text())
def test_any_text_but_an_empty_one_gives_an_answer(text: str) -> None:
    try:
        answer = parse_answer(text)
    except ParseError as error:
        answer = str(error)

    assert answer.strip()
