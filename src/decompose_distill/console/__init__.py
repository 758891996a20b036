"""The terminal during long work.

- `display`: progress bars, and lines that do not tear them
- `interrupts`: Ctrl-C and SIGTERM, put off
"""

from decompose_distill.console.display import LINE_SECONDS, printable, progress_bar, say
from decompose_distill.console.interrupts import Stop, Terminated, deferred_interrupt, exit_code

__all__ = [
    "LINE_SECONDS",
    "Stop",
    "Terminated",
    "deferred_interrupt",
    "exit_code",
    "printable",
    "progress_bar",
    "say",
]
