"""Subquestions in JSON, in tags and in tables."""

import csv
import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from decompose_distill.errors import ParseError
from decompose_distill.parsing.lines import without_emphasis
from decompose_distill.parsing.lists import Reading, clean_item
from decompose_distill.parsing.markers import read_markers, without_marker
from decompose_distill.parsing.remarks import is_question

_MAX_STARTS = 4
"""Places at which JSON is looked for: each may cost a pass over the whole text."""
_MAX_DEPTH = 6
_JSON_START = re.compile(
    r"(?:^(?:[\w.]{1,40}\()?|[:：=>]|\b(?:is|are|return))[^\S\n]*`{0,2}"
    r"(?P<json>[\[{(](?=\s*[\"'“`{\[\]}]))",
    re.MULTILINE,
)
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.|(?<=\w)'(?=\w))*'|“[^”\n]*”|`[^`\n]+`"
_SPACE = r"(?:\s|//[^\n]*(?=\n))*"  # and comments
_ELEMENT = re.compile(rf"{_SPACE}(?P<text>{_QUOTED}){_SPACE}(?P<end>,|(?=[\])])|\Z)")
_BROKEN_LIST = re.compile(
    r"[\"']?(?:sub[_ -]?questions|questions|steps|decomposition)[\"']?\s?:\s?(?=\[)", re.IGNORECASE
)
_BROKEN_FIELD = re.compile(
    rf"[\"'](?:sub[_ -]?)?question[\"']\s?:\s?(?P<text>{_QUOTED})", re.IGNORECASE
)
# A string that does not end, alone or as the next question.
_CUT = re.compile(
    r"[\s,{}]*(?:[\"'](?:sub[_ -]?)?question[\"']\s?:\s?)?(?:\"(?:[^\"\\\n]|\\.)*|'[^'\n]*)\\?\Z",
    re.IGNORECASE,
)
_LISTS = ("subquestion", "question", "decomposition", "subproblem", "subquery", "step", "task")
_OTHER_LISTS = ("list", "item", "result", "output", "part", "querie", "plan", "response", "answer")
_TEXTS = ("subquestion", "question", "query", "q", "text", "subproblem", "task", "step", "content")
_MORE_TEXTS = ("subq", "sq", "subquery", "description", "prompt", "title", "item", "value")

_TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z][\w:.-]{0,40})(?:\s[^<>]{0,200}|)/?>")
_ITEM_TAGS = frozenset(
    (
        *("subquestion", "question", "q", "sq", "subq", "query", "subproblem", "s"),
        *("step", "substep", "task", "subtask", "part", "li", "item", "entry", "subquery"),
        *("subgoal", "inquiry"),
    )
)
_IN_ATTRIBUTE = re.compile(
    r"<([a-z_]{1,20})(?:\s[\w-]{1,20}=\"[^\"<>]{0,20}\")?\s(?:text|question|query|value|content)"
    r"=\"([^\"<>]{1,999})\"\s?/>",
    re.IGNORECASE,
)
# That of "H<sub>2</sub>O" holds no question.
_SUB_TAG = re.compile(r"<sub(?:\s[^<>]{0,80})?>([^<>]{4,999}[?？؟]\s*)</sub>", re.IGNORECASE)
_CDATA = re.compile(r"<!\[CDATA\[([^\]]*)\]\]>")
_INNER = re.compile(r"<(text|content|description|body|value)>(?P<text>[^<>]*)</\1>", re.IGNORECASE)
_CODE = re.compile(r"\A(?:(?:const|let|var) )?\w{0,30} ?[=(]\Z|\Areturn\Z|\A[;)]+\Z")
_PIPE = re.compile(r"(?<!\\)\|")
_CELLS_HEADER = {
    sign: re.compile(rf"[\"\w #-]{{1,30}}(?:{sign}[\"\w #-]{{1,31}})+") for sign in "\t;,"
}
_QUESTION_HEADER = re.compile(r"question|ask|step|query|frage|pregunta|问题", re.IGNORECASE)


def read_structured(text: str) -> Reading | None:
    """Read a text whose subquestions stand in JSON, in tags or in a table; else `None`.

    Example:
        >>> read_structured('{"subquestions": ["How old is Ada?"]}').items
        ('How old is Ada?',)
        >>> read_structured("<q>How old is Ada?</q>").items
        ('How old is Ada?',)
    """
    for read in (_read_json, _read_tags, _read_table, _read_cells):
        if reading := read(text):
            return reading
    return None


def _read_json(text: str) -> Reading | None:
    for count, start in enumerate(_JSON_START.finditer(text)):
        if count == _MAX_STARTS or _lists_before(text[: start.start()]):
            return None
        values, end = _decoded(text, start.start("json"))
        items = _texts(values)
        if not values:
            items, end = _broken(text, start.start("json"))
        if items:
            _check_end(text, end)
            return _reading(items, text[: start.start("json")], text[end:])
        if _is_empty(values) and not text[end:].partition("\n")[0].strip("` ;"):
            return Reading((), declined=True)
    return _quoted(text)


