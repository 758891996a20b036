"""Traces in the forms other tools write and read."""
