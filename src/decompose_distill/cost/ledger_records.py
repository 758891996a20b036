"""The lines of a ledger: JSON, one each for a run, a price, a request sent and one come back.

    {"run": "2026-11-25T08:41:03+00:00", "phase": "collect", "budget_usd": "5.0"}
    {"role": "solver", "backend": "openai:m http://…", "price": ["0.40", "1.60"]}
    {"sent": 0, "role": "solver", "input_tokens": 1500, "output_tokens": 512, "attempts": 6}
    {"done": 0, "input_tokens": 312, "output_tokens": 95, "seconds": 3.71, "unanswered": 1}

A usage may also have `cached_tokens` and `reasoning_tokens`, a price a third amount, for cached
input, and a line `done` what the provider itself billed, as `billed_usd`.

A line `sent` is the most that one attempt may use. Where none says that it is `done`, the
process was killed with the request under way, which counts as spent with all its attempts. A
request of a batch has its key in `batched`: it stays reserved, and the run that awaits the
batch again finds it so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any

from decompose_distill.cost.accounts import Accounts, Reservation
from decompose_distill.cost.forecast import FEWEST
from decompose_distill.cost.pricing import Price
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.types import Usage

_PARTS = ("cached_tokens", "reasoning_tokens")
"""Of a usage, those that only some providers count."""


def run_line(phase: str, budget_usd: Decimal | None) -> str:
    """A run begins."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    budget = None if budget_usd is None else str(budget_usd)
    return json.dumps({"run": now, "phase": phase, "budget_usd": budget})


def account_line(role: str, backend: str, price: Price | None) -> str:
    """A role works with a backend, given by its identity, at a price."""
    amounts = price and (
        *(price.input_per_million, price.output_per_million, price.cached_input_per_million),
    )
    numbers = amounts and [str(amount) for amount in amounts if amount is not None]
    return json.dumps({"role": role, "backend": backend, "price": numbers})


def sent_line(reservation: Reservation) -> str:
    """A request is about to be sent."""
    row = {"sent": reservation.number, "role": reservation.role, **_encode(reservation.most)}
    row["attempts"] = reservation.attempts
    return json.dumps(row | ({"batched": reservation.batched} if reservation.batched else {}))


def done_line(
    reservation: Reservation,
    usage: Usage,
    unanswered: int,
    seconds: float,
    billed_usd: Decimal | None = None,
) -> str:
    """A request came back, `seconds` after the run began."""
    row: dict[str, Any] = {
        "done": reservation.number,
        **_encode(usage),
        "seconds": round(seconds, 2),
    }
    row |= {"unanswered": unanswered} if unanswered else {}
    return json.dumps(row | ({} if billed_usd is None else {"billed_usd": str(billed_usd)}))


def _encode(usage: Usage) -> dict[str, int]:
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    parts = {name: getattr(usage, name) for name in _PARTS}
    return counts | {name: tokens for name, tokens in parts.items() if tokens}


def read_accounts(path: str | Path, prices: Mapping[str, Price] | None = None) -> Accounts:
    """Read a ledger, also while it is being written.

    Args:
        prices: By identity, for backends whose price was unknown.

    Raises:
        DataError: A line is malformed; the message names file, line and field.

    Example:
        >>> read_accounts("no/such/file").entries
        ()
    """
    accounts = Accounts("")
    for row in _rows(Path(path)):
        _replay(accounts, row, prices or {})
    return accounts


def merged_lines(paths: Sequence[Path], into: Path) -> Iterator[bytes]:
    """The lines of ledgers as they are added to another; none of those that were added before.

    Raises:
        DataError: A line of the other is malformed.
    """
    held = read_accounts(into).open.values()  # a batch goes on, and its numbers stay its own
    shift = max((reservation.number + 1 for reservation in held if reservation.batched), default=0)
    before = _merged_before(into)
    for path in paths:
        facts = path.stat()  # two shards may have spent the same, to the byte
        written = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
        name = sha256(written.encode()).hexdigest()[:16]
        if name in before:
            continue
        with path.open("rb") as lines:
            if first := next(lines, b""):
                yield _moved(first, shift, merged=name)
            yield from lines if not shift else (_moved(line, shift) for line in lines)


