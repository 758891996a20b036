"""The command line: each command a few lines over the public API."""

from decompose_distill.cli.commands import app, main

__all__ = ["app", "main"]
