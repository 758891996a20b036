"""What tokens cost: prices, the ledger that keeps a budget, forecasts, break-even.

- `price_table`, `pricing`: what a model costs, from the list, the user or the backend
- `accounts`, `ledger`, `ledger_records`: what was reserved and spent, in memory and on disk
- `budget`: one budget over several files
- `estimates`, `forecast`: what is still to come
- `break_even`: when a student pays for its training
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.cost.accounts import Accounts as Accounts
    from decompose_distill.cost.accounts import Entry as Entry
    from decompose_distill.cost.break_even import BreakEven as BreakEven
    from decompose_distill.cost.break_even import Cost as Cost
    from decompose_distill.cost.break_even import Expense as Expense
    from decompose_distill.cost.break_even import machine_usd as machine_usd
    from decompose_distill.cost.break_even import pareto_front as pareto_front
    from decompose_distill.cost.break_even import usage_by_role as usage_by_role
    from decompose_distill.cost.forecast import Estimate as Estimate
    from decompose_distill.cost.forecast import Plan as Plan
    from decompose_distill.cost.forecast import RoleForecast as RoleForecast
    from decompose_distill.cost.forecast import TokenStats as TokenStats
    from decompose_distill.cost.ledger import Ledger as Ledger
    from decompose_distill.cost.ledger import SharedBudget as SharedBudget
    from decompose_distill.cost.ledger import find_price as find_price
    from decompose_distill.cost.ledger import ledger_path as ledger_path
    from decompose_distill.cost.ledger_records import read_accounts as read_accounts
    from decompose_distill.cost.pricing import Price as Price
    from decompose_distill.cost.pricing import format_usd as format_usd
    from decompose_distill.cost.pricing import list_price as list_price
    from decompose_distill.cost.pricing import price_of as price_of
    from decompose_distill.cost.pricing import read_prices as read_prices

__getattr__, __dir__ = lazy(
    __name__,
    {
        "accounts": ("Accounts", "Entry"),
        "break_even": (
            *("BreakEven", "Cost", "Expense", "machine_usd", "pareto_front", "usage_by_role"),
        ),
        "forecast": ("Estimate", "Plan", "RoleForecast", "TokenStats"),
        "ledger": ("Ledger", "SharedBudget", "find_price", "ledger_path"),
        "ledger_records": ("read_accounts",),
        "pricing": ("Price", "format_usd", "list_price", "price_of", "read_prices"),
    },
)
