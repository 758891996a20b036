"""What a model thought is kept apart from what it said, and a cut says what to raise."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from decompose_distill import (
    BackendInfo,
    Completion,
    Decomposer,
    Decomposition,
    Failure,
    Pipeline,
    Question,
    Request,
    Solution,
    Solver,
    Usage,
    collect,
    evaluate,
    read_traces,
)
from decompose_distill.backends.replay import ReplayBackend

QUESTION = Question("How old are Ada and Bob together?", answer="42")


class Says:
    """Answers every request alike."""

    def __init__(self, completion: Completion) -> None:
        self.info = BackendInfo(identity="says 1")
        self._completion = completion

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        return (replace(self._completion, id=request.id) for request in requests)


def _split(completion: Completion) -> Decomposition | Failure:
    [outcome] = Decomposer(Says(completion)).decompose([QUESTION])
    return outcome


def _solved(completion: Completion) -> Solution | Failure:
    [outcome] = Solver(Says(completion), mode="cot").solve([Decomposition(QUESTION, ())])
    return outcome


@pytest.mark.parametrize(
    "completion",
    [
        Completion("", "1. How old is Ada?\nThe answer is: 42", reasoning="Is it 7?\n1. No."),
        Completion("", "<think>Is it 7?\n1. No.</think>1. How old is Ada?\nThe answer is: 42"),
        Completion("", "Is it 7?\n1. No.</think>\n1. How old is Ada?\nThe answer is: 42"),
    ],
)
def test_thinking_is_kept_and_is_no_part_of_what_was_said(completion: Completion) -> None:
    split, solved = _split(completion), _solved(completion)

    assert isinstance(split, Decomposition)
    assert isinstance(solved, Solution)
    assert [each.text for each in split.subquestions] == ["How old is Ada?"]
    assert solved.answer == "42"
    assert split.reasoning == solved.reasoning == "Is it 7?\n1. No."
    assert split.text == solved.text == "1. How old is Ada?\nThe answer is: 42"


def test_words_without_thinking_stay_as_they_were_said() -> None:
    split = _split(Completion("", " 1. How old is Ada?\n"))

    assert split.text == " 1. How old is Ada?\n"


@pytest.mark.parametrize(
    ("completion", "message"),
    [
        (Completion("", "", "length", Usage(9, 400, reasoning_tokens=390)), "390 of 400 tokens"),
        (Completion("", "", "length", Usage(9, 400), reasoning="Her age"), "400 of 400 tokens"),
        (Completion("", "<think>Her a", "length", Usage(9, 400)), "400 of 400 tokens"),
        (Completion("", "<think>Her a", "stop", Usage(9, 400)), "400 of 400 tokens"),
        (Completion("", "1. Who", "length", Usage(9, 400)), "cut off after 400 tokens"),
        (
            Completion("", "1. Who", "length", Usage(9, 400), reasoning="Hm."),
            "cut off after 400 tokens",
        ),
        (Completion("", "", "length", Usage(9, 400)), "cut off after 400 tokens"),
    ],
)
def test_a_cut_says_whether_thinking_took_the_room(completion: Completion, message: str) -> None:
    for outcome in (_split(completion), _solved(completion)):
        assert isinstance(outcome, Failure)
        assert outcome.is_cut
        assert outcome.message.startswith(message)
        thinking = "went into thinking: raise max_new_tokens or lower reasoning_effort"
        assert (thinking in outcome.message) == (" of " in message)


def test_thinking_that_was_cut_off_counts_as_wrong_and_is_not_left_out() -> None:
    pipeline = Pipeline(None, Solver(Says(Completion("", "<think>40 and 2 is 42", "stop"))))
    report = evaluate(pipeline, [QUESTION], progress=False)

    assert (report.n, report.mean, report.unscored) == (1, 0.0, 0)
    assert report.failures == {"solve: length": 1}


def test_thinking_is_in_the_trace_and_replayed_from_it(tmp_path: Path) -> None:
    said = Completion("", "1. Who?\nThe answer is: 42", usage=Usage(3, 9, reasoning_tokens=4))
    backend = Says(replace(said, reasoning="Hm."))
    path = tmp_path / "t.jsonl"
    collect(Pipeline(Decomposer(backend), Solver(backend)), [QUESTION], path, progress=False)
    [trace] = read_traces(path)
    recorded = ReplayBackend(path)
    again = Pipeline(Decomposer(recorded), Solver(recorded))(QUESTION)

    assert trace.solution is not None
    assert trace.solution.reasoning == trace.solution.decomposition.reasoning == "Hm."
    assert trace.solution.usage.reasoning_tokens == 4
    assert again.outcome == trace.outcome
