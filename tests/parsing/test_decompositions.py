"""Decompositions are read from every form in which models write them, or not at all."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import (
    Completion,
    Decomposer,
    Failure,
    ParseError,
    Question,
    Request,
    Subquestion,
)
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.parsing import (
    LEAST_REPEATS,
    format_subquestions,
    parse_circle,
    parse_subquestions,
    read_decomposition,
)
from tests.parsing import forms

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "parsing.jsonl")
    .read_text(encoding="utf-8")
    .strip()
    .split("\n")
]
KINDS = sorted({case["kind"] for case in CASES} - {"message"})
QUESTIONS_IN_FORMS = {
    "plain": ["How much does one ferry ticket cost?", "How many tickets do 14 scouts need?"],
    "numbers": [
        "How many points is question 1 worth?",
        "Did Ada solve both question 1 and question 2?",
        "Which takes longer, step 1 or step 2 of it?",
    ],
    "references": ["Who wrote Emma?", "When was #1 born?", "Is #2 before 1800?"],
}

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
    [
        *("No decomposition", "no decomposition.", '"No decomposition"'),
        *("**No decomposition needed**", '"No decomposition" – it is one lookup.'),
        *(
            "No decomposition: What is the capital of Peru? is one fact.",
            "Subquestions: none needed.",
        ),
        "No decomposition needed since this is a direct question: Who wrote Emma?",
        *("No es necesario descomponer la pregunta.", "分解の必要はありません。"),
        "분해가 필요하지 않습니다.",
    ],
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
        ("1. What does <b>p</b> do?", "What does p do?"),
        ("1. What does the <b> tag do?", "What does the <b> tag do?"),
        ("1. **Age**\n   How old is Ada?", "How old is Ada?"),
        ("1. How old is Ada? -> ", "How old is Ada?"),
        ("1. How old is Ada?; and", "How old is Ada?"),
    ],
)
def test_emphasis_goes_and_arithmetic_and_blanks_stay(text: str, read: str) -> None:
    assert [each.text for each in parse_subquestions(text)] == [read]


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


def _read(text: str) -> list[str]:
    return [subquestion.text for subquestion in parse_subquestions(text)]


def _decomposed(text: str) -> list[str] | str:
    """What a `Decomposer` makes of a text."""
    [outcome] = Decomposer(ScriptedBackend(lambda _: text)).decompose([Question("Why?")])
    if isinstance(outcome, Failure):
        return "failure"
    return [subquestion.text for subquestion in outcome.subquestions]


@pytest.mark.parametrize("kind", KINDS)
def test_a_decomposer_reads_the_cases_of_a_kind(kind: str) -> None:
    faults = [
        (case["name"], decomposed)
        for case in CASES
        if case["kind"] == kind
        and (decomposed := _decomposed(case["text"])) != case["right"]
        and decomposed not in case.get("any", [])
    ]

    assert not faults


def test_reasoning_in_a_field_of_its_own_is_no_part_of_the_text() -> None:
    [case] = [case for case in CASES if case["name"] == "reasoning-field"]

    assert _decomposed(case["message"]["content"]) == case["right"]


def test_a_text_cut_off_before_it_said_anything_is_a_failure_of_its_length() -> None:
    class Cut:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return (Completion(request.id, "", "length") for request in requests)

    [outcome] = Decomposer(Cut()).decompose([Question("Why?")])

    assert isinstance(outcome, Failure)
    assert outcome.reason == "length"


@pytest.mark.parametrize("questions", QUESTIONS_IN_FORMS)
@pytest.mark.parametrize("form", forms.FORMS)
def test_questions_are_read_from_every_form(form: str, questions: str) -> None:
    items = QUESTIONS_IN_FORMS[questions]

    assert _read(forms.FORMS[form](items)) == items


@pytest.mark.parametrize("form", forms.STATEMENT_FORMS)
def test_tasks_are_read_from_every_form_that_marks_them(form: str) -> None:
    items = ["Find the price of a ticket.", "Multiply #1 by 14."]

    assert _read(forms.FORMS[form](items)) == items


MARKED = ("{i}. {x}", "- {x}", "Q{i}: {x}", "## Subquestion {i}\n{x}\n", "({c}) {x}")


@pytest.mark.parametrize("form", [*MARKED, "{x}"])
@pytest.mark.parametrize("opening", forms.OPENINGS)
def test_an_opening_is_no_subquestion(opening: str, form: str) -> None:
    items = QUESTIONS_IN_FORMS["plain"]
    decomposition = read_decomposition(opening + forms.FORMS[form](items))

    assert [subquestion.text for subquestion in decomposition.subquestions] == items
    assert not decomposition.leftover


@pytest.mark.parametrize("form", [*MARKED, "{x}"])
@pytest.mark.parametrize("closing", forms.CLOSINGS)
def test_a_closing_is_no_subquestion(closing: str, form: str) -> None:
    items = QUESTIONS_IN_FORMS["plain"]
    decomposition = read_decomposition(forms.FORMS[form](items) + closing)

    assert [subquestion.text for subquestion in decomposition.subquestions] == items
    assert not decomposition.leftover


@pytest.mark.parametrize(
    "form", ["{i}. {x}", "{i}) {x}", "Q{i}: {x}", "({c}) {x}", "- {x}", "{o} {x}"]
)
@pytest.mark.parametrize("lead", forms.LEADS)
def test_the_first_subquestion_may_stand_on_the_line_that_leads_to_it(lead: str, form: str) -> None:
    if form == "- {x}" and not lead.endswith(":"):
        return  # a dash behind a sentence goes on with it
    questions = QUESTIONS_IN_FORMS["plain"]

    assert _read(f"{lead} {forms.FORMS[form](questions)}") == questions


def test_a_number_is_no_first_item_where_no_second_follows() -> None:
    assert _read("In 1. FC, who won?\nWho lost?") == ["In 1. FC, who won?", "Who lost?"]


def test_letters_go_on_past_i() -> None:
    steps = [f"How long is stage {number}?" for number in range(1, 13)]
    text = "\n".join(
        f"{letter}) {step}" for letter, step in zip("abcdefghijkl", steps, strict=True)
    )

    assert _read(text) == steps


@pytest.mark.parametrize("form", MARKED[:3])
@pytest.mark.parametrize("before", forms.BEFORE_LISTS)
def test_another_list_before_is_none_of_subquestions(before: str, form: str) -> None:
    assert (
        _read(before + forms.FORMS[form](QUESTIONS_IN_FORMS["plain"]))
        == (QUESTIONS_IN_FORMS["plain"])
    )


@pytest.mark.parametrize("form", MARKED[:3])
@pytest.mark.parametrize("after", forms.AFTER_LISTS)
def test_another_list_behind_is_none_of_subquestions(after: str, form: str) -> None:
    assert (
        _read(forms.FORMS[form](QUESTIONS_IN_FORMS["plain"]) + after)
        == (QUESTIONS_IN_FORMS["plain"])
    )


@pytest.mark.parametrize(
    ("text", "leftover"),
    [
        ("Sure:\n1. How old is Ada?\n2. How old is Bob?\n\nLet me know!", ""),
        ("1. How old is Ada?\n   - Ada is the captain.\n2. How old is Bob?", "Ada is the captain."),
        ("Ships are old.\n\n1. How old is Ada?", "Ships are old."),
        ("1. How old is Ada?\n\nFerries run daily.", "Ferries run daily."),
        ("1. How old is Ada?\nAda is 9.\n2. Is Bob?", "Ada is 9."),
        ('["How old is Ada?"]\n\nFerries run daily.', "Ferries run daily."),
        ("<q>How old is Ada?</q>\nFerries run daily.", "Ferries run daily."),
        ("1. Ages\n   1.1 How old is Ada?\n   1.2 How old is Bob?", ""),
        ("How old is Ada?\nFerries run daily.", "Ferries run daily."),
    ],
)
def test_what_is_left_over_is_told(text: str, leftover: str) -> None:
    assert read_decomposition(text).leftover == leftover


def test_a_decomposition_keeps_the_reasoning_apart() -> None:
    decomposition = read_decomposition("<think>1. Ada? 2. Bob?</think>\n1. How old is Ada?")

    assert decomposition.reasoning == "1. Ada? 2. Bob?"
    assert decomposition.subquestions == (Subquestion("How old is Ada?"),)
    assert not decomposition.declined


PHRASES = [
    "question 1",
    "Step 2",
    "Q3",
    "2.5",
    "1,000",
    "Ada",
    "(a)",
    "no. 4",
    "a list",
    "#1",
    "14",
]
ASKED = st.lists(st.sampled_from(PHRASES), min_size=1, max_size=5).map(
    lambda words: f"How is {' and '.join(words)} made?"
)


@given(
    st.sampled_from(sorted(forms.FORMS)),
    st.lists(ASKED, min_size=2, max_size=6, unique=True),
)
def test_what_is_rendered_in_any_form_is_read_back(form: str, items: Sequence[str]) -> None:
    assert _read(forms.FORMS[form](items)) == items
