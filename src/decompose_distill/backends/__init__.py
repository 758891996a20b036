"""Backends that come with the library; `load_backend` finds them by scheme."""
