"""One budget over shards that run apart: what each may spend, and what flows back."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from decompose_distill.cost.pricing import Price
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.storage.atomic import write_text
from decompose_distill.storage.jsonl import beside, writing

if TYPE_CHECKING:
    from filelock import BaseFileLock

CLAIMS = "claims.json"
"""In the folder of the shards: what each may spend."""
LOCK_SECONDS = 600.0
"""Longest wait for other shards to read and write their claims, which takes milliseconds."""
THE_FILE = 0
"""The number under which the claims hold what the file itself cost; shards count from 1."""
LEAST = Decimal("1e-9")
"""Shares are rounded down to this; a budget must be above 0, and this one pays for nothing."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one shard may spend."""

    usd: Decimal
    finished: bool = False
    """Whether the shard wants no more; then it is what it spent."""


@dataclass(frozen=True)
class BudgetShares:
    """The part that one of several shards has in the budget of a file of traces.

    What each may spend is written down before it spends it, in a file that all of them lock, so
    that the claims never exceed the budget together. A shard starts with an equal part. When it
    ends, it claims no more than it spent, and the rest is there for those that go on. One that
    was killed keeps its claim until it is run again.
    """

    traces: Path
    """The file that the shards will be merged into; what it cost before is spent already."""
    shard: Path
    number: int
    count: int
    budget_usd: Decimal
    prices: Mapping[str, Price] = field(default_factory=dict)

    @contextmanager
    def claimed(self) -> Iterator[Decimal]:
        """Claim an equal part, and give back what is not spent of it.

        Raises:
            ConfigError: What was spent before has no known price.
        """
        with self._claims() as claims:
            claims.setdefault(THE_FILE, Claim(self._before_usd(), finished=True))
            most, mine = self._most(claims), max(self._own(claims), self._spent_usd())
            budget = max(min(most, max(self._share(claims), mine)), LEAST)
            claims[self.number] = Claim(budget)
        finished = False
        try:
            yield budget
            finished = True
        finally:
            with self._claims() as claims:
                claims[self.number] = Claim(self._spent_usd(), finished)

    def more(self, needed: Decimal) -> Decimal:
        """Claim what others left, enough for the next request; what is claimed where it is not."""
        with self._claims() as claims:
            most, mine = self._most(claims), self._own(claims)
            if needed > most:
                return mine
            others = (claims[number] for number in claims if number not in (THE_FILE, self.number))
            part = _rounded((most - mine) / (self.count - sum(claim.finished for claim in others)))
            claims[self.number] = Claim(min(most, max(needed, mine + part)))
            return claims[self.number].usd

    def _share(self, claims: Mapping[int, Claim]) -> Decimal:
        return _rounded((self.budget_usd - claims[THE_FILE].usd) / self.count)

    def _before_usd(self) -> Decimal:
        """What the file itself cost, before there were shards."""
        spent = read_accounts(ledger_path(self.traces), self.prices).spent_usd
        if spent is None:
            raise ConfigError(
                f"budget_usd: what was spent on {self.traces} has no known price; give it in prices"
            )
        return spent

    def _most(self, claims: Mapping[int, Claim]) -> Decimal:
        """What this shard could have if the others keep what is theirs."""
        known = sum(claim.usd for number, claim in claims.items() if number != self.number)
        unknown = self.count + 1 - len({*claims, self.number})
        return self.budget_usd - known - unknown * self._share(claims)

    def _own(self, claims: Mapping[int, Claim]) -> Decimal:
        return claims[self.number].usd if self.number in claims else Decimal(0)

    def _spent_usd(self) -> Decimal:
        """What the shard spent, requests under way at their worst case."""
        accounts = read_accounts(ledger_path(self.shard), self.prices)
        return (accounts.spent_usd or Decimal(0)) + accounts.reserved_usd

    @contextmanager
    def _claims(self) -> Iterator[dict[int, Claim]]:
        """All claims, which no other shard reads or writes meanwhile."""
        path = self.shard.parent / CLAIMS
        with claims_lock(self.traces), writing(path):
            claims = read_claims(path)
            before = dict(claims)
            yield claims
            if claims != before:
                write_claims(path, claims)


def claims_lock(traces: Path) -> "BaseFileLock":
    """What all shards of a file lock to read or write their claims; use as a context manager."""
    from filelock import FileLock

    return FileLock(f"{beside(traces, '.shards')}.lock", timeout=LOCK_SECONDS)


def read_claims(path: Path) -> dict[int, Claim]:
    """Claims by number of shard.

    Raises:
        DataError: The file holds something else.
    """
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {int(name): Claim(Decimal(usd), bool(done)) for name, (usd, done) in rows.items()}
    except (ValueError, ArithmeticError, TypeError, AttributeError):
        raise DataError(f"{path}: no claims of shards; remove it where no shard runs") from None


def write_claims(path: Path, claims: Mapping[int, Claim]) -> None:
    """Write claims by number of shard."""
    rows = {number: [str(claim.usd), claim.finished] for number, claim in sorted(claims.items())}
    write_text(path, json.dumps(rows))


def claim_as_merged(traces: Path, folder: Path, shards: Mapping[int, Decimal]) -> None:
    """Book what shards spent as cost of the file that they are merged into, once for each."""
    merged = Claim(Decimal(0), finished=True)
    with claims_lock(traces), writing(folder / CLAIMS):
        claims = read_claims(folder / CLAIMS)
        anew = [number for number in shards if claims.get(number) != merged]  # a kill came before
        before = claims.get(THE_FILE, merged).usd + sum(shards[number] for number in anew)
        claims |= {THE_FILE: Claim(before, finished=True)} | dict.fromkeys(shards, merged)
        write_claims(folder / CLAIMS, claims)


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(LEAST, ROUND_DOWN)
