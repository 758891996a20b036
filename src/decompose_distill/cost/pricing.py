"""What tokens cost: prices by model, from a dated table that the user may override.

An unknown price is `None` and makes every sum it enters `None`; it is never 0.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from decompose_distill.backend import info_of
from decompose_distill.cost.price_table import PROVIDERS
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.types import Usage

MILLION = 1_000_000
AMOUNTS = (
    *("input_per_million", "output_per_million", "batch_discount", "cached_input_per_million"),
)
"""Fields of a price, the first two of which every price has."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in US dollars per million tokens.

    Raises:
        ConfigError: A number is no `Decimal`, is negative, or the discount is above 1.

    Example:
        >>> price = Price(Decimal("0.40"), Decimal("1.60"), batch_discount=Decimal("0.5"))
        >>> price.usd(Usage(1_000_000, 500_000))
        Decimal('1.20')
        >>> price.batched.usd(Usage(1_000_000, 500_000))
        Decimal('0.600')
    """

    input_per_million: Decimal
    output_per_million: Decimal
    batch_discount: Decimal = Decimal(0)
    """Share that the provider's batch interface takes off."""
    cached_input_per_million: Decimal | None = None
    """Of input that the provider finds in its cache; in full where it is not known."""

    def __post_init__(self) -> None:
        for name in AMOUNTS:
            number = getattr(self, name)
            if number is None and name == "cached_input_per_million":
                continue
            if not isinstance(number, Decimal):
                kind = type(number).__name__
                raise ConfigError(f"{name} must be a Decimal such as Decimal('0.40'), not {kind}")
            if not number.is_finite() or number < 0:
                raise ConfigError(f"{name} must be 0 or more, not {number}")
        if self.batch_discount > 1:
            raise ConfigError(f"batch_discount must be at most 1, not {self.batch_discount}")

    @property
    def batched(self) -> "Price":
        """The price in the provider's batch interface."""
        rest, cached = 1 - self.batch_discount, self.cached_input_per_million
        return Price(
            self.input_per_million * rest,
            self.output_per_million * rest,
            cached_input_per_million=None if cached is None else cached * rest,
        )

    @property
    def cached(self) -> Decimal:
        """Of input out of the cache, known or not, per million tokens."""
        known = self.cached_input_per_million
        return self.input_per_million if known is None else known

    def usd(self, usage: Usage) -> Decimal:
        """Price of some tokens: input × its price + cached × theirs + output × its price."""
        cached = min(usage.cached_tokens, usage.input_tokens)
        read, written = usage.input_tokens - cached, usage.output_tokens
        spent = self.input_per_million * read + self.output_per_million * written
        return (spent + self.cached * cached) / MILLION


FREE = Price(Decimal(0), Decimal(0))
"""Of models on this machine: nobody bills their tokens."""


def add_usd(parts: Iterable[Decimal | None]) -> Decimal | None:
    """A sum; `None` if a part is unknown.

    Example:
        >>> add_usd([Decimal(1), Decimal(2)]), add_usd([Decimal(1), None])
        (Decimal('3'), None)
    """
    total = Decimal(0)
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def format_usd(amount: Decimal | float | None, *, unknown: str = "unknown") -> str:
    """An amount for people: cents from a dollar on, three significant digits below.

    Example:
        >>> [format_usd(Decimal(usd)) for usd in ("1234.5", "0.5", "0.9962", "0.00321", "0")]
        ['$1,234.50', '$0.50', '$0.996', '$0.00321', '$0']
        >>> format_usd(None), format_usd(-0.5)
        ('unknown', '−$0.50')
    """
    if amount is None:
        return unknown
    value = Decimal(str(amount))
    if not value:
        return "$0"
    decimals = 2 if abs(value) >= 1 else 2 - value.adjusted()
    whole, _, fraction = f"{abs(value):,.{decimals}f}".partition(".")
    return f"{'−' if value < 0 else ''}${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def price_of(backend: object, prices: Mapping[str, Price] | None = None) -> Price | None:
    """Price of a backend's tokens, or `None` if it is unknown.

    The first that is there: the price given for its `model` or identity; the `price` of its
    `info`, which local models have, at 0; the list price of that model at that provider. A
    server of your own has no list price, whatever the name of its model. Several endpoints cost
    what the dearest of them does.

    Example:
        >>> from decompose_distill import load_backend
        >>> server = load_backend("openai:my-model", base_url="http://localhost:8000/v1")
        >>> price_of(server) is None
        True
        >>> price_of(server, {"my-model": FREE}) == FREE
        True
    """
    check_prices(prices or {})
    info = info_of(backend)
    for name in (info.model, info.identity):
        if prices and name in prices:
            return prices[name]
    if info.price is not None:
        return info.price
    return dearest([list_price(url, info.model) for url in info.base_url.split()])


