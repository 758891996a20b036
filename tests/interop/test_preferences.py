"""Pairs set a better completion against a worse one, by success rates over all solves."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    preference_pairs,
)
from tests.support.samples import PROMPT

ASKED = tuple(Question(f"How old is {name}?", answer="42") for name in ("Ada", "Bob"))


def _solves(step: str, answers: str, question: Question = ASKED[0]) -> list[Trace]:
    split = Decomposition(question, (Subquestion(step),))
    said = {"+": "42", "-": "7"}
    return [
        Trace(question, Solution(split, said[sign], f"Solve {n}. It is {said[sign]}"), solve=n)
        for n, sign in enumerate(answers)
    ]


def test_the_decomposition_that_helps_more_often_is_chosen() -> None:
    traces = _solves("Bad?", "+--") + _solves("Good?", "++-") + _solves("Worst?", "---")
    paired = preference_pairs(traces, prompt=PROMPT)
    [pair] = paired.pairs

    assert (pair.chosen, pair.rejected) == (
        "1. Good?",
        "1. Worst?",
    )
    assert pair.to_json() == {
        "prompt": [
            {"role": "system", "content": "Split."},
            {"role": "user", "content": "How old is Ada?"},
        ],
        "chosen": [{"role": "assistant", "content": "1. Good?"}],
        "rejected": [{"role": "assistant", "content": "1. Worst?"}],
    }


def test_pairs_go_from_best_and_worst_inwards_down_to_the_margin() -> None:
    traces = [*_solves("A?", "++"), *_solves("B?", "++"), *_solves("C?", "+-"), *_solves("D?", "-")]
    pairs = preference_pairs(traces, most=5).pairs

    assert [(each.chosen, each.rejected) for each in pairs] == [
        ("1. A?", "1. D?"),
        ("1. B?", "1. C?"),
    ]
    assert len(preference_pairs(traces, most=5, margin=0.6).pairs) == 1


def test_a_solver_learns_from_solutions_to_the_same_decomposition() -> None:
    traces = _solves("A?", "+-") + _solves("B?", "--")
    paired = preference_pairs(traces, role="solver")
    [pair] = paired.pairs

    assert "1. A?" in pair.prompt[-1].content
    assert (pair.chosen, pair.rejected) == ("Solve 0. It is 42", "Solve 1. It is 7")
    assert paired.unpaired == {"all wrong": 1}


def test_each_prompt_without_a_pair_has_its_reason() -> None:
    def asked(name: str, answer: str | None = "42") -> Question:
        return Question(f"How old is {name}?", answer)

    one, none, unknown, near = asked("Eve"), asked("Finn"), asked("Gil", None), asked("Hal")
    traces = [
        *_solves("A?", "+") + _solves("B?", "-"),
        *_solves("A?", "+", ASKED[1]) + _solves("B?", "+", ASKED[1]),
        *_solves("A?", "+-", one),
        Trace(none, Failure(none, "decompose", "length")),
        *_solves("A?", "+", unknown),
        *_solves("A?", "++-", near) + _solves("B?", "+--", near),
    ]
    paired = preference_pairs(traces)

    assert paired.prompts == 1
    assert paired.unpaired == {
        "all right": 1,
        "one completion": 1,
        "nothing scored": 2,
        "difference below 0.5": 1,
    }
    assert str(paired).startswith("1 pairs of 1 prompts; none of 5: 2 nothing scored")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("+-"), st.integers(0, 1))),
    st.randoms(),
)
def test_pairs_do_not_depend_on_the_order_and_prompts_add_up(
    solves: list[tuple[str, str, int]], rng: object
) -> None:
    traces = [
        trace for step, sign, asked in solves for trace in _solves(f"{step}?", sign, ASKED[asked])
    ]
    paired = preference_pairs(traces, most=2)
    rng.shuffle(traces)  # type: ignore[attr-defined]

    assert set(preference_pairs(traces, most=2).pairs) == set(paired.pairs)
    assert paired.prompts + paired.unpaired.total() == len({each.question for each in traces})
    assert all(pair.chosen != pair.rejected for pair in paired.pairs)


def test_pairs_are_written_as_lines_and_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    preference_pairs(_solves("A?", "+") + _solves("B?", "-")).write(path)

    assert list(json.loads(path.read_text())) == ["prompt", "chosen", "rejected"]
    with pytest.raises(DataError, match="nothing to write: 0 pairs"):
        preference_pairs(_solves("A?", "+")).write(tmp_path / "none.jsonl")
    assert not (tmp_path / "none.jsonl").exists()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="most must be"):
        preference_pairs([], most=0)
    with pytest.raises(ConfigError, match="margin must be"):
        preference_pairs([], margin=0)
    with pytest.raises(ConfigError, match="role must be"):
        preference_pairs([], role="teacher")  # type: ignore[arg-type]
