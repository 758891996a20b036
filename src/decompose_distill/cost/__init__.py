"""What tokens cost: prices, the ledger that keeps a budget, forecasts, break-even."""

from decompose_distill.cost.pricing import Price as Price
