"""Prices: the table, a user's own, and none where none is known."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ConfigError, DataError, Price, Usage, load_backend
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.cost import format_usd
from decompose_distill.cost.price_table import PROVIDERS
from decompose_distill.cost.pricing import (
    FREE,
    add_usd,
    list_price,
    price_of,
    read_prices,
)
from decompose_distill.cost.pricing import dearest as dearest_of

ONE = Price(Decimal(1), Decimal(2), batch_discount=Decimal("0.5"))


@pytest.mark.parametrize(
    "field",
    ["input_per_million", "output_per_million", "batch_discount", "cached_input_per_million"],
)
@pytest.mark.parametrize("wrong", [Decimal(-1), Decimal("NaN"), Decimal("inf"), 0.4, "0.40"])
def test_a_price_that_is_none_is_refused_by_name(field: str, wrong: object) -> None:
    numbers = dict.fromkeys(("input_per_million", "output_per_million"), Decimal(1))

    with pytest.raises(ConfigError, match=field):
        Price(**numbers | {field: wrong})  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.integers(0, 2 * 10**6), st.integers(0, 10**6))
def test_cached_input_costs_its_price_and_in_full_where_that_is_unknown(
    read: int, cached: int, written: int
) -> None:
    used = Usage(read, written, cached_tokens=cached)
    told = Price(Decimal(4), Decimal(16), cached_input_per_million=Decimal(1))
    found = min(cached, read)  # more out of the cache than was read is a slip of the server

    assert Price(Decimal(4), Decimal(16)).usd(used) == Price(Decimal(4), Decimal(16)).usd(
        Usage(read, written)
    )
    assert told.usd(used) * 1_000_000 == 4 * (read - found) + found + 16 * written


def test_the_batch_discount_is_for_cached_input_too() -> None:
    cached = Price(Decimal(4), Decimal(16), Decimal("0.5"), Decimal(1)).batched

    assert cached.cached_input_per_million == Decimal("0.5")
    assert ONE.batched.cached_input_per_million is None


@pytest.mark.parametrize("wrong", [0.4, "0.4", None, {"input_per_million": 1}, Decimal(1)])
def test_prices_that_are_none_are_refused_by_name(wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"prices\['m'\] must be a Price, as Price\(Decimal"):
        price_of(ScriptedBackend(str), {"m": wrong})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="prices must be a mapping"):
        price_of(ScriptedBackend(str), [ONE])  # type: ignore[arg-type]


def test_a_discount_above_all_of_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_discount must be at most 1, not 50"):
        Price(Decimal(1), Decimal(1), Decimal(50))


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_batch_interface_costs_less_by_its_discount(read: int, written: int) -> None:
    used = Usage(read, written)

    assert ONE.batched.usd(used) * 2 == ONE.usd(used)
    assert ONE.usd(used) == (Decimal(read) + 2 * Decimal(written)) / 1_000_000


def test_every_price_of_the_table_is_a_price_with_its_page_and_month() -> None:
    for host, provider in PROVIDERS.items():
        assert provider.page.startswith("https://")
        assert len(provider.checked) == len("2026-11")
        for model in provider.models:
            price = list_price(f"https://{host}/v1", model)

            assert price
            assert 0 < price.input_per_million <= price.output_per_million


@pytest.mark.parametrize(
    ("url", "model", "dollars"),
    [
        ("https://api.openai.com/v1", "gpt-4.1-mini", "1.60"),
        ("https://api.openai.com/v1", "gpt-4.1-mini-2025-04-14", "1.60"),
        ("https://api.openai.com/v1", "gpt-4o-2024-05-13", "15"),  # dearer than its family
        ("https://api.openai.com/v1", "gpt-4o-2024-08-06", "10"),
        ("https://api.openai.com/v1", "ft:gpt-4o-mini-2024-07-18:me::1", None),
        ("https://api.openai.com/v1", "gpt-4.1-mega", None),
        ("https://api.openai.com.example.org/v1", "gpt-4.1-mini", None),
        ("http://localhost:8000/v1", "gpt-4.1-mini", None),
        ("https://api.mistral.ai/v1", "mistral-small-latest", "0.60"),
    ],
)
def test_a_list_price_is_that_of_a_model_at_a_provider(
    url: str, model: str, dollars: str | None
) -> None:
    price = list_price(url, model)

    assert (price and price.output_per_million) == (dollars and Decimal(dollars))


def test_a_price_of_ones_own_comes_before_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    backend = load_backend("openai:gpt-4.1-mini")

    assert price_of(backend) == Price(Decimal("0.40"), Decimal("1.60"), Decimal("0.5"))
    assert price_of(backend, {"gpt-4.1-mini": ONE}) == ONE
    assert price_of(backend, {backend.identity: ONE, "other": FREE}) == ONE  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("urls", "dollars"),
    [
        ("https://api.openai.com/v1 https://api.openai.com/v1", "1.60"),
        ("http://localhost:8000/v1 https://api.openai.com/v1", None),
        ("", None),
    ],
)
def test_several_endpoints_cost_what_the_dearest_does(urls: str, dollars: str | None) -> None:
    class Pool:
        model = "gpt-4.1-mini"
        base_url = urls

    price = price_of(Pool())

    assert (price and price.output_per_million) == (dollars and Decimal(dollars))


@pytest.mark.parametrize(
    ("cached", "dearest"),
    [(("0.1", "0.2"), "0.2"), (("0.1", None), "2"), ((None, None), None)],
)
def test_cached_input_of_several_endpoints_costs_what_the_dearest_does(
    cached: tuple[str | None, str | None], dearest: str | None
) -> None:
    prices = [
        Price(Decimal(2), Decimal(4), cached_input_per_million=Decimal(each) if each else None)
        for each in cached
    ]

    assert dearest_of(prices).cached_input_per_million == (dearest and Decimal(dearest))  # type: ignore[union-attr]


def test_what_runs_here_is_free_and_what_is_not_known_is_unknown() -> None:
    class Foreign:
        """Says nothing of itself."""

    assert price_of(ScriptedBackend(str.upper)) == FREE
    assert price_of(ScriptedBackend(str.upper), {"scripted": ONE}) == ONE
    assert price_of(Foreign()) is None
    assert add_usd([Decimal(1), None]) is None


def test_a_file_of_prices_is_read_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(
        '{"a": {"input_per_million": 0.1, "output_per_million": "0.30"},'
        ' "b": {"input_per_million": 2, "output_per_million": 8, "batch_discount": 0.5}}'
    )
    prices = read_prices(path)

    assert prices["a"] == Price(Decimal("0.1"), Decimal("0.3"))
    assert prices["b"].batched.output_per_million == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (1, "'m': expected an object with input_per_million"),
        ({"input_per_million": 1}, "'m': expected an object with"),
        ({"input_per_million": 1, "output_per_million": 1, "outptu": 2}, "'m': expected an object"),
        ({"input_per_million": "x", "output_per_million": 1}, "field 'input_per_million' must be"),
        ({"input_per_million": 1, "output_per_million": True}, "field 'output_per_million' must"),
        ({"input_per_million": 1, "output_per_million": -1}, "output_per_million must be 0 or"),
        ({"input_per_million": 1, "output_per_million": "NaN"}, "output_per_million must be 0 or"),
        ({"input_per_million": 1, "output_per_million": float("nan")}, "'output_per_million' must"),
    ],
)
def test_a_malformed_price_is_named_with_its_file_model_and_field(
    row: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"m": row}))

    with pytest.raises(DataError, match=message) as error:
        read_prices(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_a_file_that_holds_no_prices_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)

    with pytest.raises(DataError, match=r"prices\.json"):
        read_prices(path)
    with pytest.raises(DataError, match="no such file of prices"):
        read_prices(tmp_path / "gone.json")


@given(st.decimals(-100_000, 100_000, places=9))
def test_an_amount_is_printed_to_the_cent_and_three_digits(usd: Decimal) -> None:
    text = format_usd(usd)
    value = Decimal(text.replace("−", "-").replace("$", "").replace(",", ""))

    assert abs(value - usd) <= (Decimal("0.005") if abs(usd) >= 1 else abs(usd) / 200)
    assert (text == "$0") == (usd == 0)
    assert usd == 0 or len(text.rpartition(".")[2]) >= 2
