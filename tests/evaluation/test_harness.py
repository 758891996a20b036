"""Figures are right, intervals known, and failures neither hidden nor lost."""

import json
from collections.abc import Iterable, Iterator
from math import isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import (
    Comparison,
    ConfigError,
    DataError,
    Decomposition,
    Failure,
    Pipeline,
    Question,
    Solution,
    evaluate,
    load_questions,
    scores,
)
from decompose_distill.evaluation.results import Report
from decompose_distill.evaluation.statistics import (
    mcnemar,
    sign_flip,
    wilson,
)


class Says:
    """A solver that answers from a dictionary; `!reason` is a failure."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        for each in decompositions:
            answer = self.answers[each.question.text]
            if answer.startswith("!"):
                why = "the server is down"
                yield Failure(each.question, "solve", answer[1:], why, decomposition=each)
            else:
                yield Solution(each, answer)


def _report(answers: dict[str, str], gold: str | None = "1", name: str = "mine") -> Report:
    questions = [Question(text, answer=gold) for text in answers]
    return evaluate(Pipeline(None, Says(answers)), questions, name=name, progress=False)


def test_the_accuracy_is_right_over_scored() -> None:
    report = _report({"a": "1", "b": "1", "c": "0", "d": "1"})

    assert (report.mean, report.n) == (0.75, 4)
    assert report.interval == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_a_failure_of_the_model_counts_as_wrong_and_is_shown() -> None:
    report = _report({"a": "1", "b": "!length"})

    assert (report.mean, report.n) == (0.5, 2)
    assert "failed: 1 solve: length" in str(report)


@pytest.mark.parametrize("gold", [" ", None])
def test_what_has_no_gold_to_score_by_is_left_out_whether_it_failed_or_not(
    gold: str | None,
) -> None:
    report = _report({"a": "1", "b": "!length"}, gold=gold)

    assert (report.n, report.unscored) == (0, 2)


def test_a_failure_of_the_backend_is_left_out_and_shown() -> None:
    report = _report({"a": "1", "b": "!error"})

    assert (report.mean, report.n, report.unscored) == (1.0, 1, 1)
    assert "left out: 1" in str(report)


def test_questions_without_gold_answer_are_left_out() -> None:
    report = _report({"a": "1"}, gold=None)

    assert isnan(report.mean)
    assert "no question could be scored" in str(report)


def test_a_report_without_a_score_says_why_and_stays_valid_json() -> None:
    report = _report({"a": "!error"})

    assert "the first failure: the server is down" in str(report)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["accuracy"] is None


def test_partial_scores_get_a_bootstrap_interval() -> None:
    questions = [Question(f"{n}?", answer="red ball") for n in range(20)]
    solver = Says(
        {question.text: "red" if n % 2 else "red ball" for n, question in enumerate(questions)}
    )
    report = evaluate(Pipeline(None, solver), questions, score=scores.f1, progress=False)
    low, high = report.interval

    assert report.mean == pytest.approx(5 / 6)
    assert low < report.mean < high


@pytest.mark.parametrize("points", [float("nan"), 72.0, -1.0])
def test_a_score_that_gives_no_share_is_refused(points: float) -> None:
    with pytest.raises(ConfigError, match="must be between 0 and 1, or None"):
        _report({"a": "1"}).rescore(lambda answer, golds: points)


def test_two_reports_are_compared_on_the_same_questions() -> None:
    mine = _report({str(n): "1" for n in range(8)})
    other = _report({str(n): "1" if n < 2 else "0" for n in range(7)}, name="other")
    comparison = mine.compare(other)

    assert (comparison.better, comparison.worse, len(comparison.pairs)) == (5, 0, 7)
    assert comparison.p_value == pytest.approx(2 / 2**5)


def test_reports_on_other_questions_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="no scored question in common"):
        _report({"a": "1"}).compare(_report({"b": "1"}))


def test_a_report_prints_short_and_its_json_has_the_same_figures() -> None:
    report = _report({"a": "1", "b": "0"})

    assert repr(report) == "<Report mine: exact 50.0 % [9.5, 90.5] (n = 2)>"
    assert json.loads(json.dumps(report.to_json()))["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("right", "n", "interval"),
    [(0, 10, (0, 0.2775)), (10, 10, (0.7225, 1)), (81, 263, (0.2553, 0.3662)), (0, 0, (0, 1))],
)
def test_wilson_intervals_are_the_published_ones(
    right: int, n: int, interval: tuple[float, float]
) -> None:
    assert wilson(right, n) == pytest.approx(interval, abs=1e-4)


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share(right: int, wrong: int) -> None:
    if right + wrong:
        low, high = wilson(right, right + wrong)

        assert 0 <= low <= right / (right + wrong) <= high <= 1


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (10, 0, 2 / 1024), (5, 5, 1.0), (12, 3, 0.03516)],
)
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p, abs=1e-5)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_mcnemar_holds_for_thousands_of_pairs() -> None:
    assert 0 <= mcnemar(3000, 2000) < 1e-10


def test_a_clear_difference_is_significant_and_none_is_not() -> None:
    assert sign_flip([0.3, 0.5, 0.4] * 20) < 0.0001
    assert sign_flip([0.5, -0.5] * 30) > 0.5


def test_questions_are_read_with_answers_contexts_and_aliases(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(
        '{"question": "Who?", "answer": "Ada", "aliases": ["A."], "context": "c", "id": "x"}\n'
        '\n{"question": "How many?", "answer": 3, "level": "easy"}\n'
    )
    first, second = load_questions(path)

    assert first == Question("Who?", "Ada", "c", ("A.",), "x")
    assert second.answer == "3"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object, found list"),
        ('{"answer": "x"}', "missing field 'question'"),
        ('{"question": ""}', "field 'question' is empty"),
        ('{"question": 3}', "field 'question' must be str, not int"),
        ('{"question": "x", "answer": {}}', "field 'answer' must hold text or numbers, not dict"),
        ('{"question": "x", "aliases": [[]]}', "field 'aliases' must hold text or numbers"),
    ],
)
def test_a_malformed_question_is_named_with_file_and_line(
    line: str, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "Who?"}\n' + line + "\n")

    with pytest.raises(DataError) as caught:
        load_questions(path)
    assert str(caught.value).startswith(f"{path}:2: {fault}")


def test_two_questions_of_one_id_are_not_measured_as_one() -> None:
    pipeline = Pipeline(None, Says({"How many legs have 3 ants?": "18"}))
    ants = Question("How many legs have 3 ants?", answer="18", id="1")
    spiders = Question("How many legs have 2 spiders?", answer="16", id="1")

    assert evaluate(pipeline, [ants, ants], progress=False).n == 1
    with pytest.raises(DataError, match="two different questions have the id '1'"):
        evaluate(pipeline, [ants, spiders], progress=False)


def test_a_missing_or_empty_file_of_questions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")

    with pytest.raises(DataError, match="no such file of questions"):
        load_questions(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="holds no question"):
        load_questions(tmp_path / "empty.jsonl")


def test_a_difference_has_an_interval_that_is_never_a_point() -> None:
    for pairs in (((1.0, 0.0),), ((0.5, 0.5),) * 9, ((1.0, 0.5),) * 9, ((1.0, 0.3), (0.2, 0.4))):
        found = Comparison("a", "b", pairs)
        low, high = found.interval

        assert -1 <= low <= found.difference <= high <= 1
        assert low < high
