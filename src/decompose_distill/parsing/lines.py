"""Lines of a model's text without what is around them: fences, rules, emphasis, tags."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from decompose_distill.parsing.remarks import SENTENCE_END, asks_bare

# Not the power in "2**10" or "2 ** 10", nor a blank that is to be filled in.
_EMPHASIS = re.compile(r"(?<![\w)])\*\*(?=\S)|(?<=\S)\*\*(?![\d(])|(?<!_)__(?!_)|`")
# Of HTML and LaTeX: pairs on one line, so that a text may speak of a tag.
_MARKUP = re.compile(
    r"<(b|strong|u|i|em|p|div|span|mark|small|h[1-6])(?:\s[^<>]{0,80})?>([^<>]*)</\1>"
    r"|\\(?:textbf|emph|textit|underline)\{([^{}]*)\}"
    r"|(?<![=!<>\w])==(?=[^\s=])([^=\n]{1,300})(?<=\S)==(?!=)",
    re.IGNORECASE,
)
_ITALIC = re.compile(r"(?:^|(?<=\s))([*_])(?=[^\s*_])([^*_]*)\1$")
_FENCE = re.compile(r"(?:```|~~~)[ \t]*[\w.+-]*\Z")
_RULE = re.compile(r"([-*_=~])\s?\1\s?(?:\1\s?)+\Z|\\(?:begin|end)\{[a-z*]+\}\Z")
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u202a\u202b\u202c"
_ESCAPED = re.compile(r"\A([\W_]{0,4}\d{0,3})\\(?=[-*+#.)\]>])")
"""The backslash of Markdown that keeps a number from becoming a list."""
_QUOTED = re.compile(r"(?:>\s?)+(?=\S)")
_WRAPPERS = (
    r"subquestions|sub_questions|sub-questions|questions|decomposition|output|response|answer"
    r"|result"
    r"|results|steps|list|final|plan|solution|reply"
)
_WRAPPER = re.compile(rf"</?(?:{_WRAPPERS})>|\[/?list\]", re.IGNORECASE)
# Of code: 'q1 = ask("How old is Ada?")' says what it asks, behind a mark or not.
_CALL = re.compile(
    r"\A(\W{0,3}\w{0,3}[.):]\s+)?(?:\w{1,20}\s?=\s?)?(?:await\s)?[A-Za-z_][\w.]{0,40}"
    r"\((?:\w{1,20}\s?=\s?)?f?([\"'])((?:(?!\2).)+\s(?:(?!\2).)+)\2(?:,[^\"']*)?\)[;,]?\Z"
)
_TITLE = re.compile(r"(?:\W{0,3}\w{1,4}[.):]\s*)?\*\*[^*]+\*\*[ :：]*")


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
        bare = _ESCAPED.sub(r"\1", strip(raw))
        if _FENCE.match(bare):
            continue
        marked = _WRAPPER.sub("", without_markup(bare)).strip().strip("`")
        clean = strip(_EMPHASIS.sub("", _ITALIC.sub(r"\2", marked)))
        clean = clean[quote.end() :] if (quote := _QUOTED.match(clean)) else clean
        clean = _CALL.sub(r"\1\3", clean)
        if not clean or _RULE.match(bare):
            blank = True
            continue
        lines.append(Line(clean, _indent(raw), blank, _is_title(marked)))
        blank = False
    return lines


def without_emphasis(text: str) -> str:
    """A text without the stars and bars that make it bold.

    Example:
        >>> without_emphasis("**How old** is Ada? 2**10?")
        'How old is Ada? 2**10?'
    """
    return _EMPHASIS.sub("", without_markup(text))


def without_markup(text: str) -> str:
    """A text without the tags of HTML and the commands of LaTeX that only make it look better.

    Example:
        >>> without_markup("<b>1.</b> What does <p> do?"), without_markup("\\\\textbf{1.} Who?")
        ('1. What does <p> do?', '1. Who?')
    """
    if not any(sign in text for sign in ("<", "\\", "&", "==")):
        return text
    return _MARKUP.sub(
        lambda match: match[2] or match[3] or match[4] or "", text.replace("&nbsp;", " ")
    )


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
    return [plain for line in lines if (plain := without_emphasis(line).strip())]


def joined_lines(lines: Sequence[Line]) -> Iterator[str]:
    """Lines without marks, with those that go on with the sentence before them.

    Example:
        >>> list(joined_lines(read_lines("Is Ada\\nolder?\\nWho is Bob?")))
        ['Is Ada older?', 'Who is Bob?']
    """
    whole: list[str] = []
    for line in lines:
        if whole and (line.after_blank or _ended(whole[-1], line.text)):
            yield " ".join(whole)
            whole = []
        whole.append(line.text)
    if whole:
        yield " ".join(whole)


def _is_title(line: str) -> bool:
    return line.startswith("#") or bool(_TITLE.fullmatch(line))


def _indent(line: str) -> int:
    expanded = line.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def _ended(line: str, following: str) -> bool:
    """Whether a line without a mark is a sentence of its own."""
    if not following[:1].islower() or line.endswith((*SENTENCE_END, ":", "：", ";", ",")):
        return True
    return asks_bare(line) and asks_bare(following) and not line.endswith((" and", " or"))
