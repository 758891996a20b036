"""Batches to optimizer steps: the loop, the optimizer, adapters."""
