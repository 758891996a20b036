"""A pseudo-terminal, and what a person would see on its screen."""

import fcntl
import os
import pty
import re
import struct
import termios
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

MARK = "\x05"
"""Written to see what came before it; a screen never does."""
_PIECE = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n])|([^\r\n\x1b]+)|(\x1b)")


@dataclass
class Screen:
    """The lines that a terminal shows, those that were scrolled away before them.

    It knows line ends, carriage returns, the cursor's way up and the end of the line: what
    progress bars use.
    """

    columns: int = 80
    lines: list[str] = field(default_factory=lambda: [""])
    _row: int = 0
    _column: int = 0

    def feed(self, text: str) -> None:
        """Take in what was written."""
        for piece in _PIECE.finditer(text):
            count, letter, control, words, unknown = piece.groups()
            assert not unknown, f"unknown sequence before {text[piece.end() :][:20]!r}"
            if control == "\r":
                self._column = 0
            elif control == "\n":
                self._down()
            elif letter:
                self._move(letter, int(count or 1))
            else:
                self._print(words)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def _move(self, letter: str, count: int) -> None:
        if letter == "A":
            self._row = max(0, self._row - count)
        elif letter == "K":
            self.lines[self._row] = self.lines[self._row][: self._column]
        else:
            assert letter == "m", f"unknown sequence {letter}"

    def _print(self, words: str) -> None:
        for letter in words:
            if self._column == self.columns:
                self._down()
                self._column = 0
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
            self._column += 1

    @property
    def shown(self) -> list[str]:
        """The lines without what is blank at their ends, and at the end of the screen."""
        lines = [line.rstrip() for line in self.lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines


class Terminal:
    """A pseudo-terminal of some size, with all that was written to it."""

    def __init__(self, columns: int, rows: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.file = os.fdopen(theirs, "w", encoding="utf-8", buffering=1)
        self._columns, self._written = columns, b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed
            while piece := os.read(self._ours, 65536):
                self._written += piece

    def written(self) -> str:
        """All that was written so far."""
        self.file.write(MARK)
        self.file.flush()
        while not self._written.endswith(MARK.encode()):
            time.sleep(0.001)
        self._written = self._written.removesuffix(MARK.encode())
        return self._written.decode()

    def screen(self) -> Screen:
        """What it shows."""
        screen = Screen(self._columns)
        screen.feed(self.written())
        return screen

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self._reader.join()
        os.close(self._ours)