def _merged_before(path: Path) -> set[str]:
    with path.open("rb") as lines:
        return {json.loads(line)["merged"] for line in lines if b'"merged"' in line}


def _moved(line: bytes, shift: int, **more: str) -> bytes:
    row = json.loads(line)
    numbers = {name: row[name] + shift for name in ("sent", "done") if name in row}
    return json.dumps(row | numbers | more).encode() + b"\n"


def requests_per_second(path: Path) -> float | None:
    """Requests per second of the latest run with enough finished requests to tell.

    Raises:
        DataError: A line is malformed.
    """
    speed, count = None, 0
    for row in _rows(path):
        if "run" in row.fields:
            count = 0
        elif "done" in row.fields:
            count += 1
            seconds = row.fields.get("seconds")
            if count >= FEWEST and isinstance(seconds, int | float) and seconds > 0:
                speed = count / seconds
    return speed


def seconds_worked(path: Path) -> float:
    """How long all runs together worked, each until its last request came back.

    Raises:
        DataError: A line is malformed.
    """
    before = last = 0.0
    for row in _rows(path):
        if "run" in row.fields:
            before, last = before + last, 0.0
        elif isinstance(seconds := row.fields.get("seconds"), int | float):
            last = max(last, seconds)
    return before + last


def _rows(path: Path) -> "Iterator[_Row]":
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):  # else its writer is not done with it, or was killed
                yield _Row(line, f"{path}:{number}")


class _Row:
    """One line, with its place for messages."""

    def __init__(self, line: bytes, where: str) -> None:
        self.where = where
        try:
            self.fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON: {error}") from None
        if not isinstance(self.fields, dict):
            raise DataError(f"{where}: expected an object, as a ledger has in every line")

    def text(self, name: str) -> str:
        if isinstance(value := self.fields.get(name), str):
            return value
        raise DataError(f"{self.where}: field {name!r} must be a string, not {value!r}")

    def count(self, name: str) -> int:
        value = self.fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise DataError(f"{self.where}: field {name!r} must be a whole number, not {value!r}")

    def usage(self) -> Usage:
        parts = {name: self.count(name) for name in _PARTS if name in self.fields}
        return Usage(self.count("input_tokens"), self.count("output_tokens"), **parts)

    def billed_usd(self) -> Decimal | None:
        if (value := self.fields.get("billed_usd")) is None:
            return None
        try:
            billed = Decimal(value)
            if billed.is_finite() and billed >= 0:
                return billed
        except (InvalidOperation, TypeError, ValueError):
            pass
        raise DataError(f"{self.where}: field 'billed_usd' must be an amount, not {value!r}")

    def price(self) -> Price | None:
        if (value := self.fields.get("price")) is None:
            return None
        try:
            read, written, *cached = map(Decimal, value)
            return Price(read, written, cached_input_per_million=next(iter(cached), None))
        except (ConfigError, InvalidOperation, TypeError, ValueError):
            raise DataError(
                f"{self.where}: field 'price' must be two or three amounts in US dollars, "
                f"not {value!r}"
            ) from None


def _replay(accounts: Accounts, row: _Row, prices: Mapping[str, Price]) -> None:
    if "run" in row.fields:
        accounts.begin(row.text("phase"))
    elif "backend" in row.fields:
        backend = row.text("backend")
        accounts.set_price(row.text("role"), row.price() or prices.get(backend), backend)
    elif "sent" in row.fields:
        number, role, attempts = row.count("sent"), row.text("role"), row.count("attempts")
        batched = row.text("batched") if "batched" in row.fields else ""
        accounts.reserve(Reservation(number, role, row.usage(), attempts, batched))
    elif "done" in row.fields and row.count("done") in accounts.open:
        unanswered = row.count("unanswered") if "unanswered" in row.fields else 0
        accounts.settle(row.count("done"), row.usage(), unanswered, row.billed_usd())
    else:
        raise DataError(f"{row.where}: no line of a ledger, or one that answers no line 'sent'")
