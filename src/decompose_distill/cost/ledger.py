"""Money: a budget, and the ledger that keeps spending below it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import takewhile
from pathlib import Path

from decompose_distill.backend import info_of
from decompose_distill.cost.accounts import Entry, Reservation
from decompose_distill.cost.ledger_records import (
    account_line,
    done_line,
    read_accounts,
    run_line,
    sent_line,
)
from decompose_distill.cost.pricing import (
    Price,
    add_usd,
    check_prices,
    format_usd,
    price_name,
    price_of,
)
from decompose_distill.errors import BudgetExceeded, ConfigError
from decompose_distill.storage.jsonl import JsonlFile, beside
from decompose_distill.types import Usage


def ledger_path(traces: str | Path) -> Path:
    """The ledger of a file of traces lies beside it."""
    return beside(traces, ".ledger")


def find_price(
    role: str, backend: object, prices: Mapping[str, Price], *, budgeted: bool
) -> Price | None:
    """The price of a role's tokens, that of the batch interface where its backend uses it.

    Raises:
        ConfigError: There is a budget, and the price is unknown.
    """
    price = price_of(backend, prices)
    if price is None and budgeted:
        name = price_name(backend)
        raise ConfigError(
            f"budget_usd needs a price for the {role}, and none is known for {name!r}: give "
            f"prices={{{name!r}: Price(...)}}, or on the command line --prices FILE"
        )
    return price.batched if price is not None and info_of(backend).batch else price


def read_budget(budget_usd: Decimal | float | None) -> Decimal | None:
    """A budget as an exact amount.

    Raises:
        ConfigError: It is no positive amount.
    """
    if budget_usd is None:
        return None
    try:
        budget = Decimal(str(budget_usd))
        if budget.is_finite() and budget > 0:
            return budget
    except InvalidOperation:
        pass
    raise ConfigError(f"budget_usd must be above 0, not {budget_usd}: give an amount in US dollars")


class Ledger(JsonlFile):
    """Counts tokens and money, durably, and keeps a budget. Use as a context manager.

    The budget is for all that the file holds, whichever run paid for it. What was spent and
    what is reserved never exceed it together, as a request is written down at its worst case
    before it is sent. See `JsonlFile` for what is durable when.

    Args:
        path: The file, created or continued.
        budget_usd: The most that may be spent, in US dollars, earlier runs included.
        prices: Prices by model or identity, before those of the table.
        phase: What the requests are for.
        more: Called with the budget that the next request needs, where it has no room; gives
            the budget that holds from then on.
        guarded: Whether the file of traces beside which it stands is held open.

    Raises:
        ConfigError: The budget is no positive amount, or another run writes the file.
        DataError: A line is malformed; the message names file, line and field.

    Example:
        >>> import tempfile
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> with Ledger(tempfile.mkdtemp() + "/traces.jsonl.ledger") as ledger:
        ...     ledger.open_account("solver", ScriptedBackend(str.upper))
        ...     made = ledger.reserve("solver", Usage(100, 512), attempts=1)
        ...     ledger.settle(made, Usage(7, 3))
        >>> ledger.entries[0].usage
        Usage(input_tokens=7, output_tokens=3, ...)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        budget_usd: Decimal | float | None = None,
        prices: Mapping[str, Price] | None = None,
        phase: str = "collect",
        more: Callable[[Decimal], Decimal] | None = None,
        guarded: bool = False,
    ) -> None:
        self._more = more
        self.budget_usd = read_budget(budget_usd)
        self.prices: Mapping[str, Price] = prices or {}
        check_prices(self.prices)
        self.settled: int = 0
        """Requests that came back in this run."""
        self._phase = phase
        self._in_flight: Counter[str] = Counter()  # in the order in which accounts were opened
        self._only: str | None = None
        self._guard = threading.RLock()  # a backend may take its requests in another thread
        super().__init__(path, guarded=guarded)
        try:
            self._accounts = read_accounts(self.path, self.prices)
        except BaseException:
            self.__exit__()
            raise
        self._accounts.begin(phase)
        held = self._accounts.open.values()
        self._awaited = {reservation.batched: reservation for reservation in held}
        self._number = max(self._accounts.open, default=-1) + 1
        self._began = 0.0

    def open_account(self, role: str, backend: object) -> None:
        """Set the price of a role's tokens, also of those that an earlier run had no price for.

        Raises:
            ConfigError: There is a budget, and a price is unknown.
        """
        price = find_price(role, backend, self.prices, budgeted=self.budget_usd is not None)
        if not self._began:
            self._began = time.monotonic()
            self.append(run_line(self._phase, self.budget_usd))
        name = info_of(backend).identity
        self.append(account_line(role, name, price))
        self._accounts.set_price(role, price, name)
        self._in_flight.setdefault(role, 0)

    def reserve(
        self, role: str, most: Usage, attempts: int, batched: str = ""
    ) -> Reservation | None:
        """Write a request down before it is sent; `None` if it does not fit the budget.

        Args:
            role: One with an account.
            most: Tokens that one attempt may use.
            attempts: How often it may be sent.
            batched: Its key, where a batch interface takes it; one that an earlier run reserved
                is given out again.

        Raises:
            ConfigError: There is a budget, and the file holds tokens of an unknown price.
        """
        with self._guard:
            reservation = self._awaited.pop(batched, None)
            if reservation is None:
                reservation = Reservation(self._number, role, most, attempts, batched)
                if not self.fits(reservation):
                    return None
                self.append(sent_line(reservation))
                self._number += 1
                self._accounts.reserve(reservation)
            self._in_flight[role] += 1
            return reservation

    def fits(self, reservation: Reservation) -> bool:
        """Whether a request would be let through now."""
        if self._only not in (None, reservation.role):
            return False
        if self.budget_usd is None:
            return True
        spent, price = self.spent_usd, self._accounts.price(reservation.role)
        if spent is None or price is None or not self._accounts.is_priced:
            raise ConfigError(
                f"{self.path} holds tokens whose price was unknown, so no budget can be kept: "
                "give prices for the backends it names"
            )
        needed = spent + self._accounts.reserved_usd + reservation.usd(price)
        if needed > self.budget_usd and self._more is not None:
            self.budget_usd = self._more(needed)
        return needed <= self.budget_usd

    def settle(
        self,
        reservation: Reservation,
        usage: Usage,
        unanswered: int = 0,
        billed_usd: Decimal | None = None,
    ) -> None:
        """Put what was used in the place of a reservation.

        Args:
            usage: As the backend counted it.
            unanswered: Attempts that may be billed though nothing came of them; they count at
                their worst case.
            billed_usd: What the provider says it bills for the tokens; by default their price.
        """
        with self._guard:
            seconds = time.monotonic() - self._began
            self.append(done_line(reservation, usage, unanswered, seconds, billed_usd))
            self._accounts.settle(reservation.number, usage, unanswered, billed_usd)
            self._in_flight[reservation.role] -= 1
            self.settled += 1

    def lose(self, reservation: Reservation) -> None:
        """Count a request that was given up under way as spent, with all its attempts."""
        with self._guard:
            self._in_flight[reservation.role] -= 1
            if reservation.batched:
                self._awaited[reservation.batched] = reservation  # the batch goes on without us
            else:
                self._accounts.lose(reservation.number)

    @contextmanager
    def only(self, role: str) -> Iterator[None]:
        """Let no other role send meanwhile; inside another such, that one's role stays."""
        before, self._only = self._only, self._only or role
        try:
            yield
        finally:
            self._only = before

    def price(self, role: str) -> Price | None:
        """The price of a role's tokens."""
        return self._accounts.price(role)

    def in_flight(self, role: str) -> int:
        """How many requests of a role this run has under way."""
        return self._in_flight[role]

    def in_flight_before(self, role: str) -> int:
        """The same of all roles whose accounts were opened earlier: those that this one follows."""
        earlier = takewhile(lambda name: name != role, self._in_flight)
        return sum(self._in_flight[name] for name in earlier)

    @property
    def spent_usd(self) -> Decimal | None:
        """What the file holds, without what is under way; `None` if a price is unknown."""
        return self._accounts.spent_usd

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What each role used in each phase, over all runs."""
        return self._accounts.entries


_NOTHING_LEFT = Decimal("1e-12")
"""A budget must be above 0; with this one, only what is free can still be asked."""


@dataclass(frozen=True, slots=True)
class SharedBudget:
    """What may be spent on all that lies below a folder.

    Example:
        >>> print(SharedBudget(Path("runs/none")).spent_usd())
        0
    """

    folder: Path
    prices: Mapping[str, Price] | None = None
    budget_usd: Decimal | None = None

    def spent_usd(self, besides: Path | None = None) -> Decimal | None:
        """What all ledgers hold, perhaps but that of one file of traces."""
        skipped = None if besides is None else ledger_path(besides)
        ledgers = sorted(self.folder.rglob("*.ledger"))
        return add_usd(
            read_accounts(path, self.prices).spent_usd for path in ledgers if path != skipped
        )

    def budget_of(self, traces: Path) -> Decimal | None:
        """What a file of traces may cost, after what the others did.

        Raises:
            ConfigError: What was spent before has no known price.
        """
        if self.budget_usd is None:
            return None
        spent = self.spent_usd(besides=traces)
        if spent is None:
            raise ConfigError(
                f"budget_usd: what was spent in {self.folder} has no known price; give it in prices"
            )
        return max(self.budget_usd - spent, _NOTHING_LEFT)

    @contextmanager
    def saying_the_whole(self) -> Iterator[None]:
        """Set what was given and spent before the words of one file, which knows only the rest."""
        try:
            yield
        except BudgetExceeded as error:
            spent, budget = format_usd(self.spent_usd()), format_usd(self.budget_usd)
            raise BudgetExceeded(
                f"{spent} of budget_usd {budget} is spent in {self.folder}; of what the other "
                f"parts left: {error}"
            ) from None
