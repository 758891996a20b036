"""A budget holds at every moment, is used up, and loses nothing that was paid for."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decompose_distill import (
    BackendError,
    BackendUnavailable,
    BudgetExceeded,
    Completion,
    ConfigError,
    Decomposer,
    Failure,
    Message,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solver,
    Trace,
    Usage,
)
from decompose_distill.backends.metering import MeteredBackend, at_worst
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.cost.ledger import Ledger
from decompose_distill.cost.ledger_records import read_accounts
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.loading import load_tokenizer
from decompose_distill.testing import check_backend
from decompose_distill.types import Finish
from tests.support.fake_server import DROP, FakeServer, Reply, chat

PRICES = {"m": Price(Decimal(1), Decimal(4))}
ATTEMPTS = 3


class Provider:
    """Keeps some requests under way, answers in any order, and adds up what it bills."""

    model = "m"
    max_attempts = ATTEMPTS

    def __init__(
        self, window: int, seed: int = 0, after: Callable[[], None] = lambda: None
    ) -> None:
        self.window = window
        self.billed = Decimal(0)
        self.answered: list[str] = []
        self.after = after
        self._random = random.Random(seed)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        under_way: list[Request] = []
        for request in requests:
            under_way.append(request)
            if len(under_way) >= self.window:
                yield self._answer(under_way.pop(self._random.randrange(len(under_way))))
        while under_way:
            yield self._answer(under_way.pop())

    def _answer(self, request: Request) -> Completion:
        most = most_tokens(request)
        used = Usage(most.input_tokens // 4, self._random.randint(1, most.output_tokens))
        lost = self._random.choice((0, 0, 0, 1, ATTEMPTS - 1))
        price = PRICES["m"]
        self.billed += price.usd(used) + price.usd(most) * lost
        self.answered.append(request.id)
        self.after()
        return Completion(request.id, "1. Who?\nThe answer is: 1", usage=used, unanswered=lost)


def _requests(count: int) -> list[Request]:
    sampling = Sampling(max_new_tokens=50)
    return [Request(str(n), (Message("user", f"Who is {n}?"),), sampling) for n in range(count)]


@settings(max_examples=30)
@given(st.integers(1, 64), st.integers(0, 60), st.integers(0, 99))
def test_a_budget_holds_at_every_moment_and_no_room_is_left_unused(
    tmp_path_factory: pytest.TempPathFactory, window: int, thousandths: int, seed: int
) -> None:
    budget = Decimal(thousandths + 1) / 1000
    path = tmp_path_factory.mktemp("metered") / "ledger"
    provider = Provider(window, seed, after=lambda: billed.append(provider.billed))
    billed: list[Decimal] = []
    requests = _requests(60)
    with Ledger(path, budget_usd=budget, prices=PRICES) as ledger:
        metered = MeteredBackend(provider, ledger, "solver")
        done: list[Completion] = []
        with suppress(BudgetExceeded):
            done.extend(metered.generate(requests))

        if len(done) < 60:  # nothing more would have fitted
            worst = PRICES["m"].usd(most_tokens(requests[len(done)])) * ATTEMPTS
            assert provider.billed + worst > budget
        assert [each.id for each in done] == provider.answered
        assert max(billed, default=0) <= budget
        assert ledger.spent_usd == provider.billed


def test_a_budget_that_runs_short_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level("INFO", logger="decompose_distill"),
        Ledger(tmp_path / "ledger", budget_usd=0.005, prices=PRICES) as ledger,
        suppress(BudgetExceeded),
    ):
        list(MeteredBackend(Provider(4), ledger, "solver").generate(_requests(60)))

    assert [record.name for record in caplog.records] == ["decompose_distill.backends.metering"]
    assert "the budget has no room for the next request of the solver" in caplog.text


def test_a_budget_that_is_reached_is_gone_on_with_under_a_larger_one(tmp_path: Path) -> None:
    done: list[str] = []
    provider = Provider(8)
    for budget in (0.01, 0.02, 1):
        left = [each for each in _requests(60) if each.id not in done]
        with Ledger(tmp_path / "ledger", budget_usd=budget, prices=PRICES) as ledger:
            metered = MeteredBackend(provider, ledger, "solver")
            with suppress(BudgetExceeded):
                done.extend(each.id for each in metered.generate(left))
        assert ledger.spent_usd == provider.billed <= Decimal(str(budget))

    assert sorted(done) == sorted(each.id for each in _requests(60))


@pytest.mark.parametrize("budget", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("windows", [(1, 16), (16, 1), (16, 16)])
def test_where_two_roles_share_a_budget_neither_loses_what_is_under_way(
    tmp_path: Path, budget: float, windows: tuple[int, int]
) -> None:
    first, second = (Provider(window, seed=window) for window in windows)
    sampling = Sampling(max_new_tokens=50)
    questions = [Question(f"How old is {n}?") for n in range(80)]
    with Ledger(tmp_path / "ledger", budget_usd=budget, prices=PRICES) as ledger:
        decomposer = Decomposer(MeteredBackend(first, ledger, "decomposer"), sampling=sampling)
        solver = Solver(MeteredBackend(second, ledger, "solver"), sampling=sampling)
        traces: list[Trace] = []
        with pytest.raises(
            BudgetExceeded, match=r"of the budget of \$0.0\d is spent, and the next"
        ):
            traces.extend(Pipeline(decomposer, solver).run(questions, ordered=False))
        assert ledger.spent_usd == first.billed + second.billed <= Decimal(str(budget))
        assert ledger.in_flight("decomposer") == ledger.in_flight("solver") == 0
    assert all(entry.unanswered_usd == 0 or entry.unanswered for entry in ledger.entries)
    assert len(traces) == len(second.answered)
    assert traces


def test_a_cheap_decomposer_does_not_use_up_what_a_dear_solver_waits_for(tmp_path: Path) -> None:
    ahead: list[int] = []
    first = Provider(16, after=lambda: ahead.append(len(first.answered) - len(second.answered)))
    second = Provider(4)
    questions = [Question(f"How old is {n}?") for n in range(300)]
    with Ledger(tmp_path / "ledger", budget_usd=0.1, prices=PRICES) as ledger:
        cheap = Sampling(max_new_tokens=5)
        decomposer = Decomposer(MeteredBackend(first, ledger, "decomposer"), sampling=cheap)
        dear = Sampling(max_new_tokens=5000)
        solver = Solver(MeteredBackend(second, ledger, "solver"), sampling=dear)
        with pytest.raises(BudgetExceeded):
            list(Pipeline(decomposer, solver).run(questions, ordered=False))

    assert max(ahead) <= 2 * 16 + 4


def test_an_answer_without_a_count_of_tokens_is_booked_at_its_most(tmp_path: Path) -> None:
    class Silent:
        model = "m"

        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            return (Completion(request.id, "Hello!") for request in requests)

    [request] = _requests(1)
    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        list(MeteredBackend(Silent(), ledger, "solver").generate([request]))

        assert ledger.entries[0].usage == most_tokens(request)


class Refusing:
    """Answers so many requests, then refuses the key."""

    model = "m"
    batch = False

    def __init__(self, answers: int) -> None:
        self.answers = answers

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        under_way = [request for request, _ in zip(requests, range(5), strict=False)]
        for request in under_way[: self.answers]:
            yield Completion(request.id, "Hello!", usage=Usage(10, 1))
        raise BackendError("check the key")


@pytest.mark.parametrize(("answers", "lost"), [(0, 0), (2, 3)])
def test_a_refusal_from_the_start_costs_nothing_and_a_later_one_what_was_under_way(
    answers: int, lost: int, tmp_path: Path
) -> None:
    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        with pytest.raises(BackendError, match="check the key"):
            list(MeteredBackend(Refusing(answers), ledger, "solver").generate(_requests(5)))
        [entry] = ledger.entries

    assert entry.unanswered == lost
    assert entry.usage == Usage(10 * answers, answers)


def test_a_batch_stays_reserved_where_the_run_that_awaits_it_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", budget_usd=1, prices=PRICES) as ledger:
        refusing = Refusing(0)
        refusing.batch = True
        with pytest.raises(BackendError, match="check the key"):
            list(MeteredBackend(refusing, ledger, "solver").generate(_requests(5)))
    accounts = read_accounts(tmp_path / "ledger", PRICES)

    assert len(accounts.open) == 5
    assert accounts.spent_usd == 0


def test_a_backend_that_may_work_later_and_tells_nothing_is_booked_at_its_worst(
    tmp_path: Path,
) -> None:
    class Gone(Refusing):
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            list(zip(requests, range(5), strict=False))
            yield from ()
            raise BackendUnavailable("no answer in 600 seconds")

    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        with pytest.raises(BackendUnavailable):
            list(MeteredBackend(Gone(0), ledger, "solver").generate(_requests(5)))

        assert ledger.entries[0].unanswered == 5


@pytest.mark.parametrize(
    ("replies", "lost"),
    [
        ([Reply(401)], 0),
        ([Reply(500), Reply(502), Reply(401)], 2),
        ([DROP, Reply(404)], 1),
        ([Reply(429), Reply(402)], 0),
        (None, 0),
    ],
)
def test_attempts_before_a_refusal_are_booked_and_the_next_call_knows_of_them(
    replies: list[Reply] | None, lost: int, tmp_path: Path
) -> None:
    async def at_once(seconds: float) -> None:
        """Wait for nothing."""

    script = iter(replies or ())
    with FakeServer(lambda call: next(script)) as server:
        url = server.url if replies else "http://127.0.0.1:9/v1"  # nobody listens there
        backend = OpenAIBackend("m", base_url=url, max_in_flight=1, sleep=at_once)
        with (
            Ledger(tmp_path / "ledger", prices=PRICES) as ledger,
            pytest.raises(BackendError),
        ):
            list(MeteredBackend(backend, ledger, "solver").generate(_requests(3)))
    spent = read_accounts(tmp_path / "ledger").spent_usd

    assert spent == lost * PRICES["m"].usd(most_tokens(_requests(1)[0]))


SHAPES = ("full", "nothing", "input only", "output only", "thinking", "cached", "billed", "error")


class Counting(Provider):
    """Bills what it used, and tells it in one of the shapes in which servers do."""

    def __init__(self, shape: str, window: int, after: Callable[[], None]) -> None:
        super().__init__(window, after=after)
        self.shape = shape

    def _answer(self, request: Request) -> Completion:
        most = most_tokens(request)
        written = self._random.randint(1, most.output_tokens)
        used = Usage(most.input_tokens // 2, written)
        bill, told, billed = PRICES["m"].usd(used), used, None
        if self.shape == "cached":
            used = told = replace(used, cached_tokens=used.input_tokens // 3)
            bill = CACHED.usd(used)
        elif self.shape == "billed":
            billed = bill = bill / 3
        elif self.shape == "thinking":
            told = replace(used, reasoning_tokens=written // 2)
        elif self.shape != "full" and self.shape != "error":
            keep_input, keep_output = self.shape == "input only", self.shape == "output only"
            told = Usage(used.input_tokens * keep_input, used.output_tokens * keep_output)
        self.billed += bill
        self.answered.append(request.id)
        self.after()
        finish: Finish = "error" if self.shape == "error" else "stop"
        return Completion(request.id, "", finish, told, billed_usd=billed)


CACHED = replace(PRICES["m"], cached_input_per_million=Decimal("0.1"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_budget_holds_with_64_under_way_in_every_shape_of_usage(
    shape: str, tmp_path: Path
) -> None:
    budget, billed = Decimal("0.05"), list[Decimal]()
    provider = Counting(shape, 64, after=lambda: billed.append(provider.billed))
    prices = {"m": CACHED if shape == "cached" else PRICES["m"]}
    with (
        Ledger(tmp_path / "ledger", budget_usd=budget, prices=prices) as ledger,
        suppress(BudgetExceeded),
    ):
        list(MeteredBackend(provider, ledger, "solver").generate(_requests(400)))
    spent = read_accounts(tmp_path / "ledger").spent_usd

    assert spent is not None
    assert max(billed) <= spent <= budget
    if shape not in ("nothing", "input only", "output only"):
        assert spent == provider.billed
    assert len(provider.answered) > 64


@pytest.mark.parametrize(
    ("completion", "used"),
    [
        (Completion("", "Hi", usage=Usage(7, 3)), Usage(7, 3)),
        (Completion("", "Hi"), Usage(900, 400)),
        (Completion("", ""), Usage(900, 400)),
        (Completion("", "Hi", usage=Usage(7, 0)), Usage(7, 400)),
        (Completion("", "Hi", usage=Usage(0, 3)), Usage(900, 3)),
        (Completion("", "", "length", Usage(7, 0)), Usage(7, 400)),
        (Completion("", "", "error", error="too long"), Usage()),
        (Completion("", "", "error", Usage(7, 0), "too long"), Usage(7, 0)),
        (Completion("", "Hi", "error", Usage(7, 0), "filtered"), Usage(7, 400)),
        (Completion("", "", "error", Usage(0, 3), "filtered"), Usage(900, 3)),
    ],
)
def test_what_nobody_counted_is_booked_at_its_worst_case(
    completion: Completion, used: Usage
) -> None:
    assert at_worst(completion, Usage(900, 400)) == used


@pytest.mark.parametrize(
    ("replies", "unanswered"),
    [
        ([Reply(body=chat("Hi"))], 0),
        ([Reply(500), Reply(502), Reply(body=chat("Hi"))], 2),
        ([DROP, Reply(body=chat("Hi"))], 1),
        ([Reply(429), Reply(body=chat("Hi"))], 0),
        ([Reply(400, {"error": "too long"})], 0),
        ([Reply(body={"what": "no completion"})], 1),
        ([Reply(503)] * 3, 3),
    ],
)
def test_every_attempt_that_may_be_billed_is_counted(
    replies: list[Reply], unanswered: int, tmp_path: Path
) -> None:
    async def at_once(seconds: float) -> None:
        """Wait for nothing."""

    script = iter(replies)
    with FakeServer(lambda call: next(script)) as server:
        backend = OpenAIBackend("m", base_url=server.url, max_attempts=3, sleep=at_once)
        with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
            list(MeteredBackend(backend, ledger, "solver").generate(_requests(1)))
            [entry] = ledger.entries

    assert entry.unanswered == unanswered


def test_giving_up_under_way_counts_what_was_sent_as_spent(tmp_path: Path) -> None:
    requests = _requests(10)
    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        stream = MeteredBackend(Provider(4), ledger, "solver").generate(requests)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        [entry] = ledger.entries

    assert entry.requests == 1
    assert entry.unanswered >= 3 * ATTEMPTS


def test_what_ends_the_requests_is_raised_once_those_sent_have_come_back(tmp_path: Path) -> None:
    def broken() -> Iterator[Request]:
        yield from _requests(6)
        raise BackendError("upstream is gone")

    provider = Provider(4)
    done: list[Completion] = []
    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        with pytest.raises(BackendError, match="upstream is gone"):
            done.extend(MeteredBackend(provider, ledger, "solver").generate(broken()))
        assert ledger.entries[0].requests == 6
    assert len(done) == 6


def test_a_failure_for_good_passes_through_with_its_price(tmp_path: Path) -> None:
    class Failing:
        model = "m"
        max_attempts = 6

        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request.id, "", "error", error="gave up", unanswered=6)

    with Ledger(tmp_path / "ledger", prices=PRICES) as ledger:
        solver = Solver(MeteredBackend(Failing(), ledger, "solver"))
        outcome = Pipeline(None, solver)(Question("Who?")).outcome
        [entry] = ledger.entries

    assert isinstance(outcome, Failure)
    assert (entry.unanswered, entry.usd) == (6, 0)
    assert entry.unanswered_usd


def test_a_backend_of_unknown_price_is_refused_only_with_a_budget(tmp_path: Path) -> None:
    with Ledger(tmp_path / "free") as ledger:
        MeteredBackend(Provider(1), ledger, "solver")
    with (
        Ledger(tmp_path / "capped", budget_usd=1) as ledger,
        pytest.raises(ConfigError, match="'m'"),
    ):
        MeteredBackend(Provider(1), ledger, "solver")


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(text=st.text())
def test_the_bound_holds_for_a_tokenizer_and_its_template(tiny_dir: Path, text: str) -> None:
    messages = (Message("system", "Split."), Message("user", text))
    tokens = prompt_ids(_tokenizer(tiny_dir), messages)

    assert len(tokens) <= most_tokens(Request("0", messages)).input_tokens


@cache
def _tokenizer(place: Path) -> Any:
    return load_tokenizer(place)


def test_a_metered_backend_is_a_backend(tmp_path: Path) -> None:
    from decompose_distill.backends.replay import ScriptedBackend

    numbers = iter(range(1000))

    def make() -> MeteredBackend:
        ledger = Ledger(tmp_path / f"ledger{next(numbers)}")
        opened.append(ledger)
        return MeteredBackend(ScriptedBackend(str.upper), ledger, "solver")

    opened: list[Ledger] = []
    try:
        check_backend(make)
    finally:
        for ledger in opened:
            ledger.__exit__()
