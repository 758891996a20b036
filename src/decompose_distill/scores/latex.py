r"""LaTeX as plain text, so that an answer and its gold read alike however either is written."""

import re
from dataclasses import dataclass, field

# "1 000" with a space that does not break, and thousands in LaTeX.
_PARTED = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f]|\{,\}|,\\!|\\[,;: ]|~)(?=\d{3}(?!\d))")
_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|[{}]|[^\\{}]+|\\", re.DOTALL)
_IN_MATH = re.compile(
    r"\\\[(.+)\\\]|\\\((.+)\\\)|\$\$((?:\\\$|[^$])+)\$\$|\$((?:\\\$|[^$])+)\$", re.DOTALL
)
_UNWRAPPED = re.compile(
    r"\\(?:text[a-z]*|math[a-z]+|mbox|boxed|f(?:rame)?box|emph|operatorname\*?|underline|rm|bf)\Z"
)
_FRACTION = re.compile(r"\\[dtcs]?frac\Z")
_DEGREE = re.compile(r"\^\(?°\)?")
_SIMPLE = re.compile(r"-?[\w.,√]*\Z")
_SPACES = ("\\,", "\\;", "\\:", "\\ ", "\\quad", "\\qquad", "\\space", "\\\\")
_NOTHING = ("\\!", "\\left", "\\right", "\\displaystyle", "\\textstyle", "\\limits", "\\(", "\\)")
_SIGNS = {
    **{f"\\{sign}": sign for sign in "%$#&_{}|"},
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys((*_NOTHING, "\\[", "\\]", "\\big", "\\Big", "\\bigl", "\\bigr"), ""),
    "\\pi": "π",
    "\\infty": "∞",
    "\\times": "×",
    "\\cdot": "·",
    "\\div": "÷",
    "\\pm": "±",
    "\\le": "≤",
    "\\leq": "≤",
    "\\ge": "≥",
    "\\geq": "≥",
    "\\ne": "≠",
    "\\neq": "≠",
    "\\approx": "≈",
    "\\circ": "°",
    "\\degree": "°",
    "\\ldots": "…",
    "\\dots": "…",
    "\\cup": "∪",
    "\\cap": "∩",
    "\\emptyset": "∅",
    "\\in": "∈",
    "\\to": "→",
    "\\mid": "|",
    "\\lt": "<",
    "\\gt": ">",
    "\\percent": "%",
    "\\textdollar": "$",
    "\\euro": "€",
}


@dataclass(slots=True)
class _Group:
    """What stands between two braces, and the commands in it that wait for arguments."""

    parts: list[str] = field(default_factory=list)
    waiting: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, text: str) -> None:
        while self.waiting:
            command, arguments = self.waiting[-1]
            arguments.append(text)
            if len(arguments) < _arity(command):
                return
            self.waiting.pop()
            text = _rendered(command, arguments, self.parts[-1] if self.parts else "")
        self.parts.append(text)


def without_latex(text: str) -> str:
    r"""A text with its LaTeX written plainly; one whose braces do not match keeps them.

    Example:
        >>> without_latex(r"\boxed{1\frac{4}{5}\text{ m}^{2}}"), without_latex(r"$42{,}500\,\%$")
        ('1 4/5 m^2', '42,500 %')
    """
    text = joined_thousands(text)
    if not any(sign in text for sign in ("\\", "$", "^{", "_{")):
        return text
    if whole := _IN_MATH.fullmatch(text.strip()):
        text = whole[whole.lastindex or 0]
    if not any(sign in text for sign in ("\\", "^{", "_{")):
        return text
    plain = _DEGREE.sub("°", _plain(text) or "").strip()
    return plain or text


def joined_thousands(text: str) -> str:
    """A text with commas where its thousands are parted by narrow spaces or as in LaTeX.

    Example:
        >>> joined_thousands("10{,}000 and 1\u202f000"), joined_thousands("12 500")
        ('10,000 and 1,000', '12 500')
    """
    return _PARTED.sub(",", text)


def _plain(text: str) -> str | None:
    """One pass over the tokens; `None` where braces do not match or arguments are missing."""
    groups = [_Group()]
    for token in _TOKEN.findall(text):
        group = groups[-1]
        if token == "{":
            groups.append(_Group())
        elif token == "}":
            if len(groups) < 2 or group.waiting:
                return None
            groups.pop()
            _close(groups[-1], "".join(group.parts))
        elif _arity(token):
            group.waiting.append((token, []))
        elif token[0] == "\\":
            group.add(_SIGNS.get(token, token))
        else:
            _add_text(group, token)
    return None if len(groups) > 1 or groups[0].waiting else "".join(groups[0].parts)


def _close(group: _Group, content: str) -> None:
    """Hand the content of a group to the one around it."""
    raised = bool(group.parts) and group.parts[-1].endswith(("^", "_")) and not group.waiting
    group.add(f"({content})" if raised and not _SIMPLE.match(content) else content)


def _add_text(group: _Group, text: str) -> None:
    """Add plain text, of which a command that waits takes single characters."""
    position = 0
    while group.waiting and position < len(text):
        if not text[position].isspace():
            group.add(text[position])
        position += 1
    if position < len(text):
        group.add(text[position:])


def _arity(token: str) -> int:
    if not token.startswith("\\"):
        return 0
    if _FRACTION.match(token):
        return 2
    return int(token == "\\sqrt" or bool(_UNWRAPPED.match(token)))


def _rendered(command: str, arguments: list[str], before: str) -> str:
    if command == "\\sqrt":
        return f"√{_bracketed(arguments[0])}"
    if len(arguments) == 2:
        part = " " if before[-1:].isdigit() else ""  # the whole part of a mixed number
        return f"{part}{_bracketed(arguments[0])}/{_bracketed(arguments[1])}"
    return arguments[0]


def _bracketed(text: str) -> str:
    return text if _SIMPLE.match(text) else f"({text})"
