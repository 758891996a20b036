"""Marks that begin an item of a list: numbers, letters and bullets, as models write them.

A mark is strong if it can be nothing else ("1.", "Step 2:", "③"), and weak if only its neighbours
tell it from a word: "A." needs a "B." after it, and "1.1" a "1.2".
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from decompose_distill.parsing.numerals import (
    ANY_LETTER,
    ANY_SIGN,
    CHINESE,
    LABEL,
    LETTERS,
    ORDINAL,
    OTHER_PLACES,
    ROMAN,
    WORDS,
    count_value,
)

_OPEN, _SHUT = r"[(\[{<（［【〔]", r")\]}）］】〕"
_EMPHASIS = r"[*_]{0,2}"
_CLOSE = rf"(?:\s?[.:{_SHUT}、．：。]){{1,3}}(?:(?<![.:])|(?!\d))|>(?!>)|[ºª]\s?[.:)]?|°\s?[.:)]"
_DASH = r"[-–—|/](?=\s|(?-i:[^\W\da-z]))|\s(?:[-–—|/]|->|=>|→|⇒)(?=\s)|\s?=\s?(?=[\"'“])"
# "Question 1 How" but not "Question 1 is": without a sign behind it, a sentence must follow.
_SENTENCE = r"(?=\s+(?:(?-i:[^\W\da-z_])|[\"“'‘¿]|how\b|wh(?:at|o|ich|en|ere|y)\b|$)|\s*$)"
_REMARK = r"(?:\s*(?:of|/)\s*\d{1,2}|\s*\([^()\n]{1,60}\))?"
_NUMBER = r"\d{1,3}(?:[.\-]\d{1,3}){0,3}(?:\.?[a-z](?!\w)|\([a-z]\))?"
_NUMERAL = (
    rf"{_NUMBER}(?!\w)|\d{{1,3}}(?=[^\W\d_a-zA-Z])|[{CHINESE}]{{1,3}}|[{ANY_SIGN}]"
    rf"|(?<![^\W\d_])(?:{'|'.join(WORDS)}|[ivx]{{1,5}}|[{ANY_LETTER}])(?!\w)"
)
_DOTTED = (
    r"(?:teil|unter)?frage|(?:teil)?schritt|soru|adım|krok|pytanie|otázka|kysymys|vaihe|kérdés"
    r"|lépés|steg|trin|spørgsmål|spørsmål|pitanje|korak"
)
_LABEL_ORDINAL = "الأولى?|الثانية?|الثالثة?|الرابعة?|اول|دوم|سوم"
_LABELLED = re.compile(
    rf"{_EMPHASIS}{_OPEN}?{LABEL}\s?(?:n[ro]?\.|no|n[°º]|number|№|نمبر|la(?=\s))?\s?[-#._]?\s?{_OPEN}?"
    rf"(?P<value>{_NUMERAL}|(?:{_LABEL_ORDINAL})(?!\w))"
    rf"(?:{_REMARK}{_EMPHASIS}(?:{_CLOSE}|{_DASH}|,(?=\s?[^\s\d])|，)|{_SENTENCE}){_EMPHASIS}",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    rf"{_EMPHASIS}(?:#(?=\d{{1,3}}[.:)])|n(?:o\.?|r\.)\s?|№\s?)?{_OPEN}?{_OPEN}?\s?"
    rf"(?P<value>{_NUMBER})(?:\s?(?:/|of)\s?\d{{1,2}}(?=[):]))?{_EMPHASIS}"
    rf"(?:{_CLOSE}|(?<=[a-z]\))(?=\s)|[-–—/](?=\s|(?-i:[^\W\da-z]))){_EMPHASIS}",
    re.IGNORECASE,
)
# "1단계:", "2ª pergunta:"; "1. Schritt:" where a full stop makes an ordinal.
_BEFORE_LABEL = re.compile(
    rf"{_EMPHASIS}{_OPEN}?(?P<value>\d{{1,3}})(?:(?:st|nd|rd|th|[ªºao°]|è?re|er|i?[eè]me|e|-?[йяе]|번)?\s?{LABEL}"
    rf"|\.\s?(?:{_DOTTED}))(?:\s?[:：]|\s[-–—](?=\s)){_EMPHASIS}",
    re.IGNORECASE,
)
_CJK = re.compile(
    rf"{_EMPHASIS}(?:{_OPEN}?(?P<value>[{CHINESE}]{{1,3}})(?:[{_SHUT}、．.：:]{{1,2}})"
    rf"|第(?P<ordinal>[{CHINESE}]{{1,3}}|\d{{1,3}})(?:个|個)?(?:子?问题|子?問題|步|问|題|题)?"
    rf"(?:[、．.：:，,]|(?=\s)))"
    rf"{_EMPHASIS}"
)
_SIGN = re.compile(rf"{_EMPHASIS}(?P<value>[{ANY_SIGN}])[.:{_SHUT}、．：]?{_EMPHASIS}")
_KEYCAP = re.compile("(?P<value>\\d)\ufe0f?\u20e3\\s?[.:)]?")
_WEAK = re.compile(
    rf"{_EMPHASIS}(?P<open>{_OPEN})?(?P<value>[ivxIVX]{{1,5}}|الف|[{ANY_LETTER}]){_EMPHASIS}"
    rf"(?:[.:{_SHUT}、．：]{{1,2}}|\s[-–—](?=\s)){_EMPHASIS}(?=\s|$|[^\W\da-z_])"
)
_NESTED = re.compile(r"(?P<value>\d{1,2}(?:\.\d{1,2}){1,3})(?=\s+\S)")
_GLUED = re.compile(r"(?P<value>\d{1,2})[.:](?=\d+[^\W\da-zA-Z_])")  # "2.14名" counts 2
_BARE = re.compile(
    r"\*?#?(?P<value>\d{1,2})\*?(?:\s?(?:\||->|=>|→|⇒)(?=\s)|\s?[>~»](?=\s+[^\W\da-z_])|\s[-–—/](?=\s)|,(?=[^\W\da-z_])|\s?°(?=\s+(?:[^\W\da-z_]|¿))"
    r"|(?=\s+(?:[^\W\da-z_]|¿|how\b|wh(?:at|o|ich|en|ere|y)\b)|$))"
)
_ORDINAL = re.compile(
    rf"{_EMPHASIS}(?:the\s)?(?P<value>{ORDINAL}|\d{{1,2}}(?:st|nd|rd|th))(?:ly)?"
    rf"(?:\s(?:sub-?)?question|\sstep)?(?:\sis(?=\s?:))?{_EMPHASIS}"
    rf"(?:\s?[:,.)\-–—]{_EMPHASIS}(?=\s)|\s?[，、：،]{_EMPHASIS})",
    re.IGNORECASE,
)
# Words that count only where nothing else does: "Day 1:" would be part of a question.
_WORD = re.compile(
    rf"{_EMPHASIS}(?P<label>(?-i:[B-Z])|clue|point|piece|element|aspect|component|action|objective"
    rf"|punto|punkt|пункт|要点)[ .#-]{{0,2}}"
    rf"(?P<value>\d{{1,2}}){_EMPHASIS}\s?[:：.)]{_EMPHASIS}(?=\s)",
    re.IGNORECASE,
)
_UNNUMBERED = re.compile(
    rf"{_EMPHASIS}(?P<label>{LABEL}){_EMPHASIS}\s?[:：]{_EMPHASIS}(?=\s*\S)", re.IGNORECASE
)
_BULLET = re.compile(
    r"(?:[-*+–—~>]|[-=]{1,2}>|o(?=\s+[A-Z])|\\item)(?=\s)\s*|-(?=[A-Z]|\d{1,2}[.)]\s)"
    r"|\\item\b\s*(?:\[[^\[\]\n]{0,9}\]\s*)?|\[\*\]\s*|[»›]\s+"
    r"|[•‣⁃◦●○■□▪▫◆◇►▶▸▹➤➢➔→⇒·∙・･⦁⬥❯✦✧\uf0b7\uf0a7\uf0d8※★☆✓✔✅❖❓❔🔹🔸🔷🔶👉☐☑☒⬜📌](?:\ufe0f)?\s*"
)
_PICTURE = re.compile(r".[\ufe0f\u200d]*\s+")
_CHECKBOX = re.compile(r"\[[ xX✓✔]?\]\s*(?=\S)")
_SECOND = re.compile(r"(?:(?:[-–•]|[-=]{1,2}>|[→⇒])\s+(?=\D))?(?:\[[ xX✓✔]?\]\s*(?=\S))?")
_HEADING = re.compile(r"(?:>\s*)*#{1,6}\s+|#{2,6}|(?:>\s*)+(?=\S)")


_BY_WORD = "word "
_BY_LETTER = ("roman", "ROMAN", "lower", "upper")
"""Families of which one mark may be of several: "i)" behind "h)" is a letter."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A mark at the beginning of a line.

    Example:
        >>> read_markers("Step 2: How old is Ada?")
        (Marker(family='number', value=2, parent='', end=8, strong=True),)
    """

    family: str
    """`number`, `nested`, `bullet`, a kind of letter or of numeral, or a label without number."""
    value: int
    """Its place in the count, from 1; 0 for what does not count."""
    parent: str = ""
    """Of a nested number, all but its last part."""
    end: int = 0
    """Where in the line its text begins."""
    strong: bool = True


@lru_cache(maxsize=256)  # the lines of a text, which several readers look at
def read_markers(line: str) -> tuple[Marker, ...]:
    """The marks that a line may begin with, the likeliest first; none if it begins with text.

    Example:
        >>> [marker.family for marker in read_markers("i. How old is Ada?")]
        ['roman', 'lower']
    """
    start = _prefix(line, 0)
    bullet = _BULLET.match(line, start) or _picture(line, start)
    inner = _prefix(line, bullet.end()) if bullet else start
    markers = _counting(line, inner)
    if bullet or "[" in line[:start]:  # "- 1 ticket" is no first item
        kept = (marker for marker in markers if marker.family not in ("bare", "ordinal"))
        markers = (*kept, Marker("bullet", 0, end=inner))
    elif line.startswith("#"):
        markers = tuple(replace(marker, strong=marker.value > 0) for marker in markers)
    return tuple(replace(marker, end=_second(line, marker.end)) for marker in markers)


def without_marker(text: str, value: int | None = None) -> str:
    """A text without a strong mark before it, such as the second in "1. Q1: How old is Ada?".

    Example:
        >>> without_marker("Q1: How old is Ada?"), without_marker("Q1: How old is Ada?", 2)
        ('How old is Ada?', 'Q1: How old is Ada?')
    """
    for marker in read_markers(text):
        if marker.strong and marker.family != "bullet" and value in (None, marker.value, 0):
            return text[marker.end :].strip()
    return text


def ordinal_end(text: str) -> int:
    """Where the text behind "First:", "Then," and the like begins; 0 if it begins otherwise.

    Example:
        >>> ordinal_end("First: who is Ada?"), ordinal_end("Who is Ada?")
        (7, 0)
    """
    start = _skip_spaces(text, 0)
    match = _ORDINAL.match(text, start)
    return _skip_spaces(text, match.end()) if match else 0


def accept_markers(lines: Sequence[tuple[Marker, ...]]) -> list[Marker | None]:
    """For each line, the mark that it begins with; weak ones only where they count up.

    Example:
        >>> lines = ["A. Lincoln was born when?", "1. How old is Ada?", "a) or b)?"]
        >>> [marker and marker.family for marker in accept_markers([*map(read_markers, lines)])]
        [None, 'number', 'lower']
    """
    counted = list(_counted(lines))
    if any(
        marker and marker.strong for marker in counted
    ):  # words count only where nothing else does
        counted = [
            None if marker and marker.family.startswith(_BY_WORD) else marker for marker in counted
        ]
    sizes = Counter(marker.family for marker in counted if marker)
    begun = {marker.family for marker in counted if marker and (marker.value != 1 or marker.parent)}
    return [
        marker
        if marker and (marker.strong or (marker.family in begun and sizes[marker.family] > 1))
        else next((marker for marker in markers if marker.family == "bullet"), None)
        for marker, markers in zip(counted, lines, strict=True)
    ]


def _counted(lines: Sequence[tuple[Marker, ...]]) -> Iterator[Marker | None]:
    """For each line, the mark that goes on with the count, or begins one."""
    last: dict[tuple[str, str], int] = {}
    for markers in lines:
        going_on = [marker for marker in markers if _goes_on(marker, last)]
        going_on.sort(key=lambda marker: marker.value == 1 and marker.family in _BY_LETTER)
        marker = going_on[0] if going_on else None
        if marker:
            key = (marker.family, marker.parent)
            last[key] = marker.value or last.get(key, 0) + 1
            below = marker.family == "nested" and marker.parent == str(last.get(("number", ""), ""))
            marker = replace(marker, strong=marker.strong or below)
        yield marker


def _goes_on(marker: Marker, last: dict[tuple[str, str], int]) -> bool:
    if marker.family == "bullet":
        return False
    before = last.get((marker.family, marker.parent), 0)
    if not marker.value:
        return marker.family != "ordinal" or before > 0
    return marker.strong or marker.value in (1, before + 1)


def _counting(line: str, start: int) -> tuple[Marker, ...]:
    for pattern in (_KEYCAP, _SIGN, _LABELLED, _BEFORE_LABEL, _NUMBERED, _CJK):
        if match := pattern.match(line, start):
            return (_numbered(match),)
    markers = [
        _weak(match, *named) for match in _matches(_WEAK, line, start) for named in _named(match)
    ]
    markers += [_numbered(match, strong=False) for match in _matches(_NESTED, line, start)]
    markers += [_numbered(match, strong=False) for match in _matches(_GLUED, line, start)]
    for family, pattern in (("bare", _BARE), ("ordinal", _ORDINAL)):
        for match in _matches(pattern, line, start):
            markers.append(_weak(match, family, count_value(match["value"])))
    for match in _matches(_WORD, line, start):
        family = f"{_BY_WORD}{match['label'].lower()}"
        markers.append(Marker(family, int(match["value"]), end=match.end(), strong=False))
    for match in _matches(_UNNUMBERED, line, start):
        markers.append(Marker(match["label"].lower(), 0, end=match.end(), strong=False))
    return tuple(markers)


def _matches(pattern: re.Pattern[str], line: str, start: int) -> list[re.Match[str]]:
    match = pattern.match(line, start)
    return [match] if match else []


def _numbered(match: re.Match[str], *, strong: bool = True) -> Marker:
    text = match["value"] or match["ordinal"]
    text = re.sub(r"(?<=\d)(?=[a-z]$)|[-(]", ".", text.rstrip(")"), flags=re.IGNORECASE)
    parent, _, last = text.rpartition(".")
    return Marker("nested" if parent else "number", count_value(last), parent, match.end(), strong)


def _named(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """What a letter may be: a roman numeral, or a letter of an alphabet."""
    text = match["value"]
    if text.lower() in ROMAN and text in (text.lower(), text.upper()):
        yield "roman" if text.islower() else "ROMAN", count_value(text)
    case = "upper" if text.isupper() else "lower"
    if text in LETTERS:
        yield case, LETTERS[text]
    for place in OTHER_PLACES.get(text, ()):
        yield case, place


def _weak(match: re.Match[str], family: str, value: int) -> Marker:
    bracketed = match[0].rstrip("*_")[-1:] in _SHUT and family not in ("bare", "ordinal")
    return Marker(family, value, end=match.end(), strong=bracketed and value == 1)


def _picture(line: str, start: int) -> re.Match[str] | None:
    """A sign at the beginning of a line that is no word, such as an emoji."""
    sign = line[start : start + 1]
    drawn = bool(sign) and (
        unicodedata.category(sign) == "So"
        or "\u25a0" <= sign <= "\u27bf"
        or "\u2900" <= sign <= "\u2bff"
    )
    alone = drawn and sign not in ANY_LETTER and sign not in ANY_SIGN
    return _PICTURE.match(line, start) if alone else None


def _prefix(line: str, start: int) -> int:
    for pattern in (_HEADING, _CHECKBOX):
        if match := pattern.match(line, start):
            start = match.end()
    return _skip_spaces(line, start)


def _second(line: str, start: int) -> int:
    """Where the text begins behind a bullet or a box that follows the mark, if there is one."""
    start = _skip_spaces(line, start)
    match = _SECOND.match(line, start)
    return match.end() if match else start


def _skip_spaces(line: str, start: int) -> int:
    while start < len(line) and line[start].isspace():
        start += 1
    return start
