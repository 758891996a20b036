"""What crosses rooms: kills, budgets, resuming, docs, examples."""
