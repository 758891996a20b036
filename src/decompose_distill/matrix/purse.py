"""One budget for everything a matrix pays for, whichever file of traces it is booked in."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from decompose_distill.cost import Price, add_usd
from decompose_distill.errors import ConfigError
from decompose_distill.ledger import ledger_path
from decompose_distill.ledger_lines import read_accounts

_NOTHING_LEFT = Decimal("1e-12")
"""A budget must be above 0; with this one, only what is free can still be asked."""


@dataclass(frozen=True, slots=True)
class Purse:
    """What may be spent on all that lies below a folder.

    Example:
        >>> print(Purse(Path("runs/none")).spent_usd())
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
