"""Sums of tokens and money, by role and phase: what was used, what is reserved, what is lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from decompose_distill.cost.pricing import Price, add_usd
from decompose_distill.types import Usage

_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Entry:
    """What one role used in one phase.

    Example:
        >>> Entry("solver", "collect", 1, Usage(9, 9), Decimal(1), 2, Decimal("0.5")).total_usd
        Decimal('1.5')
    """

    role: str
    """`decomposer` or `solver`."""
    phase: str
    """What it was used for, such as `collect`."""
    requests: int
    """Requests that came back, answered or failed for good."""
    usage: Usage
    """Tokens of their answers, as the backend counted them, thinking and cached ones told apart."""
    usd: Decimal | None
    """What the provider billed for these, or their price; `None` if both are unknown."""
    unanswered: int
    """Attempts that may be billed though nothing came of them: timeouts, a kill."""
    unanswered_usd: Decimal | None
    """The most that these may have cost."""

    @property
    def total_usd(self) -> Decimal | None:
        """Both together."""
        return add_usd((self.usd, self.unanswered_usd))


@dataclass(frozen=True, slots=True)
class Reservation:
    """A request that may be sent: the most an attempt may use, and how many there may be."""

    number: int
    role: str
    most: Usage
    attempts: int
    batched: str = ""
    """Key of a request in a batch interface, which goes on with it whatever becomes of us."""

    def usd(self, price: Price) -> Decimal:
        """The most that it may cost."""
        return price.usd(self.most) * self.attempts


class Accounts:
    """Sums that are kept up to date, in memory; what has no price yet waits for one.

    Example:
        >>> accounts = Accounts("collect")
        >>> accounts.set_price("solver", Price(Decimal(1), Decimal(1)))
        >>> accounts.reserve(Reservation(0, "solver", Usage(500_000, 500_000), attempts=2))
        >>> accounts.spent_usd, accounts.reserved_usd
        (Decimal('0'), Decimal('2'))
        >>> accounts.settle(0, Usage(200_000, 100_000))
        >>> accounts.spent_usd, accounts.reserved_usd
        (Decimal('0.3'), Decimal('0'))
    """

    def __init__(self, phase: str) -> None:
        self.reserved_usd: Decimal = Decimal(0)
        self.is_priced: bool = True
        """Whether `reserved_usd` holds all that was reserved before the last price was set."""
        self._phase = phase
        self._prices: dict[str, Price | None] = {}
        self._unpriced: dict[str, set[str]] = {}
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._open: dict[int, Reservation] = {}

    def begin(self, phase: str) -> None:
        """Start a run; what the one before left open is lost, unless a batch holds it."""
        for reservation in list(self._open.values()):
            if not reservation.batched:
                self.lose(reservation.number)
        self._phase = phase

    def set_price(self, role: str, price: Price | None, backend: str = "") -> None:
        """Price a role's tokens from here on, and those before that had no price.

        Args:
            role: Whose tokens.
            price: `None` if it is unknown.
            backend: Whose price it is; it says nothing of tokens that another one used.
        """
        self._prices[role] = price
        unpriced = self._unpriced.setdefault(role, set())
        if price is None:
            unpriced.add(backend)
        self.reserved_usd = sum(map(self._usd, self._open.values()), Decimal(0))
        self.is_priced = all(self.price(reservation.role) for reservation in self._open.values())
        for (owner, _), total in self._sums.items():
            if owner == role and price is not None and unpriced <= {backend}:
                total.settle(price)

    def price(self, role: str) -> Price | None:
        """The price of a role's tokens."""
        return self._prices.get(role)

    def reserve(self, reservation: Reservation) -> None:
        """Set aside what a request may cost."""
        self._open[reservation.number] = reservation
        self.reserved_usd += self._usd(reservation)

    def settle(
        self, number: int, usage: Usage, unanswered: int = 0, billed_usd: Decimal | None = None
    ) -> None:
        """Put what was used in the place of a reservation; the provider's bill is its price."""
        reservation = self._take(number)
        total, price = self._sum(reservation.role), self.price(reservation.role)
        total.requests += 1
        total.add_answer(price, usage, billed_usd)
        total.add_unanswered(price, reservation.most, unanswered)

    def lose(self, number: int) -> None:
        """Count all attempts of a reservation as spent."""
        reservation = self._take(number)
        self._sum(reservation.role).add_unanswered(
            self.price(reservation.role), reservation.most, reservation.attempts
        )

    @property
    def open(self) -> Mapping[int, Reservation]:
        """Reservations that are neither settled nor lost, by number."""
        return self._open

    @property
    def spent_usd(self) -> Decimal | None:
        """What was spent and lost; `None` if a price is unknown."""
        return add_usd(entry.total_usd for entry in self.entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The sums."""
        return tuple(total.entry(*names) for names, total in self._sums.items())

    def _take(self, number: int) -> Reservation:
        reservation = self._open.pop(number)
        self.reserved_usd -= self._usd(reservation)
        return reservation

    def _usd(self, reservation: Reservation) -> Decimal:
        price = self.price(reservation.role)
        return Decimal(0) if price is None else reservation.usd(price)

    def _sum(self, role: str) -> "_Sum":
        return self._sums.setdefault((role, self._phase), _Sum())


class _Sum:
    """What makes up one entry."""

    def __init__(self) -> None:
        self.requests = self.unanswered = 0
        self.usage = self._unpriced = self._unpriced_unanswered = _NOTHING
        self._usd = self._unanswered_usd = Decimal(0)

    def add_answer(self, price: Price | None, usage: Usage, billed_usd: Decimal | None) -> None:
        self.usage += usage
        if billed_usd is None and price is None:
            self._unpriced += usage
        elif billed_usd is not None:
            self._usd += billed_usd
        elif price is not None:
            self._usd += price.usd(usage)

    def add_unanswered(self, price: Price | None, most: Usage, attempts: int) -> None:
        self.unanswered += attempts
        lost = Usage(most.input_tokens * attempts, most.output_tokens * attempts)
        if price is None:
            self._unpriced_unanswered += lost
        else:
            self._unanswered_usd += price.usd(lost)

    def settle(self, price: Price) -> None:
        self._usd += price.usd(self._unpriced)
        self._unanswered_usd += price.usd(self._unpriced_unanswered)
        self._unpriced = self._unpriced_unanswered = _NOTHING

    def entry(self, role: str, phase: str) -> Entry:
        usd = self._usd if self._unpriced == _NOTHING else None
        lost = self._unanswered_usd if self._unpriced_unanswered == _NOTHING else None
        return Entry(role, phase, self.requests, self.usage, usd, self.unanswered, lost)
