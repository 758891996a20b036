"""One budget for everything a matrix pays for, whichever file of traces it is booked in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from decompose_distill.cost.pricing import Price, add_usd, format_usd
from decompose_distill.errors import BudgetExceeded, ConfigError

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
            spent, given = format_usd(self.spent_usd()), format_usd(self.budget_usd)
            raise BudgetExceeded(
                f"{spent} of budget_usd {given} is spent in {self.folder}; of what the other parts "
                f"left: {error}"
            ) from None
