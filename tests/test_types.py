"""Values are checked where they are made."""

from dataclasses import dataclass, make_dataclass, replace
from typing import Any

import pytest

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposition,
    DistillConfig,
    Failure,
    Question,
    Sampling,
    Solution,
    Subquestion,
    Trace,
    Usage,
    prompts,
)
from decompose_distill.keys import fingerprint, fingerprint_line

HOSTILE = "<script>alert(1)</script>\x1b[2J"
PASSAGE = Question(f"Who? {HOSTILE}", answer="Ada", context="A passage. " * 5_000)
SPLIT = Decomposition(PASSAGE, (Subquestion(HOSTILE), Subquestion("How?")), "w" * 5_000)
SOLVED = Trace(PASSAGE, Solution(SPLIT, "Bob", "w" * 5_000))
FAILED = Trace(PASSAGE, Failure(PASSAGE, "solve", "length", HOSTILE, "w" * 5_000, SPLIT))


@pytest.mark.parametrize(
    "value",
    [PASSAGE, SPLIT, SOLVED, FAILED, SOLVED.outcome, FAILED.outcome],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_printed_on_a_short_line_that_no_terminal_obeys(value: object) -> None:
    assert len(repr(value)) < 200
    assert repr(value).isprintable()


@pytest.mark.parametrize("value", [SPLIT, SOLVED, FAILED], ids=["split", "solved", "failed"])
def test_a_notebook_shows_a_small_table_whose_texts_are_no_markup(value: Any) -> None:
    shown = value._repr_html_()

    assert len(shown) < 3_000
    assert "<td>#2</td><td>How?</td>" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_the_table_of_a_trace_says_what_came_of_it() -> None:
    assert "<td>answer</td><td>Bob</td></tr><tr><td>gold</td><td>Ada" in SOLVED._repr_html_()
    assert "<td>failed</td><td>solve: length" in FAILED._repr_html_()
    assert "not decomposed" in Decomposition(PASSAGE, ())._repr_html_()


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_question_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="question text is empty"):
        Question(text)


def test_the_id_of_a_question_depends_on_text_and_context_only() -> None:
    assert Question("Why?").id == Question("Why?", answer="so").id
    assert Question("Why?").id != Question("Why?", context="here").id
    assert Question("Why?", id="mine").id == "mine"


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", -1), ("top_p", 0), ("top_p", 1.1), ("max_new_tokens", 0)]
)
def test_sampling_out_of_range_names_the_field(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        Sampling(**{field: value})  # type: ignore[arg-type]


def test_the_usage_of_a_trace_is_that_of_both_stages() -> None:
    question = Question("Why?")
    decomposition = Decomposition(question, (), usage=Usage(3, 2))

    assert Trace(question, Solution(decomposition, "so", usage=Usage(5, 1))).usage == Usage(8, 3)
    failed = Failure(question, "solve", "length", decomposition=decomposition, usage=Usage(5, 1))
    assert Trace(question, failed).usage == Usage(8, 3)
    early = Failure(question, "decompose", "length", usage=Usage(3, 9))
    assert Trace(question, early).usage == Usage(3, 9)


@pytest.mark.parametrize(
    "value",
    [Sampling(seed=3), prompts.Prompt("Split.", "{question}"), DistillConfig(), Question("Why?")],
)
def test_a_later_field_enters_a_key_only_if_it_is_set(value: Any) -> None:
    kind = type(value)
    later: Any = make_dataclass(
        "Later", [("depth", int, 0)], bases=(kind,), frozen=True, kw_only=True
    )
    given = {name: getattr(value, name) for name in fingerprint(value)}

    assert fingerprint(later(**given)) == fingerprint(value)
    assert fingerprint(later(**given, depth=2)) == fingerprint(value) | {"depth": 2}
    assert fingerprint_line("x", later(**given)) == fingerprint_line("x", value)


def test_a_value_inside_a_value_is_told_apart_by_its_own_fields() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Sampling
        KEY_FIELDS = ("inner",)

    assert fingerprint(Outer(Sampling()))["inner"] == fingerprint(Sampling())


def test_samples_differ_in_their_seed_only_if_there_is_one() -> None:
    assert Sampling(seed=3).for_sample(2) == Sampling(seed=5)
    assert Sampling(seed=None).for_sample(2) == Sampling(seed=None)


def test_a_failure_says_whether_asking_again_may_help() -> None:
    failed = Failure(Question("Why?"), "solve", "error")

    assert failed.is_unavailable
    assert replace(failed, reason="length").is_cut
