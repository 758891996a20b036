"""The final answer is read from every mark, and everything around it is taken off."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ParseError, scores
from decompose_distill.parsing import parse_answer, replace_answer

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "answers.jsonl")
    .read_text(encoding="utf-8")
    .strip()
    .split("\n")
]


@pytest.mark.parametrize("score", sorted({case["score"] for case in CASES}))
def test_the_cases_of_a_score_get_their_points(score: str) -> None:
    faults = [
        (case["name"], answer, points)
        for case in CASES
        if case["score"] == score
        and (answer := case["answer"] if "answer" in case else parse_answer(case["text"]))
        is not None
        and (points := getattr(scores, score)(answer, [case["gold"]])) != case["right"]
    ]

    assert not faults


@pytest.mark.parametrize("marked", ["**Answer:** 71", "### Answer: 71", "_Answer_: 71"])
def test_an_answer_that_is_replaced_leaves_nothing_of_the_other(marked: str) -> None:
    text = f"48 + 24 = 71\n{marked}"

    assert replace_answer(text, "72") == "48 + 24 = 71\nThe answer is: 72"
    assert parse_answer(text) == "71"


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
    "form",
    [
        *(
            "The answer to this question is {a}.",
            "THE ANSWER IS: {a}",
            "The final answer, then, is {a}.",
        ),
        *(
            "The answer is therefore {a}",
            "The answer is equal to {a}.",
            "The answer is simply {a}.",
        ),
        *("Thus our final answer comes to {a}.", "This gives a final answer of {a}.", "Ans = {a}"),
        *("Final: {a}", "Final Ans: {a}", "Final Answer ⇒ {a}", "Final answer\n---------\n{a}"),
        *("<b>Answer:</b> {a}", "Answer:&nbsp;{a}", "<final-answer>{a}</final-answer>"),
        *('<answer type="final">{a}</answer>', "<result>{a}</result>", "{{'answer': '{a}'}}"),
        *("<answer>{a}</answer>\n<output>done</output>", "#### {a}\n\nHope that helps!"),
        *("The answer is: {a}\nFinal answer: see above", "Therefore the result is {a}."),
        *("Result: {a}", "The total is {a}.", "The correct option is {a}.", "Vastaus: {a}"),
        *("Also lautet die Antwort {a}.", "Endergebnis: {a}", "答案应为{a}。", "คำตอบคือ {a}"),
        *("התשובה היא {a}", "Відповідь: {a}", "Jawabannya adalah {a}."),
    ],
)
@pytest.mark.parametrize("answer", ["72", "Oslo"])
def test_an_answer_is_read_whatever_marks_it(form: str, answer: str) -> None:
    assert parse_answer(f"We add 70 and 2.\n{form.format(a=answer)}") == answer


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("72 (rounded from 71.6)", "72"),
        ("72 (that is 70 + 2)", "72"),
        ("72 as 70 + 2 = 72", "72"),
        ("6.67 (rounded up to 7)", "6.67 (rounded up to 7)"),
        ("3 (mod 7)", "3 (mod 7)"),
        ("10 (base 2)", "10 (base 2)"),
        ("Oslo (Norway)", "Oslo (Norway)"),
    ],
)
def test_a_remark_behind_a_number_is_no_part_of_it(said: str, answer: str) -> None:
    assert parse_answer(f"The answer is: {said}") == answer


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
        ("Two steps:\n#1 is the capital", "#1 is the capital"),
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
