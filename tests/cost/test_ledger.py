"""The ledger: its sums, its file, and what a kill leaves of them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import ConfigError, DataError, Price, Usage
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.cost.ledger import Ledger
from decompose_distill.cost.ledger_records import read_accounts

PRICE = Price(Decimal(1), Decimal(10))  # a millionth of a dollar a token read, ten written
PRICES = {"m": PRICE, "scripted": PRICE}
MOST = Usage(1000, 100)  # 2000 millionths


class Remote:
    """A backend without a price."""

    model = "m"


def _ledger(path: Path, budget: float | None = None, prices: dict[str, Price] = PRICES) -> Ledger:
    ledger = Ledger(path, budget_usd=budget, prices=prices)
    ledger.open_account("solver", Remote())
    return ledger


def test_a_request_is_in_the_file_before_it_is_sent_and_after_it_came_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, 1) as ledger:
        made = ledger.reserve("solver", MOST, attempts=2)
        assert made
        sent = [json.loads(line) for line in path.read_text().splitlines()]
        ledger.settle(made, Usage(400, 30), unanswered=1)
    done = json.loads(path.read_text().splitlines()[-1])
    done.pop("seconds")

    assert sent[0]["budget_usd"] == "1"
    assert sent[1] == {"role": "solver", "backend": f"{__name__}.Remote", "price": ["1", "10"]}
    assert sent[2]["input_tokens"] == 1000
    assert done == {"done": 0, "input_tokens": 400, "output_tokens": 30, "unanswered": 1}
    [entry] = read_accounts(path).entries
    assert entry.usd == Decimal("0.0007")
    assert entry.unanswered_usd == Decimal("0.002")
    assert entry.total_usd == ledger.spent_usd


def test_what_was_under_way_at_a_kill_counts_with_all_its_attempts(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, 1) as ledger:  # closing writes nothing, as a kill would not
        for _ in range(3):
            assert ledger.reserve("solver", MOST, attempts=6)
    with _ledger(path, 1) as again:
        [entry] = again.entries

    assert (entry.requests, entry.unanswered) == (0, 18)
    assert again.spent_usd == entry.unanswered_usd == Decimal("0.002") * 18


def test_a_budget_is_for_all_runs_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    for _ in range(3):
        with _ledger(path, 0.01) as ledger:
            while made := ledger.reserve("solver", MOST, attempts=1):
                ledger.settle(made, MOST)
    with _ledger(path, 0.02) as ledger:
        assert ledger.spent_usd == Decimal("0.01")
        assert ledger.reserve("solver", MOST, attempts=5)
        assert not ledger.reserve("solver", MOST, attempts=1)


@settings(max_examples=25)  # the disk is waited for
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 3), st.integers(0, 3))))
def test_the_sums_in_memory_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    with _ledger(path, 0.05) as ledger:
        for tokens, attempts, fate in requests:
            made = ledger.reserve("solver", Usage(tokens, tokens), attempts)
            if made and fate < 2:
                ledger.settle(
                    made, Usage(tokens // 2, tokens // 3), unanswered=min(fate, attempts - 1)
                )
            elif made and fate == 2:
                ledger.lose(made)

            spent = ledger.spent_usd
            assert spent is not None
            assert spent <= Decimal("0.05")
        left_open = read_accounts(path)
    assert left_open.spent_usd is not None
    assert left_open.spent_usd + left_open.reserved_usd <= Decimal("0.05")
    with _ledger(path) as again:
        assert again.spent_usd == left_open.spent_usd + left_open.reserved_usd


def test_a_budget_without_a_price_refuses_to_start_and_says_how_to_give_one(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "ledger", budget_usd=1) as ledger,
        pytest.raises(ConfigError, match=r"none is known for 'm': give prices=.*--prices FILE"),
    ):
        ledger.open_account("solver", Remote())


def test_tokens_without_a_price_are_counted_and_priced_once_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, prices={}) as ledger:
        for _ in range(2):
            made = ledger.reserve("solver", MOST, attempts=1)
        assert made
        ledger.settle(made, Usage(500, 50))
        [entry] = ledger.entries
        assert (entry.usage, entry.usd) == (Usage(500, 50), None)
    with Ledger(path, budget_usd=1, prices=PRICES) as other:
        other.open_account("decomposer", ScriptedBackend(str.upper))

        with pytest.raises(ConfigError, match="tokens whose price was unknown"):
            other.reserve("decomposer", MOST, attempts=1)
    with _ledger(path, 1) as priced:
        assert priced.spent_usd == Decimal("0.001") + Decimal("0.002")
    with Ledger(path, prices={f"{__name__}.Remote": PRICE}) as named:
        assert named.spent_usd == Decimal("0.003")


def test_all_tokens_without_a_price_are_priced_later_and_none_beside_them(tmp_path: Path) -> None:
    with _ledger(tmp_path / "ledger", prices={}) as ledger:
        for _ in range(3):
            made = ledger.reserve("solver", MOST, attempts=1)
            assert made
            ledger.settle(made, Usage(500, 50))
    with _ledger(tmp_path / "ledger", 1) as priced:
        [entry] = priced.entries

        assert (entry.requests, entry.unanswered) == (3, 0)
        assert priced.spent_usd == 3 * Decimal("0.001")


def test_tokens_of_an_unknown_price_are_not_priced_as_those_of_another_backend(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, prices={}) as ledger:
        made = ledger.reserve("solver", MOST, attempts=1)
        assert made
        ledger.settle(made, Usage(500, 50))
    with Ledger(path, budget_usd=1, prices=PRICES) as other:
        other.open_account("solver", ScriptedBackend(str.upper))  # costs nothing

        assert other.spent_usd is None
        with pytest.raises(ConfigError, match="tokens whose price was unknown"):
            other.reserve("solver", MOST, attempts=1)
    assert read_accounts(path).spent_usd is None
    assert read_accounts(path, {f"{__name__}.Remote": PRICE}).spent_usd == Decimal("0.001")


def test_while_one_role_makes_room_for_itself_another_cannot_do_so_inside(tmp_path: Path) -> None:
    with _ledger(tmp_path / "ledger", 1) as ledger:
        ledger.open_account("decomposer", ScriptedBackend(str.upper))
        with ledger.only("solver"):
            with ledger.only("decomposer"):
                assert ledger.reserve("decomposer", MOST, attempts=1) is None
            assert ledger.reserve("decomposer", MOST, attempts=1) is None
            assert ledger.reserve("solver", MOST, attempts=1)
        assert ledger.reserve("decomposer", MOST, attempts=1)


def test_the_batch_interface_is_billed_at_its_price(tmp_path: Path) -> None:
    class Batch:
        model = "m"
        batch = True

    half = Price(Decimal(1), Decimal(10), batch_discount=Decimal("0.5"))
    with Ledger(tmp_path / "ledger", prices={"m": half}) as ledger:
        ledger.open_account("solver", Batch())
        made = ledger.reserve("solver", MOST, attempts=1)
        assert made
        ledger.settle(made, MOST)

    assert read_accounts(tmp_path / "ledger").spent_usd == Decimal("0.001")


def test_a_request_in_a_batch_stays_reserved_over_a_kill_and_is_not_reserved_twice(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, 0.005) as ledger:
        for key in ("a", "b"):
            assert ledger.reserve("solver", MOST, 1, key)
    with _ledger(path, 0.005) as again:
        assert again.spent_usd == 0
        assert not again.reserve("solver", MOST, 1, "c")  # what the batch may cost is taken
        made = [again.reserve("solver", MOST, 1, key) for key in ("a", "b")]
        assert made[0]
        assert made[1]
        again.settle(made[0], Usage(100, 10))
        again.lose(made[1])
    with _ledger(path, 0.005) as last:
        assert last.spent_usd == Decimal("0.0002")
        assert last.reserve("solver", MOST, 1, "b") == made[1]
    assert sum('"sent"' in line for line in path.read_text().splitlines()) == 2


def test_what_a_batch_holds_is_reserved_at_the_price_of_the_run_that_awaits_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, prices={}) as ledger:
        for key in ("a", "b"):
            assert ledger.reserve("solver", MOST, 1, key)
    with _ledger(path, 0.005) as priced:
        assert not priced.reserve("solver", MOST, 1, "c")
        made = priced.reserve("solver", MOST, 1, "a")
        assert made
        priced.settle(made, MOST)
        assert not priced.reserve("solver", MOST, 1, "c")
    with _ledger(tmp_path / "other", prices={}) as ledger:
        assert ledger.reserve("solver", MOST, 1, "a")
    with Ledger(tmp_path / "other", budget_usd=1, prices=PRICES) as other:
        other.open_account("decomposer", ScriptedBackend(str.upper))

        with pytest.raises(ConfigError, match="tokens whose price was unknown"):
            other.reserve("decomposer", MOST, 1)


NO_BUDGETS = [0, -1, float("nan"), float("inf"), "abc", "", "sNaN", "1 dollar", True, [1], {}]


@pytest.mark.parametrize("budget", NO_BUDGETS)
def test_a_budget_that_is_none_is_refused(budget: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget_usd must be above 0, not .*: give an amount"):
        Ledger(tmp_path / "ledger", budget_usd=budget)
    assert not (tmp_path / "ledger").exists()


def test_what_the_provider_says_it_bills_beats_the_price_list_over_runs(tmp_path: Path) -> None:
    path, billed = tmp_path / "ledger", Decimal("0.0042")
    with _ledger(path, 1) as ledger:
        made = ledger.reserve("solver", MOST, attempts=2)
        assert made
        ledger.settle(made, Usage(400, 30), unanswered=1, billed_usd=billed)
        [entry] = ledger.entries

        assert (entry.usd, entry.unanswered_usd) == (billed, Decimal("0.002"))
    assert read_accounts(path).entries == (entry,)


def test_a_bill_is_known_also_where_the_price_is_not(tmp_path: Path) -> None:
    with _ledger(tmp_path / "ledger", prices={}) as ledger:
        for billed in (Decimal("0.01"), None):
            made = ledger.reserve("solver", MOST, attempts=1)
            assert made
            ledger.settle(made, Usage(5, 5), billed_usd=billed)
            known = Decimal("0.01") if billed else None
            assert ledger.spent_usd == known


def test_thinking_and_cached_tokens_are_told_apart_and_cached_ones_cost_less(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger"
    price = Price(Decimal(1), Decimal(10), cached_input_per_million=Decimal("0.1"))
    usage = Usage(200, 100, cached_tokens=150, reasoning_tokens=70)
    with _ledger(path, prices={"m": price}) as ledger:
        made = ledger.reserve("solver", MOST, attempts=1)
        assert made
        ledger.settle(made, usage)
    [entry] = read_accounts(path).entries

    assert entry.usage == usage
    assert entry.usd == Decimal("0.000001") * (50 + 15 + 1000)


def test_a_line_torn_by_a_kill_is_as_if_it_had_not_been_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with _ledger(path, 1) as ledger:
        made = ledger.reserve("solver", MOST, attempts=1)
        assert made
        ledger.settle(made, Usage(1, 1))
    path.write_bytes(path.read_bytes()[:-9])
    with _ledger(path, 1) as again:
        assert again.spent_usd == Decimal("0.002")  # the worst case, as its end is not known


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("notes", "ledger:1: not JSON"),
        ("[]", "ledger:1: expected an object"),
        ('{"done": 0}', "ledger:1: no line of a ledger, or one that answers no line 'sent'"),
        ('{"sent": 0}', "ledger:1: field 'role' must be a string, not None"),
        (
            '{"sent": 0, "role": "solver", "attempts": 1, "input_tokens": -1}',
            "ledger:1: field 'input_tokens' must be a whole number, not -1",
        ),
        ('{"role": "s", "backend": "b", "price": ["x", "1"]}', "ledger:1: field 'price' must be"),
        ('{"run": "now", "phase": 1}', "ledger:1: field 'phase' must be a string, not 1"),
    ],
)
def test_a_malformed_line_is_named_and_left_alone(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text(line + "\n")

    with pytest.raises(DataError, match=message):
        Ledger(path)
    assert path.read_text() == line + "\n"
