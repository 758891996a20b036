"""Subquestions in lines: a list with marks, nested or not, or questions without marks."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from decompose_distill.parsing.inline import counts_below, split_first, split_inline
from decompose_distill.parsing.lines import Line, joined_lines
from decompose_distill.parsing.markers import (
    Marker,
    accept_markers,
    ordinal_end,
    read_markers,
    without_marker,
)
from decompose_distill.parsing.remarks import (
    QUESTION_END,
    SENTENCE_END,
    asks_bare,
    is_closing,
    is_main_question,
    is_opening,
    is_question,
    is_to_reader,
    without_answer,
    without_opening,
    without_remarks,
)

_THOUGHTS = (
    r"explanations?|reasoning|rationale|analysis|notes?|thoughts?|thinking(?: process)?"
    r"|thought process|approach|why(?: this works)?|given|known(?: facts)?|facts|context|summary"
    r"|conclusion|justification|(?:(?:original|main|complex) )?question|分析|推理|思路|原问题"
)
_RESULTS = r"(?:sub-?)?answers?|solutions?|解答|答案"
_WHOSE = r"\W*(?:the |my |your |short |brief |final |step[- ]by[- ]step )?"
_SECTION = re.compile(rf"{_WHOSE}(?:{_THOUGHTS}|{_RESULTS})\W*", re.IGNORECASE)
_THOUGHT_SECTION = re.compile(rf"{_WHOSE}(?:{_THOUGHTS})\W*", re.IGNORECASE)
_GIVENS = re.compile(rf"{_WHOSE}(?:given|known(?: facts)?|facts|context|summary)\W*", re.IGNORECASE)
_FIELD = re.compile(
    r"(?:id|depends_on|a(?:ns(?:wer)?)?\s?\d{0,2}|type|reason|rationale|purpose|note)\s*:",
    re.IGNORECASE,
)
_LISTING = re.compile(
    r"\W*(?:the |my |your |final )?(?:(?:list of )?sub[- ]?(?:questions?|problems?|tasks?|steps?)"
    r"|questions|steps|decomposition|breakdown|plan|output|result|子?问题|分解)\W*",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"(?:the\s+|main\s+)?(?:sub[- ]?questions?|questions?|steps?|sq|q)\s*:?\s*\Z", re.IGNORECASE
)
_JOINT = re.compile(
    rf"(?:(?<=[{SENTENCE_END}])|(?<=[{SENTENCE_END}][\"”]))"
    rf" ?(?:[;,]? ?(?:and|then|->|=>|→|⇒|\|)|[;,]|(?<=[{QUESTION_END}])[.。])\Z",
    re.IGNORECASE,
)
_PARTING = re.compile(
    r"\A(?:\s*(?:[,;、|/]|[-=]{1,2}>|[→⇒]|(?:and then|and|then)\s(?=[A-Z])|#{1,6}\s(?=\D))\s*)*"
)
_LABEL = re.compile(
    r"[*_]{0,2}(?:sub[- ]?question|question|q|id:\s?\S{1,9}\s+(?:text|query|content|description))"
    r"\s*[:：][*_]{0,2}\s*(?=\S)",
    re.IGNORECASE,
)
_QUESTION_END = re.compile(
    rf"[{QUESTION_END}](?P<quotes>(?:[\"'”’“»」』)）\]*_]|\s»)*)[{QUESTION_END}]*"
)
_SECOND_OPTION = re.compile(r"\s\(?[bB][.):]\s")
_QUOTES = {'"': '"', "“": "”", "‘": "’", "«": "»", "„": "“", "「": "」", "『": "』", "'": "'"}


@dataclass(frozen=True, slots=True)
class Reading:
    """The subquestions in some lines, and the lines that are none."""

    items: tuple[str, ...]
    before: tuple[str, ...] = ()
    """What stands before the first item."""
    after: tuple[str, ...] = ()
    """What stands between and behind the items."""
    marked: bool = True
    """Whether something other than a question mark tells the items from other text."""
    declined: bool = False
    """Whether a structure says that there are no items."""

    @property
    def leftover(self) -> str:
        """Lines that neither lead to the items nor round them off."""
        before = (line for line in self.before if not is_opening(line))
        after = (line for line in self.after if not is_closing(line))
        return "\n".join([*before, *after])


@dataclass(slots=True, eq=False)
class _Item:
    marker: Marker
    parts: list[str]
    """Its text in the lines it stands on."""
    indent: int
    title: bool
    line: str
    depth: int = 0
    open: bool = True
    """Whether the next line may go on with it."""
    kept: bool = True
    explains: bool = False
    """Whether it only says something about the item above it."""
    options: list["_Item"] = field(default_factory=list)
    """Items below it that may be answers to choose from."""

    @property
    def asks(self) -> bool:
        return bool(self.parts) and is_question(self.parts[-1])

    @property
    def text(self) -> str:
        """Its text, with the options of a question that has several."""
        options = [option.line for option in self.options if not option.explains]
        return " ".join([*self.parts, *options])

    @property
    def is_option(self) -> bool:
        """Whether it may be one of several answers to choose from."""
        lettered = self.marker.family in ("lower", "upper") and len(self.line) < 80
        return lettered and not self.line.endswith(tuple(SENTENCE_END))


@dataclass(slots=True)
class _Lines:
    """Lines while they are sorted into items and others."""

    before: list[str] = field(default_factory=list)
    items: list[_Item] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


def read_list(lines: Sequence[Line]) -> Reading:
    """Read lines that carry marks, or without marks the questions in them.

    Example:
        >>> from decompose_distill.parsing.lines import read_lines
        >>> read_list(read_lines("Sure:\\n1. How old is Ada?\\n2. Is #1 > 9?")).items
        ('How old is Ada?', 'Is #1 > 9?')
    """
    for skipped in (_SECTION, _THOUGHT_SECTION, None):
        reading = _marked(list(_sections(lines, skipped)))
        if reading.items:
            break
    return reading if reading.items else _unmarked(lines)


def clean_item(text: str) -> str:
    """A subquestion without what is around it: quotes, a second mark, words to the reader.

    Example:
        >>> clean_item('"Q: How old is Ada?",'), clean_item("“Is #1 > 9?”")
        ('How old is Ada?', 'Is #1 > 9?')
    """
    text = _PARTING.sub("", _JOINT.sub("", text.strip()), count=1)
    if text[:1] in _QUOTES and text.rstrip(",")[-1:] == _QUOTES[text[0]]:
        inner = text.rstrip(",")[1:-1]
        first = inner.find(_QUOTES[text[0]])  # a quote that closes before the end is not around
        text = inner if first < 0 or inner[max(first - 1, 0)].isspace() else text
    for sign in "*_":
        if text.count(sign) % 2 and text.endswith(sign):
            text = text[:-1]
    label = _LABEL.match(text)
    return without_answer(without_remarks(text[label.end() :] if label else text)).strip()


def _sections(lines: Sequence[Line], skipped: re.Pattern[str] | None) -> Iterator[Line]:
    """The lines outside sections whose headings announce something else, such as answers."""
    skipping: Line | None = None
    for line in lines:
        headed = line.title or line.text.endswith((":", "："))
        if (headed or len(line.text) < 20) and not is_question(line.text):
            if skipped and skipped.fullmatch(line.text):
                skipping = line
            elif skipping and headed and (line.title or _ends(skipping, line)):
                skipping = None
        if skipping and _GIVENS.fullmatch(skipping.text) and _asks_marked(line):
            skipping = None  # not what is known, but what is asked of it
        if not skipping:
            yield line


def _asks_marked(line: Line) -> bool:
    return is_question(line.text) and any(marker.strong for marker in read_markers(line.text))


def _ends(heading: Line, line: Line) -> bool:
    """Whether a line that ends in a colon is no part of the section below a heading."""
    return not heading.title or bool(_LISTING.fullmatch(line.text))


def _marked(lines: Sequence[Line]) -> Reading:
    below = [*(line.text for line in lines[1:]), ""]
    pieces = [
        replace(line, text=piece, after_blank=line.after_blank and not i)
        for line, following in zip(lines, below, strict=False)
        for i, piece in enumerate(_split(line.text, following))
    ]
    markers = accept_markers([read_markers(piece.text) for piece in pieces])
    if any(marker and marker.family != "bullet" for marker in markers):
        first = next(i for i, marker in enumerate(markers) if marker and marker.family != "bullet")
        markers[:first] = [None] * first
    sorted_lines = _Lines()
    for piece, marker in zip(pieces, markers, strict=True):
        _sort(sorted_lines, piece, marker)
    return _finished(sorted_lines)


def _split(line: str, following: str) -> list[str]:
    """The items of a line, and what leads to them."""
    pieces = split_inline(line)
    if len(pieces) > 1:
        return [line] if counts_below(pieces, following) else pieces
    return split_first(line, following)


def _sort(lines: _Lines, line: Line, marker: Marker | None) -> None:
    if marker:
        text = line.text[marker.end :].strip()
        text = without_marker(text, marker.value) if marker.family != "bullet" else text
        lines.items.append(
            _Item(marker, [text] if text else [], line.indent, line.title, line.text)
        )
    elif not lines.items:
        lines.before.append(line.text)
    elif _goes_on(item := lines.items[-1], line):
        if item.title:
            item.parts.clear()
        item.parts.append(line.text)
        item.title = False
    else:
        lines.items[-1].open = False
        lines.after.append(line.text)


def _goes_on(item: _Item, line: Line) -> bool:
    """Whether a line without a mark belongs to the item before it."""
    if not item.parts:
        return True
    if not item.open or _FIELD.match(line.text):
        return False
    if item.title:
        return is_question(line.text) and not item.asks
    if line.after_blank or item.asks:
        return False
    if item.parts[-1].endswith(tuple(SENTENCE_END)):
        return line.indent > item.indent and is_question(line.text)
    return line.text[:1].islower() or not is_closing(line.text)


def _finished(lines: _Lines) -> Reading:
    _nest(lines.items)
    _keep(lines.items)
    explanations = (" ".join(item.parts) for item in lines.items if item.explains)
    items = (clean_item(item.text) for item in lines.items if item.kept)
    questions = [
        item for item in items if item and not _HEADING.match(item) and not is_main_question(item)
    ]
    return Reading(tuple(questions), tuple(lines.before), (*explanations, *lines.after))


def _nest(items: Iterable[_Item]) -> None:
    """Set how deep each item lies below others, by the kinds of marks and their indents."""
    above: list[_Item] = []
    for item in items:
        for depth in range(len(above) - 1, -1, -1):
            if _is_sibling(above[depth], item):
                del above[depth:]
                break
        item.depth = len(above)
        above.append(item)


def _is_sibling(before: _Item, item: _Item) -> bool:
    if before.marker.family != item.marker.family:
        return False
    counts_on = bool(item.marker.value) and item.marker.value == before.marker.value + 1
    return item.indent <= before.indent + 1 or (
        counts_on and item.marker.parent == before.marker.parent
    )


def _keep(items: Sequence[_Item]) -> None:
    """Drop items that ask nothing: what explains a question, and headings above questions."""
    above: list[_Item] = []
    for item in items:
        del above[item.depth :]
        parent = above[-1] if above else None
        above.append(item)
        if parent:
            item.explains = not item.asks and (parent.asks or item.marker.family == "bullet")
            item.kept = not item.explains
            if item.explains and item.is_option:
                parent.options.append(item)
            parent.kept = parent.kept and (item.explains or parent.asks)
    for item in items:
        if len(item.options) > 1 or (item.options and _SECOND_OPTION.search(item.options[0].line)):
            for option in item.options:
                option.explains = False


def _unmarked(lines: Sequence[Line]) -> Reading:
    """Questions of lines without marks, one or several on a line."""
    items: list[str] = []
    before: list[str] = []
    after: list[str] = []
    sentences = list(joined_lines(lines))
    bare = len(sentences) > 1 and all(
        asks_bare(sentence) or is_question(sentence) or is_opening(sentence) or is_closing(sentence)
        for sentence in sentences
    )
    for sentence in sentences:
        questions, rest = _questions(sentence)
        if bare and asks_bare(sentence) and not is_question(sentence):
            questions, rest = [clean_item(sentence)], ""
        items += questions
        if rest:
            (after if items else before).append(rest)
    return Reading(tuple(items), tuple(before), tuple(after), marked=False)


def _questions(line: str) -> tuple[list[str], str]:
    """The questions of a line, and what else it says."""
    if line.endswith((":", "：")):
        return [], line
    pieces: list[str] = []
    start = 0
    for end in _QUESTION_END.finditer(line):
        if end["quotes"] and line[end.end() : end.end() + 2].lstrip()[:1].islower():
            continue  # a title in quotes, behind which the sentence goes on
        pieces.append(line[start : end.end("quotes")])
        start = end.end()
    if not pieces and is_question(line):
        return [clean_item(line)], ""
    if len(pieces) > 1 and all(map(ordinal_end, pieces)):
        pieces = [piece[ordinal_end(piece) :] for piece in pieces]
    items = (clean_item(without_marker(without_opening(piece))) for piece in pieces)
    return [item for item in items if len(item) > 1 and not _is_said(item)], line[start:].strip()


def _is_said(item: str) -> bool:
    return is_main_question(item) or is_to_reader(item)
