"""The command line: each command a few lines over the public API."""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.cli.commands import app as app
    from decompose_distill.cli.commands import main as main

__getattr__, __dir__ = lazy(
    __name__,
    {
        "commands": ("app", "main"),
    },
)
