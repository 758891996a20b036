"""The tests mirror the package; `stories` cross its rooms, `support` serves them."""