def check_prices(prices: object) -> None:
    """Refuse prices that are none.

    Raises:
        ConfigError: They are no mapping of names to `Price`; the message names what is not.
    """
    if not isinstance(prices, Mapping):
        raise ConfigError(f"prices must be a mapping of models to Price, not {prices!r}")
    for name, price in prices.items():
        if not isinstance(price, Price):
            raise ConfigError(
                f"prices[{name!r}] must be a Price, as Price(Decimal('0.40'), Decimal('1.60')), "
                f"not {price!r}"
            )


def dearest(prices: Sequence[Price | None]) -> Price | None:
    """What several endpoints cost at most; `None` if one is unknown."""
    known = [price for price in prices if price is not None]
    if not known or len(known) < len(prices):
        return None
    return Price(
        max(price.input_per_million for price in known),
        max(price.output_per_million for price in known),
        min(price.batch_discount for price in known),
        max(price.cached for price in known) if any(map(_tells_cached, known)) else None,
    )


def _tells_cached(price: Price) -> bool:
    return price.cached_input_per_million is not None


def price_name(backend: object) -> str:
    """The name under which a price for a backend is given: its model, else its identity."""
    info = info_of(backend)
    return info.model or info.identity


def list_price(base_url: str, model: str) -> Price | None:
    """The published price of a model at an endpoint; `None` if the table has none.

    A dated snapshot that is not listed costs what its family costs.

    Example:
        >>> list_price("https://api.openai.com/v1", "gpt-4.1-mini-2025-04-14")
        Price(input_per_million=Decimal('0.40'), output_per_million=Decimal('1.60'), ...)
    """
    provider = PROVIDERS.get(urlsplit(base_url).hostname or "")
    if provider is None:
        return None
    family = re.sub(r"-20\d\d-\d\d-\d\d$", "", model)
    amounts = provider.models.get(model) or provider.models.get(family)
    if amounts is None:
        return None
    read, written = map(Decimal, amounts)
    return Price(read, written, batch_discount=Decimal(provider.batch_discount))


def read_prices(path: str | Path) -> dict[str, Price]:
    """Read prices of your own from a JSON file.

    It holds an object with a model's name for each price, and numbers or strings in it:
    `{"my-model": {"input_per_million": 0.4, "output_per_million": 1.6}}`, where
    `batch_discount` and `cached_input_per_million` may stand beside them.

    Raises:
        DataError: The file is missing or malformed; the message names file, model and field.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "prices.json")
        >>> row = '{"my-model": {"input_per_million": "0.1", "output_per_million": 0.4}}'
        >>> _ = path.write_text(row)
        >>> read_prices(path)["my-model"].output_per_million
        Decimal('0.4')
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file of prices")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if not isinstance(rows, dict):
        raise DataError(f"{path}: expected an object of prices by model")
    return {model: _read_price(row, f"{path}: {model!r}") for model, row in rows.items()}


def _read_price(row: Any, where: str) -> Price:
    if not isinstance(row, dict) or not {*AMOUNTS[:2]} <= {*row} <= {*AMOUNTS}:
        fields = f"{AMOUNTS[0]}, {AMOUNTS[1]} and, if you like, {AMOUNTS[2]} and {AMOUNTS[3]}"
        raise DataError(f"{where}: expected an object with {fields}")
    numbers = {name: _read_number(row[name], f"{where}: field {name!r}") for name in row}
    try:
        return Price(**numbers)
    except ConfigError as error:
        raise DataError(f"{where}: {error}") from None


def _read_number(value: Any, where: str) -> Decimal:
    try:
        if isinstance(value, Decimal | str):
            return Decimal(value)
    except InvalidOperation:
        pass
    raise DataError(f"{where} must be a number of US dollars, not {value!r}")
