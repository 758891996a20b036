"""Lines of a model's text without what is around them: fences, rules, emphasis, tags."""

import re
from dataclasses import dataclass

# Not the power in "2**10" or "2 ** 10", nor a blank that is to be filled in.
_EMPHASIS = re.compile(r"(?<![\w)])\*\*(?=\S)|(?<=\S)\*\*(?![\d(])|(?<!_)__(?!_)|`")
_ITALIC = re.compile(r"(?:^|(?<=\s))([*_])(?=[^\s*_])([^*_]*)\1$")
_FENCE = re.compile(r"(?:```|~~~)[ \t]*[\w.+-]*\Z")
_RULE = re.compile(r"([-*_=~])\s?\1\s?(?:\1\s?)+\Z|\\(?:begin|end)\{[a-z*]+\}\Z")
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u202a\u202b\u202c"
_QUOTED = re.compile(r"(?:>\s?)+(?=\S)")
_WRAPPERS = (
    r"subquestions|sub_questions|sub-questions|questions|decomposition|output|response|answer"
    r"|result"
    r"|results|steps|list|final|plan|solution|reply"
)
_WRAPPER = re.compile(rf"</?(?:{_WRAPPERS})>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not empty.

    Example:
        >>> read_lines("**Prices**\\n\\n  - How much?")[1]
        Line(text='- How much?', indent=2, after_blank=True, title=False)
    """

    text: str
    indent: int = 0
    after_blank: bool = False
    """Whether an empty line stands before it."""
    title: bool = False
    """Whether it is written as a heading, or bold as a whole."""


def read_lines(text: str) -> list[Line]:
    """The lines of a text, without code fences, rules, emphasis and tags around a list.

    Example:
        >>> [line.text for line in read_lines("```text\\n**1.** How old is `Ada`?\\n```")]
        ['1. How old is Ada?']
    """
    lines: list[Line] = []
    blank = False
    for raw in text.splitlines():
        bare = strip(raw)
        if _FENCE.match(bare):
            continue
        marked = _WRAPPER.sub("", bare).strip().strip("`")
        clean = strip(_EMPHASIS.sub("", _ITALIC.sub(r"\2", marked)))
        clean = clean[quote.end() :] if (quote := _QUOTED.match(clean)) else clean
        if not clean or _RULE.match(bare):
            blank = True
            continue
        lines.append(Line(clean, _indent(raw), blank, _is_title(marked)))
        blank = False
    return lines


def strip(text: str) -> str:
    """A text without white space and invisible signs, such as those of direction, around it."""
    return text.strip().strip(_INVISIBLE).strip()


def plain_lines(text: str) -> list[str]:
    """The lines of a text as they are, without code fences and emphasis.

    Example:
        >>> plain_lines("**Ada**\\n\\n```\\nBob\\n```")
        ['Ada', 'Bob']
    """
    lines = (line for line in text.splitlines() if not _FENCE.match(line.strip()))
    return [plain for line in lines if (plain := _EMPHASIS.sub("", line).strip())]


def _is_title(line: str) -> bool:
    bold = line.startswith("**") and line.rstrip(" :：").endswith("**") and line.count("**") == 2
    return bold or line.startswith("#")


def _indent(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())
