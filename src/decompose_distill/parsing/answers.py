r"""Reading the final answer that a model wrote, and writing it back.

What marks an answer: a phrase ("The answer is", in other languages too), GSM8K's `####`, a tag
(`<answer>`), a field of JSON, or a box (`\boxed{}`). The last mark that says something counts.
"""

import re
from collections.abc import Sequence

from decompose_distill.errors import ParseError
from decompose_distill.parsing.answer_marks import answer_marks, chosen_mark, start_of_row
from decompose_distill.parsing.lines import plain_lines
from decompose_distill.parsing.remarks import is_to_reader
from decompose_distill.parsing.thinking import split_thinking
from decompose_distill.scores.numeric import without_latex

_TAG_LINE = re.compile(r"</?[\w:-]{1,40}>|\[/?ANSWER\]", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</[\w-]{1,40}>|\[/ANSWER\]", re.IGNORECASE)
_MATH_FENCE = re.compile(r"\\[\[\]()]|\$\$")
# What a last line may say before the answer, where nothing calls it one.
_RESULT = re.compile(
    r"\W*(?:(?:so|thus|hence|therefore),? )?(?:(?:the|our|my) )?(?:final |overall )?"
    r"(?:result|solution|total|sum|conclusion)(?: (?:is|equals|comes to)\b:?|\s*[:：=])\s*(?=\S)"
    r"|(?:=>|⇒|->|→|∴)\s*(?=\S)|(?:assistant|model|ai|a)\s?[:：]\s*(?=\S)",
    re.IGNORECASE,
)
# The same before a number or a letter alone, which cannot be the beginning of a title.
_SAID = re.compile(
    r"[\s*_]*(?:(?:so|thus|hence|therefore|then)\b[,:]?\s?)?"
    r"(?:(?:it|this|that)(?:['’]s| is)\s|(?:we|i)\s(?:get|have|obtain|find)\s|output\s?[:：]\s?"
    r"|(?:the\s)?(?:(?:required|requested|total|final|resulting|desired)\s)?"
    r"(?:number|value|amount|result|count|figure)(?:\sis\b:?|\s?[:：=])\s*)?"
    r"(?P<value>[-+−–]?[$€£¥]?\d[\d.,/]*\s?%?|(?:option|choice)?\s?\(?(?-i:[A-J])\)?)"
    r"(?:,?\s\(?(?:as\s)?(?:my\s|the\s)?final answer\)?)?[.!]?\Z",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"\W*(?:explanation|reason(?:ing)?|rationale|justification|note|解释|解析|説明|설명)\W{0,2}[:：]",
    re.IGNORECASE,
)
# What small models go on with behind their final answer: a question of their own.
_NEXT_EXAMPLE = re.compile(
    r"(?:^|\n)[*_#> ]{0,6}(?:(?:the )?final answer\b|####\s)[^\n]*\n\s*"
    r"(?P<next>[*_#> ]{0,6}(?:(?:new |next )?(?:problem|question)|example(?: \d{1,3})?|q)"
    r"[*_ ]{0,3}[:：])",
    re.IGNORECASE,
)
_LINK = re.compile(r"\[([^\[\]\n]+)\]\((?:https?://|www\.|/|#)[^()\s]*\)")
_SIGNS_BEFORE = re.compile(r"\A(?:#{2,6}|>{1,3})\s+")
_ROW = re.compile(r"\|\s.*\s\|\Z")
_CELL_EDGES = re.compile(r"\A\|\s+|\s+\|\Z")
_OPENING = re.compile(r"(?:\\[\[(]|\${1,2}|<\w{1,20}>|\[ANSWER\])\Z")
_REASON = re.compile(
    r"(?<=\S)(?:[,;]\s*(?:because|since|given that|which|where|so|but|not|assuming|as (?!well\b"
    r"|of\b|in\b|for\b))\b"
    r"|;\s*(?:that|this|it|which)\b|(?:\\n){2,}|\\n\Z"
    r"|\s(?:because)\b|(?<=\d)\sas\s(?=[\d$])|\s[-–—]\s+(?:because|since|as)\b|，?因为|، لأن"
    r"|【(?:解析|分析|详解|点评)】)",
    re.IGNORECASE,
)
_NEXT_SENTENCE = re.compile(
    r"(?<=[.!?。！？])\s*(?:(?<=。)|(?<=！)|(?<=\s))(?=(?:i (?:hope|am)\b|i['’]m|hope\b|this\b"
    r"|that\b|these\b|therefore"
    r"|thus\b|hence\b|so\b|note\b|because|since\b|let me|we\b|it is\b|it['’]s|please|if\b"
    r"|feel free|in other|you\b"
    r"|here\b|explanation|(?:to )?(?:check|verif)|however|the (?:answer|calculation|total|reason"
    r"|final|other)\b"
    r"|both\b|all\b|each\b|there\b|他|她|它|这|因此|所以|希望))",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"(?:\$[^$\n]+\$|\\\([^\n]+?\\\)|[-+−–]?[$€£]?\d[\d,]*(?:\.\d+)?\s?%?|\([A-Za-z]\)|yes|no"
    r"|true|false)"
    r"[.!。]\s+(?=[^\W\d_]\S*\s+\S+\s+\S)",
    re.IGNORECASE,
)
_NUMBER_REMARK = re.compile(
    r"(?P<said>[-+−–]?[$€£]?\d(?:[^()\n]*[^()\n\s=+*/×x-])?)\s*"
    r"\((?P<remark>[^()]*)\)\s*\.?\s*\Z"
)
_REMARK = re.compile(
    r"(?:since|because|as|from|given|assuming|after|i\.e\.)|\d.*[-+*/×÷=]"
    r"|(?!mod|base|rounded (?:\w+ )?to)[a-z]{3,}\b.*\d",
    re.IGNORECASE | re.DOTALL,
)
_COPULA = re.compile(r"(?:です|でした|である|입니다|이다|है|である)[.。।]?\Z")


def parse_answer(text: str) -> str:
    """Read the final answer: what follows the last mark that says something, else the last line.

    Thinking, LaTeX, tokens that end a turn and what a model adds behind an answer are taken off.

    Raises:
        ParseError: The text is empty, or nothing but thinking.

    Example:
        >>> parse_answer("48 / 2 = 24, so 48 + 24 = 72.\\nThe answer is: **72**.")
        '72'
        >>> parse_answer("Thus $\\\\boxed{\\\\frac12}$. I hope it is correct.")
        '1/2'
    """
    lines = plain_lines(split_thinking(text).rest)
    if not lines:
        raise ParseError("empty completion")
    lines = [line for line in lines if not _MATH_FENCE.fullmatch(line)] or lines
    lines = _first_example("\n".join(lines)).splitlines()
    mark = chosen_mark(answer_marks("\n".join(lines)))
    answer = _cut(mark.content) if mark else _last_line(lines)
    answer = _without_stop(answer)
    plain = without_latex(answer).strip()
    plain = plain if plain == answer else _without_stop(plain)
    return plain or answer or lines[-1]


def replace_answer(text: str, answer: str) -> str:
    """Give a solution another final answer; what led to it stays, without thinking.

    Example:
        >>> replace_answer("48 + 24 = 71.\\nThe answer is: 71.", "72")
        '48 + 24 = 71.\\nThe answer is: 72'
    """
    text = _first_example(split_thinking(text).rest)
    marks = answer_marks(text)
    mark = chosen_mark(marks)
    before = text[: start_of_row(marks, mark)] if mark else text
    before = before.rstrip()
    if opening := _OPENING.search(before, max(len(before) - 24, 0)):
        before = before[: opening.start()]
    return f"{before.rstrip().rstrip('*_`#>').strip()}\n{format_answer(answer)}".strip()


def format_answer(answer: str) -> str:
    """Write the last line of a solution, which `parse_answer` reads.

    Example:
        >>> format_answer("72")
        'The answer is: 72'
    """
    return f"The answer is: {answer.strip()}"


def _first_example(text: str) -> str:
    example = _NEXT_EXAMPLE.search(text)
    return text[: example.start("next")].rstrip() if example else text


def _last_line(lines: Sequence[str]) -> str:
    """The last line that is neither a tag nor spoken to the reader."""
    telling = [line for line in reversed(lines) if not _TAG_LINE.fullmatch(line)]
    said = [line for line in telling if not _EXPLAINS.match(line)] or telling
    line = next((line for line in said if not is_to_reader(line)), lines[-1])
    if _ROW.match(line):  # what a table comes to stands at its end
        line = _CELL_EDGES.sub("", line).rpartition("|")[2].strip()
    if value := _SAID.match(line):
        return value["value"]
    result = _RESULT.match(line)
    return _SIGNS_BEFORE.sub("", line[result.end() :] if result else line)


def _cut(content: str) -> str:
    """An answer without what a model adds behind it: a reason, a remark, another sentence."""
    content = _LINK.sub(r"\1", _CLOSING_TAG.split(content, maxsplit=1)[0].strip())
    content = _CELL_EDGES.sub("", content)
    if whole := _WHOLE.match(content):
        content = content[: whole.end()].strip()
    if sentence := _NEXT_SENTENCE.search(content):
        content = content[: sentence.start()].strip()
    if reason := _REASON.search(content):
        content = content[: reason.start()].strip()
    number = _NUMBER_REMARK.match(content)
    if number and _REMARK.match(number["remark"]):
        content = number["said"].strip()
    return _COPULA.sub("", content).strip()


def _without_stop(answer: str) -> str:
    answer = re.sub(r"(?<=\S)[.。]\Z", "", answer.strip()).strip()
    emphasized = re.fullmatch(r"([*_])([^*_]+)\1", answer)
    return emphasized[2] if emphasized else answer
