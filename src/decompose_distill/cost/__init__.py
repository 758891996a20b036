"""What tokens cost: prices, the ledger that keeps a budget, forecasts, break-even."""

from decompose_distill.cost.pricing import Price as Price
from decompose_distill.cost.pricing import format_usd as format_usd
