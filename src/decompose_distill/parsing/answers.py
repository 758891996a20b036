"""Reading the final answer that a model wrote, and writing it back."""

import re

from decompose_distill.errors import ParseError
from decompose_distill.parsing.lines import clean_lines
from decompose_distill.parsing.thinking import split_thinking

_ANSWER = re.compile(
    r"(?:the\s+(?:(?:final|correct)\s+)?answer\s+is|final\s+answer(?:\s+is\b)?"
    r"|(?:^|\n)[\s#*_`]*answer(?![a-z])[*_]*)\s*[:=]?\s*([^\n]*)",
    re.IGNORECASE,
)
# LaTeX, as models write it around numbers. What is boxed may hold braces two deep.
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})+)\}")
_MATH_FENCE = re.compile(r"\\[\[\]()]|\$\$")
_IN_MATH = re.compile(
    r"\\\[(.+)\\\]|\\\((.+)\\\)|\$\$((?:\\\$|[^$])+)\$\$|\$((?:\\\$|[^$])+)\$", re.DOTALL
)
_LATEX = (
    (re.compile(r"\\(?:text[a-z]*|math[a-z]+|mbox)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}"), r"\1/\2"),
    (re.compile(r"(?<=\d)(?:\{,\}|,\\!|\\,)(?=\d{3}(?!\d))"), ","),
    (re.compile(r"\\([$%#&])"), r"\1"),
    (re.compile(r"\\[,;:!]"), " "),
)


def parse_answer(text: str) -> str:
    """Read the final answer: what follows the last "The answer is", else the last line.

    A `\\boxed{...}` after it, or without it, is the answer too. LaTeX around it is taken off.

    Raises:
        ParseError: The text is empty.

    Example:
        >>> parse_answer("48 / 2 = 24, so 48 + 24 = 72.\\nThe answer is: **72**.")
        '72'
    """
    lines = clean_lines(split_thinking(text).rest)
    if not lines:
        raise ParseError("empty completion")
    lines = [line for line in lines if not _MATH_FENCE.fullmatch(line)] or lines
    text = "\n".join(lines)
    found = [*_ANSWER.finditer(text), *_BOXED.finditer(text)]
    found = sorted((each for each in found if each[1].strip()), key=re.Match.start)
    answer = found[-1][1] if found else lines[-1]
    answer = re.sub(r"(?<=\S)\.$", "", answer.strip()).strip() or answer
    return _without_latex(answer).strip() or answer


def replace_answer(text: str, answer: str) -> str:
    """Give a solution another final answer; what led to it stays.

    Example:
        >>> replace_answer("48 + 24 = 71.\\nThe answer is: 71.", "72")
        '48 + 24 = 71.\\nThe answer is: 72'
    """
    found = list(_ANSWER.finditer(text))
    found = found or list(_BOXED.finditer(text))
    before = re.sub(r"(?:\\[\[(]|\$+)\s*\Z", "", text[: found[-1].start()]) if found else text
    return f"{before.strip().rstrip('*_`').rstrip()}\n{format_answer(answer)}".strip()


def format_answer(answer: str) -> str:
    """Write the last line of a solution, which `parse_answer` reads.

    Example:
        >>> format_answer("72")
        'The answer is: 72'
    """
    return f"The answer is: {answer.strip()}"


def _without_latex(answer: str) -> str:
    if whole := _IN_MATH.fullmatch(answer):
        answer = whole[whole.lastindex or 0]
    for pattern, plain in _LATEX:
        answer = pattern.sub(plain, answer)
    return answer
