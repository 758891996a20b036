"""Reading the subquestions that a model wrote, and writing them back.

Tolerant of numbering, bullets, labels, bold, code fences, one-line lists, preambles and
epilogues. Total: any text gives a value or a `ParseError`, nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from decompose_distill.errors import ParseError
from decompose_distill.parsing.lines import Line, read_lines
from decompose_distill.parsing.lists import Reading, read_list
from decompose_distill.parsing.markers import read_markers
from decompose_distill.parsing.remarks import (
    QUESTION_END,
    SENTENCE_END,
    declines,
    is_contrast,
    is_simple,
)
from decompose_distill.parsing.structured import read_structured
from decompose_distill.parsing.thinking import split_thinking
from decompose_distill.types import Subquestion

NO_DECOMPOSITION = "No decomposition"
LEAST_REPEATS = 2
"""Subquestions at the end, all asked before, that make a circle."""
_ITEM = r"\s*(?:\d|[-*•(\n]|\w{1,12} ?\d|\Z)"
_BREAK_TAG = re.compile(rf"(?:(?<=[{SENTENCE_END}])|(?=<br ?/?>{_ITEM}))<br ?/?>", re.IGNORECASE)
_BARE_LIST = re.compile(rf"\[([^\[\]{{}}\"'“]+[{QUESTION_END}])\s*\]")
"""A list as of JSON, but without quotes."""
_ESCAPED_BREAK = re.compile(rf"(?:(?<=[{SENTENCE_END}:])|(?=\\n{_ITEM}))(?:\\n)+(?![a-z])")
_AGREED = re.compile(
    r"\W*no[\s_-]+decomposition\b(?:\W*(?:is |was )?(?:needed|necessary|required)\b"
    r"|\s*[:;–—]|\s-\s)",
    re.IGNORECASE,
)
"""The agreed words, whatever else is said behind them."""
_NEXT_EXAMPLE = re.compile(
    r"\W*(?:(?:new |next |another )?(?:question|problem|input)|example(?: \d{1,3})?)\W{0,3}[:：]",
    re.IGNORECASE,
)
_OPENING_DECLINE = re.compile(r"\W*no[\s_-]+(?:further\s+)?decomposition\b", re.IGNORECASE)


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
    rest = _BREAK_TAG.sub("\n", rest)
    if bare := _BARE_LIST.fullmatch(rest.strip()):
        rest = bare[1]
    reading = read_structured(rest)
    lines = read_lines(rest if "\n" in rest else _ESCAPED_BREAK.sub("\n", rest))
    if not lines:
        raise ParseError("empty completion")
    if reading and len(reading.items) == 1 and "\n" in reading.items[0]:  # a list in one field
        lines, reading = read_lines(reading.items[0]), None
    if _declined(reading := reading or _unpacked(read_list(_first_example(lines))), lines):
        return ParsedDecomposition((), reasoning)
    if not reading.items:
        raise ParseError("no subquestions found")
    subquestions = tuple(map(Subquestion, reading.items))
    return ParsedDecomposition(subquestions, reasoning, reading.leftover)


def parse_subquestions(text: str) -> tuple[Subquestion, ...]:
    """Read the subquestions out of a model's words; empty if it declined to decompose.

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
    known: set[Subquestion] = set()
    end = 0
    for position, step in enumerate(steps, start=1):
        if step not in known:
            known.add(step)
            end = position
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
    return "\n".join(f"{number}. {step.text}" for number, step in enumerate(subquestions, start=1))


def _first_example(lines: Sequence[Line]) -> Sequence[Line]:
    """Lines up to where a model goes on with an example of its own, as small ones do."""
    counts = [
        {marker.value for marker in read_markers(line.text) if marker.strong} for line in lines
    ]
    begun = next((i for i, values in enumerate(counts) if max(values, default=0) > 1), len(lines))
    again = max((i for i, values in enumerate(counts) if 1 in values), default=0)
    ends = (i for i in range(begun, again) if _NEXT_EXAMPLE.match(lines[i].text))
    return lines[: next(ends, len(lines))]


def _unpacked(reading: Reading) -> Reading:
    """A list whose items are objects of JSON, with their texts instead."""
    if not all(item.startswith("{") for item in reading.items):
        return reading
    inner = [read_structured(item) for item in reading.items]
    texts = tuple(text for each in inner if each for text in each.items)
    return replace(reading, items=texts) if len(texts) == len(inner) else reading


def _declined(reading: Reading, lines: Sequence[Line]) -> bool:
    """Whether a text says that the question needs no decomposition, rather than give one."""
    if reading.declined:
        return True
    if any(_OPENING_DECLINE.match(item) and declines(item) for item in reading.items):
        return True
    before = "\n".join(reading.before)
    if reading.marked and len(reading.items) > 1:
        return bool(_OPENING_DECLINE.match(before)) and declines(before) and not is_contrast(before)
    text = "\n".join(line.text for line in lines)
    if len(reading.items) > 1:
        return declines(text[: text.find(reading.items[0])])
    return bool(_AGREED.match(text)) or declines(text) or (not reading.items and is_simple(text))
