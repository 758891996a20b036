"""Values are checked where they are made."""

import pytest

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposition,
    Failure,
    Question,
    Sampling,
    Solution,
    Trace,
    Usage,
)


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
