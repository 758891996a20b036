"""Traces to batches: examples, token ids, audit, batching."""
