"""Collecting under a budget: what is asked, what is left, and how it goes on."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from decompose_distill import (
    BudgetExceeded,
    Collected,
    Completion,
    ConfigError,
    Decomposer,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solver,
    Usage,
    collect,
    read_traces,
)
from decompose_distill.backends.openai.batch.backend import OpenAIBatchBackend
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from tests.support.fake_batch_server import KEY, FakeBatchServer, chat_body
from tests.support.samples import run_cli

PRICES = {"m": Price(Decimal(1), Decimal(4))}
QUESTIONS = [Question(f"How old is {n}?") for n in range(40)]
SHORT = Sampling(max_new_tokens=50)


class Provider:
    """Keeps some requests under way, and adds up what it bills."""

    model = "m"
    max_attempts = 2

    def __init__(self, window: int = 4, text: str = "1. Who?\nThe answer is: 1") -> None:
        self.window, self.text = window, text
        self.billed = Decimal(0)
        self.asked: list[str] = []

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        under_way: list[Request] = []
        for request in requests:
            under_way.append(request)
            self.asked.append(request.id)
            if len(under_way) >= self.window:
                yield self._answer(under_way.pop())
        while under_way:
            yield self._answer(under_way.pop())

    def _answer(self, request: Request) -> Completion:
        used = Usage(most_tokens(request).input_tokens // 3, 10)
        self.billed += PRICES["m"].usd(used)
        return Completion(request.id, self.text, usage=used)


def _pipeline(first: Provider, second: Provider) -> Pipeline:
    return Pipeline(Decomposer(first, sampling=SHORT), Solver(second, sampling=SHORT))


def _collect(pipeline: Pipeline, path: Path, budget: Decimal) -> tuple[Collected | None, str]:
    options = {"budget_usd": budget, "prices": PRICES, "solves": 2, "progress": False}
    try:
        return collect(pipeline, QUESTIONS, path, **options), ""  # type: ignore[arg-type]
    except BudgetExceeded as error:
        return None, str(error)


@pytest.mark.parametrize("windows", [(4, 4), (1, 16), (16, 1)])
def test_budgets_raised_step_by_step_pay_for_each_answer_once(
    tmp_path: Path, windows: tuple[int, int]
) -> None:
    path = tmp_path / "traces.jsonl"
    first, second = map(Provider, windows)
    stops, budget = 0, Decimal("0.005")
    while True:
        done, refusal = _collect(_pipeline(first, second), path, budget)

        assert first.billed + second.billed <= budget
        if done:
            break
        left = 80 - len(list(read_traces(path)))
        assert f"{left} of 80 traces are missing in {path}: run again with a larger" in refusal
        stops += 1
        budget += Decimal("0.005")

    assert stops > 1
    assert done.spent_usd == first.billed + second.billed <= budget
    assert len(first.asked) == 40
    assert len(second.asked) == 80
    assert "spent" in str(done)


def test_one_budget_is_used_up_to_the_last_request_that_fits(tmp_path: Path) -> None:
    first, second = Provider(16), Provider(16)
    with pytest.raises(BudgetExceeded, match=r"of the budget of \$0.01 is spent, and the next"):
        collect(
            _pipeline(first, second), QUESTIONS, tmp_path / "t.jsonl", budget_usd=0.01,
            prices=PRICES, progress=False,
        )  # fmt: skip
    billed = first.billed + second.billed

    assert Decimal("0.01") - billed < 2 * PRICES["m"].usd(Usage(1700, 50))


def test_a_failure_for_good_is_not_asked_again_while_one_call_uses_up_its_budget(
    tmp_path: Path,
) -> None:
    class Failing(Provider):
        def _answer(self, request: Request) -> Completion:
            if "old is 3" in request.messages[-1].content:
                return Completion(request.id, "", "error", error="no")
            return super()._answer(request)

    first, second = Failing(16), Failing(16)
    with pytest.raises(BudgetExceeded):
        collect(
            _pipeline(first, second), QUESTIONS, tmp_path / "t.jsonl", budget_usd=0.01,
            prices=PRICES, progress=False,
        )  # fmt: skip

    assert len(first.asked) == len(set(first.asked))


def test_without_a_price_a_budget_refuses_to_start_and_makes_no_file(tmp_path: Path) -> None:
    provider = Provider()
    with pytest.raises(ConfigError, match="budget_usd needs a price for the decomposer"):
        collect(_pipeline(provider, provider), QUESTIONS, tmp_path / "t.jsonl", budget_usd=1)

    assert not list(tmp_path.iterdir())
    assert not provider.asked


def test_without_a_budget_tokens_are_counted_and_an_unknown_price_stays_unknown(
    tmp_path: Path,
) -> None:
    path, provider = tmp_path / "t.jsonl", Provider()
    done = collect(_pipeline(provider, provider), QUESTIONS, path, progress=False)
    entries = {entry.role: entry for entry in done.spend}

    assert done.spent_usd is None
    assert entries["decomposer"].requests == entries["solver"].requests == 40
    assert entries["solver"].usage.output_tokens == 400
    assert "cost unknown" in str(done)
    assert read_accounts(ledger_path(path)).entries == done.spend


def test_answers_that_are_there_are_not_paid_and_say_what_they_save(tmp_path: Path) -> None:
    path, provider = tmp_path / "t.jsonl", Provider()
    collect(_pipeline(provider, provider), QUESTIONS, path, prices=PRICES, progress=False)
    paid = provider.billed
    path.unlink()  # the journal of requests has them all
    again = collect(_pipeline(provider, provider), QUESTIONS, path, prices=PRICES, progress=False)

    assert again.saved_usd == paid == again.spent_usd == provider.billed
    assert again.asked == 40
    assert " saved" in str(again)


@pytest.mark.parametrize("command", ["collect", "plan"])
@pytest.mark.parametrize("budget", ["abc", "0", "-1", "nan", "inf"])
def test_a_wrong_budget_is_a_wrong_call_of_the_command_line(
    command: str,
    budget: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "q.jsonl").write_text('{"question": "Why?"}')
    options = ("--teacher", "openai:m", "--base-url", "http://127.0.0.1:9/v1", "--output")
    call = (tmp_path / "q.jsonl", *options, tmp_path / "t.jsonl", f"--budget-usd={budget}")

    assert run_cli(command, *call, monkeypatch=monkeypatch) == 2
    assert "budget" in capsys.readouterr().err
    assert not (tmp_path / "t.jsonl").exists()


def test_a_stage_without_a_backend_costs_nothing(tmp_path: Path) -> None:
    from decompose_distill import Decomposition, Solution

    class Calculator:
        identity = "calculator"

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            return (Solution(each, "1") for each in decompositions)

    pipeline = Pipeline(Decomposer(Provider(), sampling=SHORT), Calculator())
    done = collect(pipeline, QUESTIONS, tmp_path / "t", budget_usd=1, prices=PRICES, progress=False)

    assert [entry.role for entry in done.spend] == ["decomposer"]


def test_a_batch_that_is_left_and_awaited_again_is_reserved_and_paid_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    half = Price(Decimal(1), Decimal(4), batch_discount=Decimal("0.5"))
    path, questions = tmp_path / "t.jsonl", QUESTIONS[:10]

    def press_ctrl_c(_: float) -> None:
        raise KeyboardInterrupt

    def run(server: FakeBatchServer, sleep: Callable[[float], None], budget: Decimal) -> Collected:
        batched = OpenAIBatchBackend(
            "m", f"{path}.batches", base_url=server.url, progress=False, sleep=sleep
        )
        pipeline = Pipeline(None, Solver(batched, mode="direct", sampling=SHORT))
        return collect(
            pipeline, questions, path, budget_usd=budget, prices={"m": half}, progress=False
        )

    with FakeBatchServer(lambda body: chat_body("The answer is: 1")) as server:
        with pytest.raises(KeyboardInterrupt):
            run(server, press_ctrl_c, Decimal("0.02"))
        left = read_accounts(ledger_path(path))
        just_enough = left.reserved_usd

        assert len(left.open) == 10
        assert left.spent_usd == 0
        done = run(server, lambda _: None, just_enough)

    assert set(server.billed.values()) == {1}
    assert (done.asked, done.failed.total()) == (10, 0)
    assert done.spent_usd == half.batched.usd(Usage(70, 30))  # 7 and 3 tokens each
