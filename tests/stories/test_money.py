"""What a server counts, in each of the shapes it has, becomes what the ledger books."""

import random
import threading
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import (
    BudgetExceeded,
    Message,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solver,
    Usage,
    collect,
)
from decompose_distill.backends.metering import MeteredBackend
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.cost.ledger import Ledger, ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from tests.support.fake_server import Call, FakeServer, Reply, chat

PLAIN = Price(Decimal(2), Decimal(8))
CACHED = Price(Decimal(2), Decimal(8), cached_input_per_million=Decimal("0.5"))
LIMIT = 400
REQUEST = Request("0", (Message("user", "How many?"),), Sampling(max_new_tokens=LIMIT))


def _usage(read: Any = None, written: Any = None, total: Any = None, **more: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}
    return {name: count for name, count in counts.items() if count is not None} | more


def _booked(usage: Any, price: Price, folder: Path) -> tuple[Usage, Decimal]:
    body = chat("The answer is: 5") | {"usage": usage}
    with (
        FakeServer(lambda call: Reply(body=body)) as server,
        Ledger(folder / "ledger", prices={"m": price}) as ledger,
    ):
        backend = OpenAIBackend("m", base_url=server.url)
        list(MeteredBackend(backend, ledger, "solver").generate([REQUEST]))
        [entry] = ledger.entries
    assert entry.usd is not None
    return entry.usage, entry.usd


THOUGHT = {"completion_tokens_details": {"reasoning_tokens": 70}}
FOUND = {"prompt_tokens_details": {"cached_tokens": 150}}


@pytest.mark.parametrize(
    ("usage", "read", "written"),
    [
        (_usage(200, 100, 300, **THOUGHT), 200, 100),
        (_usage(200, 30, 300, **THOUGHT), 200, 100),
        (_usage(200, 30, 300), 200, 100),
        (_usage(200, None, 230), 200, 30),
        (_usage(200, None, 230, completion_tokens=None), 200, 30),
        (_usage(200.0, 30.0, 230.0), 200, 30),
        (_usage(200, 30, 230, **FOUND), 200, 30),
    ],
)
def test_what_is_billed_is_booked(usage: Any, read: int, written: int, tmp_path: Path) -> None:
    booked, usd = _booked(usage, PLAIN, tmp_path)

    assert (booked.input_tokens, booked.output_tokens) == (read, written)
    assert usd == PLAIN.usd(Usage(read, written))


@pytest.mark.parametrize(
    "usage",
    [_usage(200), _usage(200, completion_tokens=None), None, _usage(0, 0, 0), {}, "many", [1, 2]],
)
def test_what_nobody_counts_is_booked_at_its_worst_case(usage: Any, tmp_path: Path) -> None:
    booked, usd = _booked(usage, PLAIN, tmp_path)

    assert booked.input_tokens >= 1
    assert booked.output_tokens >= LIMIT
    assert usd >= PLAIN.usd(Usage(1, LIMIT))


def test_cached_input_is_booked_at_its_own_price(tmp_path: Path) -> None:
    booked, usd = _booked(_usage(200, 30, 230, **FOUND), CACHED, tmp_path)

    assert booked.cached_tokens == 150
    assert usd * 1_000_000 == 2 * 50 + Decimal("0.5") * 150 + 8 * 30


class Provider:
    """Bills what it takes in, and tells it in one of the shapes of usage."""

    def __init__(self, shape: str) -> None:
        self.billed, self._shape = Decimal(0), shape
        self._random, self._lock = random.Random(0), threading.Lock()

    def __call__(self, call: Call) -> Reply:
        asked = sum(len(each["content"].encode()) for each in call.body["messages"])
        limit = call.body.get("max_tokens") or call.body["max_completion_tokens"]
        with self._lock:
            read, written = asked // 2 + 1, self._random.randint(2, limit)
            self.billed += PLAIN.usd(Usage(read, written))
        thought = {"completion_tokens_details": {"reasoning_tokens": written // 2}}
        usage = {
            "inside": _usage(read, written, read + written, **thought),
            "outside": _usage(read, written - written // 2, read + written, **thought),
            "in the total": _usage(read, written - written // 2, read + written),
            "total only": _usage(read, None, read + written),
            "input only": _usage(read),
            "nothing": None,
            "zeros": _usage(0, 0, 0),
        }[self._shape]
        body = chat("The answer is: 5") | {"usage": usage}
        return Reply(body=body, seconds=self._random.uniform(0.001, 0.03))


@pytest.mark.parametrize(
    "shape", ["inside", "outside", "in the total", "total only", "input only", "nothing", "zeros"]
)
def test_the_providers_own_bill_stays_below_the_budget_with_64_at_once(
    shape: str, tmp_path: Path
) -> None:
    provider, path, budget = Provider(shape), tmp_path / "t.jsonl", Decimal("0.25")
    questions = [Question(f"How old is number {n}?") for n in range(300)]
    sampling = Sampling(max_new_tokens=LIMIT)
    with FakeServer(provider) as server:
        backend = OpenAIBackend("m", base_url=server.url, max_in_flight=64, max_attempts=1)
        pipeline = Pipeline(None, Solver(backend, mode="direct", sampling=sampling))
        options: dict[str, Any] = {"budget_usd": budget, "prices": {"m": PLAIN}, "progress": False}
        with suppress(BudgetExceeded):
            collect(pipeline, questions, path, **options)
    spent = read_accounts(ledger_path(path)).spent_usd

    assert spent is not None
    assert provider.billed <= spent <= budget
    assert spent > budget - PLAIN.usd(most_tokens(REQUEST)) * 2
