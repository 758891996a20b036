"""The terminal during long work.

- `screens`: where it is shown, and messages that do not tear it
- `display`: bars, and the line over them
- `interrupts`: Ctrl-C and SIGTERM, put off
"""

from decompose_distill.console.display import Display, has_overview, overview, progress_bar
from decompose_distill.console.interrupts import Stop, Terminated, deferred_interrupt, exit_code
from decompose_distill.console.screens import LINE_SECONDS, above_bars, printable, say

__all__ = [
    "LINE_SECONDS",
    "Display",
    "Stop",
    "Terminated",
    "above_bars",
    "deferred_interrupt",
    "exit_code",
    "has_overview",
    "overview",
    "printable",
    "progress_bar",
    "say",
]
