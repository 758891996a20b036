"""A student on disk: saving, resuming, verifying, publishing."""
