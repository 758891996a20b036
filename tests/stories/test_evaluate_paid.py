"""Evaluating with a file pays like collecting: kept, resumed, within a budget."""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    BackendInfo,
    BudgetExceeded,
    Completion,
    ConfigError,
    DataError,
    Decomposer,
    Decomposition,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solution,
    Solver,
    Usage,
    collect,
    evaluate,
    read_traces,
)
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts

PRICE = Price(Decimal(1), Decimal(4))
QUESTIONS = [Question(f"What is {n} plus 1?", answer=str(n + 1)) for n in range(60)]


class Adding:
    """Adds, but for every fifth question; may press Ctrl-C at one of its calls."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.info = BackendInfo(identity="adding 1", price=PRICE)
        self.calls = 0
        self.billed = Decimal(0)
        self._interrupted_at = interrupted_at

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.calls += 1
            if self.calls == self._interrupted_at:
                signal.raise_signal(signal.SIGINT)
            number = int(request.messages[-1].content.rpartition("What is ")[2].split()[0])
            used = Usage(9, 3)
            self.billed += PRICE.usd(used)
            yield Completion(request.id, f"The answer is: {number + (number % 5 > 0)}", usage=used)


def _pipeline(backend: Adding) -> Pipeline:
    return Pipeline(None, Solver(backend, mode="direct", sampling=Sampling(max_new_tokens=20)))


def test_the_same_call_asks_for_nothing_and_says_what_a_call_without_a_file_says(
    tmp_path: Path,
) -> None:
    path, first, again = tmp_path / "runs" / "eval.jsonl", Adding(), Adding()
    alone = evaluate(_pipeline(Adding()), QUESTIONS, name="adding", progress=False)
    kept = evaluate(_pipeline(first), QUESTIONS, path, name="adding", progress=False)
    found = evaluate(_pipeline(again), QUESTIONS[::-1], path, name="adding", progress=False)

    assert (first.calls, again.calls) == (60, 0)
    assert str(alone) == str(kept) == str(found)
    assert kept.values == alone.values
    assert [each.trace.question for each in found.results] == QUESTIONS[::-1]
    assert len(list(read_traces(path))) == 60
    [entry] = read_accounts(ledger_path(path)).entries
    assert (entry.phase, entry.requests) == ("evaluate", 60)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    path, first, second = tmp_path / "eval.jsonl", Adding(interrupted_at=20), Adding()
    with pytest.raises(KeyboardInterrupt, match=r"eval.jsonl keeps .* the same call goes on"):
        evaluate(_pipeline(first), QUESTIONS, path, progress=False)
    report = evaluate(_pipeline(second), QUESTIONS, path, progress=False)

    assert (first.calls, second.calls) == (20, 40)
    assert (report.n, report.mean) == (60, 0.8)


def test_a_budget_holds_over_all_calls_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    path, calls, billed = tmp_path / "eval.jsonl", 0, Decimal(0)
    for budget in (0.001, 0.001, 0.0015):
        backend = Adding()
        with pytest.raises(BudgetExceeded, match="larger budget_usd"):
            evaluate(_pipeline(backend), QUESTIONS, path, budget_usd=budget, progress=False)
        calls, billed = calls + backend.calls, billed + backend.billed
        assert billed <= Decimal(str(budget))
    last = Adding()
    report = evaluate(_pipeline(last), QUESTIONS, path, budget_usd=1, progress=False)

    assert 0 < calls == 60 - last.calls
    assert report.n == 60


@pytest.mark.parametrize("options", [{"budget_usd": 1}, {"prices": {"m": PRICE}}])
def test_a_budget_without_a_file_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="budget_usd and prices need a path"):
        evaluate(_pipeline(Adding()), QUESTIONS, **options)  # type: ignore[arg-type]


def test_answers_are_scored_by_the_golds_of_today(tmp_path: Path) -> None:
    path = tmp_path / "eval.jsonl"
    wrong = [replace(each, answer="no", id=each.id) for each in QUESTIONS]
    before = evaluate(_pipeline(Adding()), wrong, path, progress=False)
    after = evaluate(_pipeline(Adding()), QUESTIONS, path, progress=False)

    assert (before.mean, after.mean) == (0.0, 0.8)


def test_another_pipeline_in_the_file_is_not_mixed_in(tmp_path: Path) -> None:
    path, backend = tmp_path / "eval.jsonl", Adding()
    collect(Pipeline(Decomposer(backend), Solver(backend)), QUESTIONS, path, progress=False)
    report = evaluate(_pipeline(Adding()), QUESTIONS[:30], path, progress=False)

    assert (report.n, len(list(read_traces(path)))) == (30, 90)


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "eval.jsonl"):
        backend = Adding()
        with pytest.raises(DataError, match="cannot write"):
            evaluate(_pipeline(backend), QUESTIONS, path, progress=False)
        assert not backend.calls


def test_a_role_without_identity_is_asked_for_one_only_with_a_file(tmp_path: Path) -> None:
    class Nameless:
        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            return (Solution(each, each.question.answer or "") for each in decompositions)

    pipeline = Pipeline(None, Nameless())

    assert evaluate(pipeline, QUESTIONS, progress=False).mean == 1
    with pytest.raises(ConfigError, match="Nameless has no identity"):
        evaluate(pipeline, QUESTIONS, tmp_path / "eval.jsonl", progress=False)


def test_two_questions_with_one_id_are_refused() -> None:
    twins = [Question("What is 1 plus 1?", "2", id="1"), Question("What is 2 plus 1?", "3", id="1")]
    with pytest.raises(DataError, match="two different questions have the id '1'"):
        evaluate(_pipeline(Adding()), twins, progress=False)
