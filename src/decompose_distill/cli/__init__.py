"""The command line: each command a few lines over the public API."""

from decompose_distill.cli.commands import app as app
from decompose_distill.cli.commands import main as main
