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


ANSWERS = {
    "The answer is:\nx - 3": "x - 3",
    "The answer is:\n- x - 3": "x - 3",
    "Answer:\nCost * 2": "Cost * 2",
    "The answer is:\n• 72\nFerries run daily.": "72",
    "**Answer**\n\n---\n72\n\nFerries run daily.": "72",
    '{"answer": "72': '{"answer": "72',
    '{"answer": "72", "why": "70 + 2"}': "72",
    "{'answer': '72', 'why': 'so'}": "72",
    '{"answer": 72, "why": "so"}': "72",
    "The answer is Rome. Wait.\n#### Oslo": "Oslo",
    "The answer is 5.\n#### Step 2: check\nIt holds.": "5",
    "The answer is 5.\n#### 6\nIt holds.": "6",
    "The answer is 72.\nThe answer is correct.": "72",
    "The answer is 72.\nThe answer is not 71.": "72",
    "The answer is 72.\nAnswer: see above": "72",
    "<answer>71</answer>\n<answer>72</answer>": "72",
    "<answer>so\n72</answer>": "72",
    "[ANSWER]72[/ANSWER]": "72",
    "The answer is 72.\n<result>It is done</result>": "72",
    "\\boxed{71} or \\boxed{72}": "72",
    "\\boxed{\\{1, 2\\}}": "{1, 2}",
    "\\boxed{72": "\\boxed{72",
    "So we get 72.\nLet me know if you need more!": "72",
    "The total is 72": "72",
    "So the result is: 72": "72",
    "## Oslo": "Oslo",
    "72\n</answer>": "72",
    "72\n\\]": "72",
    "The answer is 72 because 70 + 2 = 72.": "72",
    "The answer is yes. The ferry is late.": "yes",
    "The answer is 72. I hope this helps.": "72",
    "答えは72です。": "72",
    "The answer is *Oslo*": "Oslo",
    "The answer is _Oslo_.": "Oslo",
    "The answer is 3.5.": "3.5",
    "Answer 1: 71\nAnswer 2: 72": "72",
    "Answer #1: 71\nAnswer #2: Oslo": "Oslo",
    "Answer 10:30": "10:30",
    "| Step | Value |\n|---|---|\n| 1 | 71 |\n| **Total** | **72** |": "72",
    "| Final answer | 72 |\n\nLet me know if you need more!": "72",
    "| Answer: 72 |": "72",
    "|x|": "|x|",
    "70 + 2\n> 72": "72",
    "x > 72": "x > 72",
    "Final answer: 72\n\nProblem: Who won?\nQ1: Who played?\nFinal answer: Ada": "72",
    "70 + 2\n#### 72\n\nQuestion: Who won?\n#### 5": "72",
    "Question: Who played?\nAnswer: Ada\nQuestion: Who won?\nAnswer: Bob": "Bob",
    "That gives us 72 as the final answer.": "72",
    "The answer appears to be 72.": "72",
    "La réponse finale est donc 72.": "72",
    "Die Antwort ist also Oslo.": "Oslo",
    "Odpowiedź końcowa: 72": "72",
    "Assistant: Oslo": "Oslo",
    "Q: Where is it?\nA: Oslo": "Oslo",
    "The model is 72": "The model is 72",
    "【答案】72": "72",
    "【答案】B【解析】70 + 2": "B",
}


def test_a_text_gives_this_answer_and_no_other() -> None:
    assert {text: parse_answer(text) for text in ANSWERS} == ANSWERS


def test_a_text_that_says_nothing_gives_no_answer() -> None:
    for text in ("", " \n", "<think>72", "```\n```"):
        with pytest.raises(ParseError, match=r"\Aempty completion\Z"):
            parse_answer(text)


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("71", "71\nThe answer is: 72"),
        ("So.\nThe answer is $71$.", "So.\nThe answer is: 72"),
        ("So.\n<answer>71</answer>", "So.\nThe answer is: 72"),
        ("So.\nFinal Answer: The answer is 71", "So.\nThe answer is: 72"),
        ("So.\n$$\\boxed{71}$$", "So.\nThe answer is: 72"),
        ("So.\n#### 71", "So.\nThe answer is: 72"),
        ("So.\n**Answer:** \\(\\boxed{71}\\)", "So.\nThe answer is: 72"),
        ("<think>hm</think>The answer is 71.", "The answer is: 72"),
        ("The answer is 5. No.\nThe answer is 71.", "The answer is 5. No.\nThe answer is: 72"),
    ],
)
def test_a_replaced_answer_stands_alone_behind_what_led_to_it(text: str, replaced: str) -> None:
    assert replace_answer(text, " 72 ") == replaced
