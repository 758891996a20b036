"""Reading the subquestions that a model wrote, and writing them back.

Tolerant of numbering, bullets, labels, bold, code fences, one-line lists, preambles and
epilogues. Total: any text gives a value or a `ParseError`, nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from decompose_distill.errors import ParseError
from decompose_distill.parsing.lines import clean_lines
from decompose_distill.parsing.thinking import split_thinking
from decompose_distill.types import Subquestion

NO_DECOMPOSITION = "No decomposition"
LEAST_REPEATS = 2
"""Subquestions at the end, all asked before, that make a circle."""

_LABEL = r"(?:sub[- ]?questions?|questions?|steps?|sq|q)"
# "1." "1)" "(1)" "Q1:" "Step 2 -" "Subquestion 3:" — a number with something around it.
_NUMBER = rf"(?:{_LABEL}\s*#?\(?(\d{{1,3}})\)?\s*[.:)\-–]*|\(?(\d{{1,3}})[.:)])"
_NUMBERED = re.compile(rf"^\s*(?:[-*•+]\s+)?{_NUMBER}(?:\s+|$)", re.IGNORECASE)
_BULLET = re.compile(r"^\s*[-*•+–]\s+")
_INLINE = re.compile(rf"(?:(?<=\s)|^){_NUMBER}\s+", re.IGNORECASE)
_HEADING = re.compile(rf"^(?:the\s+|main\s+)?{_LABEL}\s*:?\s*$", re.IGNORECASE)
_MAIN_QUESTION = re.compile(r"^(?:the\s+)?(?:main|original)\s+question\b", re.IGNORECASE)
_DECLINED = re.compile(r"^\W*no\s+decomposition\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ParsedDecomposition:
    """What a model's text holds besides the subquestions, of which there are none if it declined.

    Example:
        >>> ParsedDecomposition((Subquestion("How old is Ada?"),)).declined
        False
    """

    subquestions: tuple[Subquestion, ...]
    reasoning: str = ""
    """What the model thought aloud before it answered."""
    leftover: str = ""
    """Text that is neither a subquestion nor an opening or closing remark."""

    @property
    def declined(self) -> bool:
        """Whether the model said that the question needs no decomposition."""
        return not self.subquestions


def read_decomposition(text: str) -> ParsedDecomposition:
    """Read a model's text into subquestions, thinking and what is left over.

    Raises:
        ParseError: There is nothing to read; the message says why.

    Example:
        >>> read_decomposition("<think>Her age?</think>1. How old is Ada?")
        ParsedDecomposition(subquestions=(Subquestion(text='How old is Ada?'),), \
reasoning='Her age?', leftover='')
    """
    reasoning, rest, _ = split_thinking(text)
    return ParsedDecomposition(_subquestions(rest), reasoning)


def parse_subquestions(text: str) -> tuple[Subquestion, ...]:
    """Read the subquestions out of a model's words; empty where it declined to decompose.

    Raises:
        ParseError: There is nothing to read; the message says why.

    Example:
        >>> [s.text for s in parse_subquestions("Sure:\\n1. How old is Ada?\\n2) Is #1 > 9?")]
        ['How old is Ada?', 'Is #1 > 9?']
    """
    return read_decomposition(text).subquestions


def parse_circle(text: str) -> tuple[Subquestion, ...]:
    """Read a text that repeated itself until it was cut off: what it said before it did.

    Small students do so (`benchmarks/sweep.py`). Empty where the text was cut off while it still
    said something new, or cannot be read.

    Example:
        >>> text = "1. Who is Ada?\\n2. Who is Bob?\\n3. Who is Ada?\\n4. Who is Bob?\\n5. Who i"
        >>> [s.text for s in parse_circle(text)]
        ['Who is Ada?', 'Who is Bob?']
        >>> parse_circle("1. Who is Ada?\\n2. Who is Bob?\\n3. What is")
        ()
    """
    try:
        steps = parse_subquestions(text)[:-1]  # the last one was cut off
    except ParseError:
        return ()
    new = [place for place, step in enumerate(steps) if step not in steps[:place]]
    end = new[-1] + 1 if new else 0
    return steps[:end] if len(steps) - end >= LEAST_REPEATS else ()


def format_subquestions(subquestions: Sequence[Subquestion]) -> str:
    """Write subquestions as the numbered lines that students are trained to produce.

    Example:
        >>> print(format_subquestions([Subquestion("How old is Ada?"), Subquestion("Is #1 > 9?")]))
        1. How old is Ada?
        2. Is #1 > 9?
    """
    if not subquestions:
        return NO_DECOMPOSITION
    return "\n".join(f"{number}. {each.text}" for number, each in enumerate(subquestions, start=1))


def _subquestions(text: str) -> tuple[Subquestion, ...]:
    lines = clean_lines(text)
    if not lines:
        raise ParseError("empty completion")
    items = _marked_items(lines) or _question_lines(lines)
    items = [item for item in items if not _MAIN_QUESTION.match(item)]
    if any(_DECLINED.match(line) for line in items or lines):
        return ()
    if not items:
        raise ParseError("no subquestions found")
    return tuple(Subquestion(item) for item in items)


def _marked_items(lines: Sequence[str]) -> list[str]:
    """Items that carry a number or, where there is none, a bullet."""
    lines = [piece for line in lines for piece in _split_inline(line)]
    numbered = any(_NUMBERED.match(line) for line in lines)
    marker = _NUMBERED if numbered else _BULLET
    items: list[str] = []
    for line in lines:
        if match := marker.match(line):
            items.append(line[match.end() :].strip())
        elif items and not items[-1].endswith(("?", ".", "!")):
            items[-1] = f"{items[-1]} {line}".strip()  # a wrapped line goes on
    return [item for item in items if item and not _HEADING.match(item)]


def _split_inline(line: str) -> list[str]:
    """Split "1. A? 2. B?" at its numbers, where they count up from 1."""
    starts: list[int] = []
    for match in _INLINE.finditer(line):
        if int(match[1] or match[2]) == len(starts) + 1:
            starts.append(match.start())
    if len(starts) < 2:
        return [line]
    ends = [*starts[1:], len(line)]
    pieces = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    before = line[: starts[0]].strip()
    return [before, *pieces] if before else pieces


def _question_lines(lines: Sequence[str]) -> list[str]:
    """Questions of an unmarked text, one a line or several on one."""
    found = [piece for line in lines for piece in re.findall(r"[^?]*\?", line)]
    return [piece.strip() for piece in found if len(piece.strip()) > 1]