def _lists_before(text: str) -> bool:
    """Whether a list began before, so that the JSON belongs to one of its items."""
    return any(marker.strong for line in text.splitlines() for marker in read_markers(line.strip()))


def _decoded(text: str, start: int) -> tuple[list[Any], int]:
    """The JSON values from a place on, which commas or white space may part."""
    values: list[Any] = []
    decoder = json.JSONDecoder()
    position = start
    while text[position : position + 1] in ("[", "{"):
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        values.append(value)
        start = end
        position = re.compile(r"[\s,]*").match(text, end).end()  # type: ignore[union-attr]
    return values, start


def _texts(value: Any, depth: int = 0, *, item: bool = False) -> list[str]:
    """The subquestions in a JSON value; of an item those of its own list too, behind its text."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    if depth > _MAX_DEPTH or not isinstance(value, list | dict):
        return []
    if isinstance(value, list):
        item = item or len(value) > 1
        return [text for element in value for text in _texts(element, depth + 1, item=item)]
    fields = [(_name(key), key, element) for key, element in value.items()]
    if counted := [element for name, key, element in fields if _counts(name, key)]:
        return _texts(counted, depth + 1, item=True)
    own = [element for name, _, element in fields if name in _TEXTS and _is_words(element)]
    above = own[:1] if item else []  # at the root it is the question itself
    for names in (_LISTS, _OTHER_LISTS):
        for name, key, element in fields:
            if name in names and _is_many(element):
                return above + _texts(element, depth + 1, item=True)
            if name in names and key[-1:] in "sS" and _is_words(element):
                return [element]
    if own and (below := [element for _, _, element in fields if _are_items(element)]):
        return above + _texts(below, depth + 1, item=True)
    for wanted in (*_TEXTS, *_MORE_TEXTS):
        for name, _, element in fields:
            if name == wanted and isinstance(element, str) and element.strip():
                return [element]
    if questions := [key for _, key, _ in fields if is_question(key)]:
        return questions
    asking = [element for _, _, element in fields if _is_words(element) and is_question(element)]
    if len(asking) > 1 and len(asking) == len(fields):
        return asking
    many = [element for _, _, element in fields if _is_many(element)]
    if len(asking) == 1 and not many:
        return asking
    return [text for element in many for text in _texts(element, depth + 1, item=item)]


def _name(key: str) -> str:
    """A key without its number, its plural and what parts its words."""
    return re.sub(r"[^a-z]", "", key.lower()).removesuffix("s")


def _counts(name: str, key: str) -> bool:
    if not name:
        return key.strip(" .)").isdecimal()
    numbered = any(character.isdecimal() for character in key)
    return numbered and name in ("q", "sq", "subq", "part", "item", *_LISTS)


def _is_many(value: Any) -> bool:
    return isinstance(value, list | dict) and bool(value)


def _are_items(value: Any) -> bool:
    """Whether it is a list of objects that each have a text."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(item, dict) and any(_name(key) in _TEXTS for key in item) for item in value
        )
    )


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_empty(values: Sequence[Any]) -> bool:
    """Whether JSON says that there are no subquestions: `[]`, or a field without them."""
    if len(values) != 1:
        return False
    [value] = values
    if not isinstance(value, dict):
        return bool(value == [])
    return any(
        _name(key) in _LISTS and element in ([], None, "", {}) for key, element in value.items()
    )


def _broken(text: str, start: int) -> tuple[list[str], int]:
    """The strings of what only looks like JSON: other quotes, a comma too many, no end."""
    if fields := list(_BROKEN_FIELD.finditer(text, start)):
        _check_end(text, fields[-1].end())
        return [_unquoted(field["text"]) for field in fields], len(text)
    named = _BROKEN_LIST.search(text, start)
    position = (named.end() if named else start) + 1
    items: list[str] = []
    while element := _ELEMENT.match(text, position):
        items.append(_unquoted(element["text"]))
        position = element.end()
        if not element["end"]:
            break
    return items, position


def _check_end(text: str, position: int) -> None:
    """Refuse what was cut off within a subquestion: those behind it would be missing."""
    if _CUT.match(text, position):
        raise ParseError("the list was cut off")


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1].replace("\\'", "'").replace('\\"', '"')


