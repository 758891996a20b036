"""Each variant of the paper is trained on the words it stands for."""

import pytest

from decompose_distill import (
    ConfigError,
    Decomposition,
    Question,
    Solution,
    Subquestion,
    Trace,
    filters,
    prompts,
)
from decompose_distill.training.data.examples import make_examples, resolve_target, unusable

STEPS = (Subquestion("How many in May?"), Subquestion("How many in all?"))
QUESTION = Question("How many clips?", answer="48 / 2 = 24 in May\n#### 72")
WRONG = Trace(
    QUESTION,
    Solution(Decomposition(QUESTION, STEPS), "71", "1. 24\n2. 71\nThe answer is: **71**"),
)


@pytest.mark.parametrize(
    ("role", "target", "completion"),
    [
        ("decomposer", "subquestions", "1. How many in May?\n2. How many in all?"),
        ("solver", "rationale", "1. 24\n2. 71\nThe answer is: **71**"),
        ("solver", "gold_rationale", "1. 24\n2. 71\nThe answer is: 72"),
        ("solver", "answer", "The answer is: 72"),
    ],
)
def test_a_target_says_what_is_written(role: str, target: str, completion: str) -> None:
    [example] = make_examples([WRONG], role, prompts.JOINT, target)  # type: ignore[arg-type]

    assert example.completion == completion
    assert ("How many in May?" in example.messages[-1].content) == (role == "solver")


def test_screened_rationales_are_a_variant_too() -> None:
    assert filters.correct_by(lambda answer, golds: 0.0)(WRONG) == "wrong answer"


def test_a_shorter_student_prompt_erases_the_teachers() -> None:
    [example] = make_examples(
        [WRONG], "decomposer", prompts.Prompt("", "{question}"), "subquestions"
    )

    assert [message.content for message in example.messages] == ["How many clips?"]


@pytest.mark.parametrize("target", ["gold_rationale", "answer"])
def test_a_trace_without_gold_answer_cannot_teach_it(target: str) -> None:
    question = Question("How many clips?")
    trace = Trace(question, Solution(Decomposition(question, STEPS), "72", "72"))

    assert unusable(trace, target) == "no gold answer"  # type: ignore[arg-type]
    assert not list(make_examples([trace], "solver", prompts.JOINT, target))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "target", "message"),
    [
        ("teacher", None, "role must be one of decomposer, solver"),
        ("decomposer", "answer", "target of a decomposer must be one of subquestions"),
        ("solver", "song", "target of a solver must be one of rationale, gold_rationale, answer"),
    ],
)
def test_an_unknown_role_or_target_is_refused(role: str, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_target(role, target)  # type: ignore[arg-type]


def test_a_question_is_known_by_its_id_whatever_the_sample() -> None:
    traces = [Trace(QUESTION, WRONG.outcome, sample) for sample in (0, 1)]
    examples = list(make_examples(traces, "decomposer", prompts.JOINT, "subquestions"))

    assert {example.question for example in examples} == {QUESTION.id}
    assert len({example.name for example in examples}) == 2
