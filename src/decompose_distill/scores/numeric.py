"""Numbers in answers: LaTeX read as plain text, and numeric equality."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation

from decompose_distill.scores.versioning import versioned

# "1 000" with a space that does not break, Swiss thousands, and those in LaTeX.
_PARTED = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f'’]|\{,\}|,\\!|\\[,;: ]|~)(?=\d{3}(?!\d))")
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
_SIZES = ("\\tiny", "\\small", "\\normalsize", "\\large", "\\Large", "\\LARGE", "\\huge", "\\Huge")
_NOTHING = (
    *("\\!", "\\left", "\\right", "\\displaystyle", "\\textstyle", "\\limits", "\\(", "\\)"),
    *_SIZES,
)
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
    "\\angle": "∠",
    "\\triangle": "△",
    "\\parallel": "∥",
    "\\perp": "⊥",
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
    """One pass over the tokens; `None` if braces do not match or arguments are missing."""
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
            group.add(_SIGNS[token] if token in _SIGNS else _greek(token))
        else:
            _add_text(group, token)
    return None if len(groups) > 1 or groups[0].waiting else "".join(groups[0].parts)


def _greek(command: str) -> str:
    """The letter that a command names; itself where it names none."""
    name = command[1:].removeprefix("var")
    case = "CAPITAL" if name[:1].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")
    except KeyError:
        return command


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


# The usual context rounds to 28 digits and refuses a million of them.
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NUMBER = re.compile(r"[-+−–－]?\$?-?\d[\d,]*(?:\.\d+)?|[-+−–－]?\$?-?\.\d+")
# A sign inside "16-3" is a minus between two numbers, not the sign of the second.
_IN_TEXT = re.compile(r"(?:(?<![\w.)])[-+−–－])?\$?(?:(?<![\w.)])-)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")
# Thousands, also as in India; other commas part the numbers of a list.
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}")
# The 2 of "m2", "CO2" and "m^2" is no number of its own; that of "USD2" is.
_IN_WORD = re.compile(
    r"(?:[^\W\d_]\^[({]?|(?<![^\W\d_])(?!(?:[A-Z]{3}|Rs|RM|kr)\Z)[A-Za-z]{1,4})\Z"
)
_QUOTIENT = Context(prec=40)
_A_FRACTION = re.compile(
    r"(?P<sign>[-−–])?\$?(?:(?P<whole>\d{1,15}) )?(?P<over>\d{1,15}) ?/ ?(?P<under>\d{1,15})"
)
# Neither a date nor the rest of a calculation.
_IN_FRACTION = re.compile(
    r"(?:(?<![\w.,/)])[-−–])?(?<![\w.,/)])(?:\d{1,15} )?(?<![.,/])\d{1,15}/\d{1,15}\Z"
)
_PAPER_MARKER = re.compile(r"the answer is", re.IGNORECASE)


@versioned("3")
def gsm8k_strict(answer: str, golds: Sequence[str]) -> float | None:
    """1 if the answer is nothing but the gold's number, or its last line is `#### number`.

    Case is made for `$`, `%`, thousands commas and a full stop. An answer in a sentence is
    wrong: this measures format too. Version 2 read the list `1,2` as 12, and no LaTeX.

    Example:
        >>> gsm8k_strict("$18.00", ["#### 18"]), gsm8k_strict("18 dollars", ["#### 18"])
        (1.0, 0.0)
    """
    if not (known := _golds(golds)):
        return None
    return float(as_number(without_latex(answer.rpartition("####")[2])) in known)


@versioned("6")
def gsm8k(answer: str, golds: Sequence[str]) -> float | None:
    """1 if the last number of the answer equals the gold's: the flexible reading.

    A gold is a number alone or, as in GSM8K's files, what follows `####`. Version 1 read the
    minus in `16-3` as the sign of 3, version 2 only the last thousand of `1{,}000`, version 3
    the 2 of `m^2`, the list `1,2` as 12, and no en dash as a minus, version 4 `1'000` as 0,
    version 5 the 4 of `3/4`.

    Example:
        >>> gsm8k("She earns $18.00 a day", ["9 * 2 = 18\\n#### 18"])
        1.0
    """
    if not (known := _golds(golds)):
        return None
    return float(_last_number(answer) in known)


@versioned("3")
def gsm8k_paper(answer: str, golds: Sequence[str]) -> float | None:
    """1 if any token after the last "the answer is" equals the gold, decimals cut off.

    So did the code released with arXiv 2402.15000, whose slip cuts 3.75 to 3. Only to compare
    with its figures: it accepts too much. Without the marker, the whole answer is looked at, as
    a `Solver` has cut it off already. Version 2 read the gold `1,2` as 12.

    Example:
        >>> gsm8k_paper("The answer is 3.75", ["3"]), gsm8k("The answer is 3.75", ["3"])
        (1.0, 0.0)
    """
    if not (known := _golds(golds)):
        return None
    tokens = _PAPER_MARKER.split(answer)[-1].lstrip(":").split()
    numbers = {whole for token in tokens if (whole := _whole(token)) is not None}
    return float(not numbers.isdisjoint(int(number) for number in known))


def as_number(text: str) -> Decimal | None:
    """The number that a text is, with `$`, `%`, thousands and a full stop allowed; else `None`.

    Example:
        >>> as_number("$1,000."), as_number("10 apples"), as_number("1,2")
        (Decimal('1E+3'), None, None)
    """
    text = text.strip().rstrip(".%").strip()
    return _decimal(text) if _NUMBER.fullmatch(text) and _is_one(text) else None


def _golds(golds: Sequence[str]) -> list[Decimal]:
    numbers = (_last_number(gold.rpartition("####")[2]) for gold in golds)
    return [number for number in numbers if number is not None]


def _last_number(text: str) -> Decimal | None:
    text = without_latex(text)
    numbers = list(_IN_TEXT.finditer(text))
    alone = (number for number in reversed(numbers) if not _is_in_word(text, number.start()))
    last = next(alone, numbers[-1] if numbers else None)
    if last is None:
        return None
    if fraction := _IN_FRACTION.search(text, max(last.start() - 40, 0), last.end()):
        return fraction_value(fraction[0])
    number = last[0].rstrip(",")
    return _decimal(number if _is_one(number) else number.rpartition(",")[2])


def fraction_value(text: str) -> Decimal | None:
    """The value of a fraction or a mixed number, to 40 digits; `None` for anything else.

    Example:
        >>> fraction_value("1 1/2"), fraction_value("-3/8"), fraction_value("3/0")
        (Decimal('1.5'), Decimal('-0.375'), None)
    """
    match = _A_FRACTION.fullmatch(text.strip())
    if match is None or not int(match["under"]):
        return None
    whole, over, under = (int(match[name] or 0) for name in ("whole", "over", "under"))
    value = _QUOTIENT.divide(Decimal(whole * under + over), Decimal(under))
    return -value if match["sign"] else value


def _is_in_word(text: str, start: int) -> bool:
    return bool(_IN_WORD.search(text[max(start - 5, 0) : start]))


def _is_one(number: str) -> bool:
    """Whether commas, if there are any, part thousands and not the numbers of a list."""
    whole = number.lstrip("-+−–－$").partition(".")[0]
    return "," not in whole or bool(_GROUPED.fullmatch(whole))


def _whole(token: str) -> int | None:
    """A token's number without its decimals, `$`, `,` and `%` and a full stop taken off."""
    number = as_number(token.replace("$", "").replace(",", "").rstrip(".%"))
    # A number of thousands of digits would take seconds to write out.
    return int(number) if number is not None and number.adjusted() < 1000 else None


def _decimal(text: str) -> Decimal | None:
    text = re.sub("[−–－]", "-", text.replace(",", "").replace("$", ""))
    try:
        number = Decimal(text)
    except InvalidOperation:  # digits of another script, two signs
        return None
    return number.normalize(_EXACT)
