"""Several items of a list on one line."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from decompose_distill.parsing.markers import read_markers
from decompose_distill.parsing.numerals import ANY_SIGN, LABEL, count_value
from decompose_distill.parsing.remarks import QUESTION_END, SENTENCE_END

_MARK = re.compile(
    rf"(?:^|(?<=[\s{SENTENCE_END};；:：])(?<!\d\.))(?P<label>{LABEL}\s?[#._]?\s?)?(?P<open>[(（\[]?)"
    rf"(?P<value>\d{{1,3}}|[ivx]{{1,4}}(?![a-z])|[a-z](?![a-z])|[{ANY_SIGN}])"
    r"(?P<close>(?:[.:)）\]、．：]{1,2}(?:(?<![.:])|(?!\d))|\s[-–](?=\s))?)"
    rf"(?:(?<=[{ANY_SIGN}])|(?<![^\W_](?=\w)))",
    re.IGNORECASE,
)
_BULLET = re.compile(rf"(?<=\s)(?=[•‣⁃◦●○■□▪►➤]\s?\S)|(?<=[{QUESTION_END}]\s)(?=[-*–]\s)")
_FIRST_BULLET = re.compile(r"(?<=[:：])\s+(?=[-*•–]\s)")
# "both items 1. and 2. of the bill": words behind which a number is spoken of.
_LEADS_ON = re.compile(
    r"\b(?:and|or|to|of|in|on|at|by|than|from|between|with|for|the|both|per|plus|minus|times|und"
    r"|oder|et|ou|y|o|e|и|или|items?|(?:sub-?)?questions?|steps?|parts?|nos?|numbers?|points?"
    r"|chapters?|versions?|pages?|sections?|figures?|tables?)\Z|\b\d{1,4}[,，]\Z",
    re.IGNORECASE,
)
_MOST_TRIED = 3
_PAUSES = tuple(f"{SENTENCE_END};；:：,，")


def split_inline(line: str) -> list[str]:
    """Split a line before the marks of its items, where they are alike and count up.

    Example:
        >>> split_inline("These: 1. How old is Ada? 2. Is #1 > 9?")
        ['These:', '1. How old is Ada?', '2. Is #1 > 9?']
        >>> split_inline("1. Is question 1 or question 2 harder?")
        ['1. Is question 1 or question 2 harder?']
        >>> split_inline("How old is Ada? - How old is Bob?")
        ['- How old is Ada?', '- How old is Bob?']
    """
    marks = _counted(line)
    if len(marks) > 1:
        return list(_pieces(line, [mark.start() for mark in marks]))
    pieces = list(_pieces(line, [mark.end() for mark in _BULLET.finditer(line)]))
    are_questions = all(piece.endswith(tuple(QUESTION_END)) for piece in pieces)
    if len(pieces) > 1 and are_questions and not read_markers(line):  # "Who? - Why?"
        return [f"- {pieces[0]}", *pieces[1:]]
    return pieces


def split_first(line: str, following: str) -> list[str]:
    """Split a line before the first item, where what stands below it is the second.

    Example:
        >>> split_first("Sure: 1. How old is Ada?", "2. How old is Bob?")
        ['Sure:', '1. How old is Ada?']
        >>> split_first("Sure: 1. How old is Ada?", "How old is Bob?")
        ['Sure: 1. How old is Ada?']
    """
    below = {marker.family: marker for marker in read_markers(following)}
    if not below or any(marker.strong for marker in read_markers(line)):
        return [line]
    if "bullet" in below:
        starts = [mark.end() for mark in _FIRST_BULLET.finditer(line)]
        return list(_pieces(line, starts[-1:]))
    marks = [
        mark
        for mark in _MARK.finditer(line)
        if count_value(mark["value"]) == 1 and _begins_item(line, mark, ())
    ]
    for mark in reversed(marks[-_MOST_TRIED:]):
        for first in read_markers(line[mark.start() :]):
            second = below.get(first.family)
            if second and (second.value, second.parent) == (2, first.parent):
                return list(_pieces(line, [mark.start()]))
    return [line]


def counts_below(pieces: Sequence[str], following: str) -> bool:
    """Whether the next line counts on from the first piece, so that marks behind it are none.

    Example:
        >>> counts_below(["1. Of pear,", "2. plum and fig, which?"], "2. Is it red?")
        True
        >>> counts_below(["1. How old is Ada?", "2. Is #1 > 9?"], "3. Who is Bob?")
        False
    """
    firsts, inner, below = (
        {(marker.family, marker.parent, marker.value) for marker in read_markers(text)}
        for text in (pieces[0], pieces[1], following)
    )
    nexts = {(family, parent, value + 1) for family, parent, value in firsts if value}
    return bool(nexts & inner & below)


def _pieces(line: str, starts: Sequence[int]) -> Iterator[str]:
    for start, end in zip([0, *starts], [*starts, len(line)], strict=True):
        if piece := line[start:end].strip():
            yield piece


def _counted(line: str) -> list[re.Match[str]]:
    """The marks of one style that count up by one: those of the line's beginning, if it has one."""
    rows: dict[tuple[str, ...], list[re.Match[str]]] = {}
    for mark in _MARK.finditer(line):
        row = rows.setdefault(_style(mark), [])
        value = count_value(mark["value"])
        if row:
            goes_on = value == count_value(row[-1]["value"]) + 1
        else:
            goes_on = mark.start() == 0 or value == 1
        if goes_on and (mark.start() == 0 or _begins_item(line, mark, row)):
            row.append(mark)
    first = next((row for row in rows.values() if row and row[0].start() == 0), None)
    best = first or max(rows.values(), key=len, default=[])
    return best if best is first or _asks(line, best) else []


def _style(mark: re.Match[str]) -> tuple[str, ...]:
    value = mark["value"]
    kind = "digit" if value.isdecimal() else "sign" if value in ANY_SIGN else "letter"
    return (mark["label"] or "").strip().lower(), mark["open"], mark["close"].strip(), kind


def _begins_item(line: str, mark: re.Match[str], row: Sequence[re.Match[str]]) -> bool:
    """Whether a mark inside a line can begin an item: behind a pause, or before a sentence."""
    before = line[max(mark.start() - 40, 0) : mark.start()].rstrip(' \t"”’»*_)')
    after = line[mark.end() : mark.end() + 40]
    kind = _style(mark)[3]
    if not after.strip() or not (mark["close"] or mark["label"] or kind == "sign"):
        return False
    lead = _LEADS_ON.search(before)
    if lead and not before[: lead.start()].rstrip().endswith(tuple(QUESTION_END)):
        return False
    if before.endswith(_PAUSES):
        return bool(mark["close"]) or kind == "sign" or not after.lstrip()[:1].islower()
    starts_line = bool(row) and row[0].start() == 0
    if kind == "sign":
        return starts_line
    if not mark["close"] or not after[:1].isspace():
        return False
    if kind == "letter" and mark["close"] not in (")", "）"):
        return False
    capital = after.lstrip(' "“‘«*_')[:1].isupper()
    return capital or (starts_line and kind == "digit")


def _asks(line: str, row: Sequence[re.Match[str]]) -> bool:
    """Whether all items but the last end as sentences do."""
    texts = (line[mark.end() : following.start()] for mark, following in pairwise(row))
    before_and = (text.rstrip(" ,;").removesuffix("and").rstrip(' ,;"”’»*_') for text in texts)
    return all(text.endswith(tuple(SENTENCE_END)) for text in before_and)