def _quoted(text: str) -> Reading | None:
    """A text that is one JSON string as a whole."""
    if not (text.startswith('"') and text.endswith('"') and "\\" in text):
        return None
    try:
        inner = json.loads(text)
    except ValueError:
        return None
    return _read_json(inner) if inner[:1] in ("[", "{") else _reading([inner], "", "")


def _read_tags(text: str) -> Reading | None:
    """The texts of the innermost tags that are named after items."""
    text = _CDATA.sub(lambda match: html.escape(match[1], quote=False), text)
    text = _SUB_TAG.sub(r"<q>\1</q>", _IN_ATTRIBUTE.sub(r"<\1>\2</\1>", text))
    tags = [tag for tag in _TAG.finditer(text) if _tag_name(tag) in _ITEM_TAGS]
    closed = {_tag_name(tag) for tag in tags if tag["close"]}
    opened = Counter(_tag_name(tag) for tag in tags if not tag["close"])
    items: list[str] = []
    start: re.Match[str] | None = None
    end = 0
    for tag in tags:
        unclosed = start and (_tag_name(start) == "li" or _tag_name(start) not in closed)
        if start and (tag["close"] or unclosed):
            items.append(text[start.end() : tag.start()])
        start = None if tag["close"] else tag
        end = tag.end()
    if start and opened[_tag_name(start)] > 1 and (_tag_name(start) not in closed or not items):
        items.append(text[start.end() :])
        end = len(text)
    items = [html.unescape(_TAG.sub("", _inner(item))).strip() for item in items]
    if not any(items) or (not closed and len(items) < 2):
        return None
    return _reading([item for item in items if item], text[: tags[0].start()], text[end:])


def _inner(item: str) -> str:
    """Of an item that holds other tags, the text of the one that asks, or else all of it."""
    return next((inner["text"] for inner in _INNER.finditer(item)), item)


def _tag_name(tag: re.Match[str]) -> str:
    return re.sub(r"[\d_.:-]", "", tag["name"].lower())


def _read_table(text: str) -> Reading | None:
    """The column of a Markdown table that asks the questions."""
    lines = [line.strip() for line in text.splitlines()]
    rule = next((i for i, line in enumerate(lines) if _is_rule(line)), None)
    if not rule:
        return None
    header = _cells(lines[rule - 1])
    rows: list[list[str]] = []
    for line in lines[rule + 1 :]:
        if "|" not in line:
            break
        rows.append(_cells(line))
    column = _question_column(header, rows)
    items = [row[column] for row in rows if column < len(row) and row[column]]
    after = "\n".join(lines[rule + 1 + len(rows) :])
    return _reading(items, "\n".join(lines[: rule - 1]), after) if items else None


def _read_cells(text: str) -> Reading | None:
    """The column of questions of a table whose cells are parted as in CSV."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("```")]
    sign = next((sign for sign in "\t;," if lines and _CELLS_HEADER[sign].fullmatch(lines[0])), "")
    if not sign or len(lines) < 2:
        return None
    header, *rows = csv.reader(lines, delimiter=sign, skipinitialspace=True)
    if not any(map(_QUESTION_HEADER.search, header)):
        return None
    if any(len(row) != len(header) for row in rows):
        return None
    column = _question_column(header, rows)
    return _reading([row[column] for row in rows if row[column]], "", "")


def _is_rule(line: str) -> bool:
    return {"|", "-"} <= set(line) <= set("|-: \t")


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in _PIPE.split(line.strip().strip("|"))]


def _question_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    def asking(column: int) -> tuple[int, bool, int]:
        cells = [row[column] for row in rows if column < len(row)]
        named = bool(_QUESTION_HEADER.search(header[column]))
        return sum(map(is_question, cells)), named, sum(map(len, cells))

    return max(range(len(header)), key=asking)


def _reading(items: Sequence[str], before: str, after: str) -> Reading:
    if len(items) == 1 and "\n" in items[0].strip():  # a list in one field, to be read as lines
        return Reading((items[0].strip(),), tuple(_remarks(before)), tuple(_remarks(after)))
    plain = [without_marker(item.strip()) for item in items]
    if not all(text != item.strip() for text, item in zip(plain, items, strict=True)):
        plain = [item.strip() for item in items]
    cleaned = (clean_item(" ".join(without_emphasis(item).split())) for item in plain)
    return Reading(tuple(filter(None, cleaned)), tuple(_remarks(before)), tuple(_remarks(after)))


def _remarks(text: str) -> Iterator[str]:
    """Lines of words, without fences, brackets, tags and code."""
    for line in text.splitlines():
        words = _TAG.sub("", line).strip(" \t`~[]{},\"'")
        words = _CODE.sub("", words)
        if words and words.lower() not in ("json", "xml", "html", "python", "text", "markdown"):
            yield words
