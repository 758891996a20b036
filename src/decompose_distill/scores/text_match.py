"""Scores of short answers: Bamboogle, MuSiQue, StrategyQA, and questions of your own."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

from decompose_distill.scores.numeric import as_number, fraction_value, without_latex
from decompose_distill.scores.versioning import versioned

_ARTICLES = re.compile(r"\b(?:an|the)\b(?![+#-])")
# That of "vitamin A" and of the option "A) Rome" is none.
_ARTICLE_A = re.compile(r"\ba(?=\s+[\"'“‘(*]?\w)")
_INITIALS = re.compile(r"(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)")
_DASHES = re.compile(r"−|(?<![\w)])[–－](?=\.?\d)")
_WHOLE_PART = re.compile(r"(?<![\w./])(-?\d{1,15}) +(\d{1,15})/(\d{1,15})(?![\w/]|\.\d)")
_FRACTION = re.compile(r"(?<![\w./])(-?\d{1,15})/(\d{1,15})(?![\w/]|\.\d)")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# What is done with numbers and letters, so that x + 3 is another thing than x * 3 or x 3.
_OPERAND = r"\d|[^\W\d_](?![^\W\d_])"
_OPERATION = re.compile(
    rf"(?:(?<=[\d)²³])|(?<=(?<![^\W\d_])[^\W\d_])) *([+*/×·÷]) *(?=-?(?:{_OPERAND}|[(√]))"
)
# Of letters, as "4/5" is a number: "km/h" is a unit.
_DIVIDED = re.compile(
    r"(?:(?<=(?<![^\W\d_])[^\W\d_])/(?=-?(?:\d|[^\W\d_](?![^\W\d_])|[(√]))"
    r"|(?<=[\d)])/(?=-?(?:[^\W\d_](?![^\W\d_])|[(√])))"
)
_OPERATORS = str.maketrans("*·÷", "××/")
_HALF_OPEN = re.compile(r"\s*(?:\[[^\[\]()]*,[^\[\]()]*\)|\([^\[\]()]*,[^\[\]()]*\])\s*")
# Signs that make another thing of a word stay: C++, C#, A-, the minus and the point of "-0.5 °C",
# and so do those of mathematics.
_MATHEMATICS = re.compile("[<>±×÷√∞≤≥≠∪∩∈]")
_PUNCTUATION = re.compile(
    rf"(?<![\w+#])[+#]|(?<!\w)-(?!\.?\d|(?:{_OPERAND})(?!-)|[√∞])|(?<=\w)-(?=\w)|(?<=[^\W\d])\.|(?<=\.)\.|\.(?!\d)"
    r"|[^\w\s+#.<>±×÷√∞≤≥≠∪∩∈-]"
)
# Letters of other widths and ligatures; a power such as x² is none.
_WIDTHS = re.compile("[ﬀ-ﬆ！-～]")
_ASSIGNED = re.compile(r"\s*\\?[\[($]*\s*[A-Za-z]\s*=\s*(?=[^\s=])")
_OPTION = re.compile(
    r"\A\W*(?:(?:thus|so|hence|therefore)\W*)?(?:option|choice|letter|选项)\s*(?=[(（]?[A-Ja-j]\W*\Z)",
    re.IGNORECASE,
)
_CURRENCY = re.compile("[$€£¥₹₩₽₺]")
_WITH_SPACES = re.compile(r"[-−–+]?\$?\d{1,3}(?:([ _])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_POWER_OF_TEN = re.compile(
    r"(?P<digits>[-−–+]?\d{1,15}(?:\.\d{1,15})?)"
    r"(?:e|\s?[×x*·]\s?10\s?(?:\^|\*\*)\s?)\(?(?P<power>[-−–+]?\d{1,3})\)?",
    re.IGNORECASE,
)
# Of Chinese, Japanese, Thai, Lao, Burmese and Khmer, which leave no blanks between words.
_UNPARTED = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)
_VERDICT = re.compile(r"(\bnot\s+|n['’]t\s+)?\b(yes|no|true|false)\b")


@versioned("8")
def exact(answer: str, golds: Sequence[str]) -> float | None:
    """1 if the answer equals a gold: as numbers, else without case, punctuation, articles.

    Signs that make another word stay (`C++`, `C#`, `AB-`), and so does a text that holds
    nothing but articles or punctuation; version 1 dropped both. Version 2 took the numbers inside
    a text apart at their point; to version 3, `U.S.` was another thing than `US`. Version 4
    read LaTeX in no gold, the list `1,2` as 12, `4/5` as `4 5`, no en dash as a minus, and one
    letter in two encodings as two; and `(A)` was another thing than `A`. To version 5, `x - 3` was
    `x + 3`, `a < b` was `a > b`, and `[1, 2)` was `(1, 2)`. Version 6 read `1/2` as another number
    than `0.5`, `x = 5` as another than `5`, `option B` as another than `B`, `a/b` as `b/a`, and
    `€5` as `$5`. Version 7 took the last letter of `vitamin A` for an article.

    Example:
        >>> exact("The Eiffel Tower.", ["eiffel tower"]), exact("$1,000", ["1000.0"])
        (1.0, 1.0)
        >>> exact("C++", ["C"])
        0.0
    """
    if not (golds := _known(golds)):
        return None
    return float(any(_is_same(answer, gold) for gold in golds))


@versioned("8")
def f1(answer: str, golds: Sequence[str]) -> float | None:
    """Overlap of words between answer and gold, as the harmonic mean of precision and recall.

    Words as in `exact`, also in their changes from version to version, counted as often as they
    occur (SQuAD, arXiv 1606.05250, section 6.1); of Chinese and other scripts without blanks
    each letter is one, which version 7 did not know. DROP has its own, `drop_f1`.

    Example:
        >>> f1("the red ball", ["a red big ball"])
        0.8
    """
    if not (golds := _known(golds)):
        return None
    return _best(lambda predicted, gold: _overlap(predicted.split(), gold.split()), answer, golds)


@versioned("7")
def contains(answer: str, golds: Sequence[str]) -> float | None:
    """1 if the words of a gold stand in the answer, one after the other.

    Lenient, as published Bamboogle figures are: "not 42" holds 42. Whole words only, and words
    as in `exact`, from version 4 on with its changes; version 6 took Chinese, which leaves no
    blanks, for one word.

    Example:
        >>> contains("It was James Madison, I think", ["james madison"]), contains("142", ["42"])
        (1.0, 0.0)
        >>> contains("It is 3.50 kg", ["3.5"]), contains("about 3.75 apples", ["3"])
        (1.0, 0.0)
    """
    if not (golds := _known(golds)):
        return None
    return _best(lambda predicted, gold: float(f" {gold} " in f" {predicted} "), answer, golds)


@versioned("3")
def yes_no(answer: str, golds: Sequence[str]) -> float | None:
    """1 if answer and gold are both yes (or true) or both no (or false).

    The answer's verdict is its first word, else the only verdict in it; one that holds none, or
    both, is wrong. A gold that is neither cannot be scored. "Not true" is no; to version 1 it
    was yes. Version 2 read no LaTeX.

    Example:
        >>> yes_no("Yes, it can.", ["yes"]), yes_no("It is false", ["no"]), yes_no("42", ["no"])
        (1.0, 1.0, 0.0)
    """
    known = {verdict for gold in golds if (verdict := _verdict(gold)) is not None}
    if not known:
        return None
    return float(_verdict(answer) in known)


def _known(golds: Sequence[str]) -> list[str]:
    return [gold for gold in golds if gold.strip()]


def _is_same(answer: str, gold: str) -> bool:
    """Whether two answers are one number or one text, and are not of two currencies."""
    currencies = [set(_CURRENCY.findall(without_latex(text))) for text in (answer, gold)]
    if all(currencies) and not currencies[0] & currencies[1]:
        return False
    if bool(_ASSIGNED.match(answer)) != bool(_ASSIGNED.match(gold)):
        answer, gold = _without_name(answer), _without_name(gold)
    answer, gold = _OPTION.sub("", answer), _OPTION.sub("", gold)
    if any(map(str.__eq__, _readings(answer), _readings(gold))):
        return True
    values = [_value(text) for text in (answer, gold)]
    # 2/4 is not yet 1/2: where both are fractions, their writing counts.
    fractions = sum("/" in without_latex(text) or "⁄" in text for text in (answer, gold))
    return values[0] is not None and values[0] == values[1] and fractions < 2


def _without_name(text: str) -> str:
    r"""A text without the `x =` before it, in mathematics or not.

    Example:
        >>> _without_name(r"$x = \frac12$")
        '\\frac12'
    """
    match = _ASSIGNED.match(text)
    return text[match.end() :].strip(" $").removesuffix("\\)") if match else text


def _value(text: str) -> Decimal | None:
    """The number that a text is, also as a fraction, with a power of ten, thousands apart."""
    plain = _VULGAR.sub(_spelled, without_latex(text)).strip().rstrip(".")
    if _WITH_SPACES.fullmatch(plain):
        plain = plain.replace(" ", "").replace("_", "")
    if power := _POWER_OF_TEN.fullmatch(plain):
        digits, exponent = (re.sub("[−–]", "-", power[name]) for name in ("digits", "power"))
        return Decimal(digits).scaleb(int(exponent))
    number = as_number(plain)
    return fraction_value(plain) if number is None else number


def _best(points: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """Points against the best gold, initials read as one word (`US`) and as several (`J. K.`)."""
    predicted = [*map(_parted, _readings(answer))]
    known = ([*map(_parted, _readings(gold))] for gold in golds)
    pairs = (pair for gold in known for pair in zip(predicted, gold, strict=True))
    return max(points(*pair) for pair in pairs)


def _parted(text: str) -> str:
    """A text with a blank around each letter of scripts whose words have none between them."""
    return " ".join(_UNPARTED.sub(r" \g<0> ", text).split())


def _readings(text: str) -> tuple[str, str]:
    return _normalized(text), _normalized(_INITIALS.sub("", text))


def _verdict(text: str) -> bool | None:
    text = without_latex(text).lower().strip().lstrip("\"'*([ ")
    verdicts = [
        (word in ("yes", "true")) != bool(denied) for denied, word in _VERDICT.findall(text)
    ]
    if not verdicts:
        return None
    return verdicts[0] if _VERDICT.match(text) or len(set(verdicts)) == 1 else None


def _overlap(answer: list[str], gold: list[str]) -> float:
    common = (Counter(answer) & Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(answer), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def _normalized(text: str) -> str:
    text = unicodedata.normalize("NFC", _VULGAR.sub(_spelled, without_latex(text)))
    text = _WIDTHS.sub(lambda sign: unicodedata.normalize("NFKC", sign[0]), text)
    if as_number(text) is not None:
        return _plain(text)
    plain = _DASHES.sub("-", _THOUSANDS.sub("", text.lower()))
    plain = _ARTICLE_A.sub(" ", plain)
    plain = _OPERATION.sub(lambda match: match[1].translate(_OPERATORS), plain)
    plain = _DIVIDED.sub("÷", plain)
    half_open = f" {plain.strip()[0]}{plain.strip()[-1]}" if _HALF_OPEN.fullmatch(plain) else ""
    plain = _FRACTION.sub(r"\1over\2", _improper(plain))
    plain = _MATHEMATICS.sub(r" \g<0> ", _PUNCTUATION.sub(_blank, plain)) + half_open
    words = " ".join(map(_plain, _ARTICLES.sub(" ", plain).split()))
    return words or " ".join(plain.split()) or " ".join(text.lower().split())


def _blank(sign: re.Match[str]) -> str:
    """A blank, except for signs that are part of the letter before them, as in Hindi."""
    return sign[0] if unicodedata.category(sign[0]).startswith("M") else " "


def _spelled(sign: re.Match[str]) -> str:
    """A fraction of one sign in several, behind a blank: 1 1/2 for 1½."""
    return " " + unicodedata.normalize("NFKC", sign[0]).replace("⁄", "/")


def _improper(text: str) -> str:
    """A text whose mixed numbers are fractions: 9/5 for 1 4/5."""

    def fraction(mixed: re.Match[str]) -> str:
        whole, over, under = map(int, mixed.groups())
        sign = "-" if mixed[1].startswith("-") else ""
        return f"{sign}{abs(whole) * under + over}/{under}"

    return _WHOLE_PART.sub(fraction, text)


def _plain(word: str) -> str:
    number = as_number(word)
    return word if number is None else f"{number or abs(number):f}"
