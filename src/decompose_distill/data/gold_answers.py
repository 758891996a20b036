"""Gold answers as files write them, and options of multiple choice that they name."""

import ast
import json
import math
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from decompose_distill.errors import DataError

T = TypeVar("T")
Row = dict[str, Any]
"""Fields of a question by name."""
MARKER = "####"
"""Stands before the final answer in GSM8K, behind the working."""
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")


def marked_answer(text: str) -> str:
    """What follows the last `####` of an answer as GSM8K writes it; empty without one.

    Example:
        >>> marked_answer("9 * 2 = 18\\n#### 18"), marked_answer("18")
        ('18', '')
    """
    return text.rpartition(MARKER)[2].strip() if MARKER in text else ""


def after_marker(text: str) -> str:
    """What follows the last `####`, else the whole answer.

    Example:
        >>> after_marker("9 * 2 = 18\\n#### 18"), after_marker("18")
        ('18', '18')
    """
    return marked_answer(text) if MARKER in text else text.strip()


def boxed_answer(text: str) -> str:
    """What the last `\\boxed{...}` of a solution in LaTeX holds; empty without one.

    Example:
        >>> boxed_answer(r"So $x = \\boxed{\\frac{3}{4}}$.")
        '\\\\frac{3}{4}'
    """
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return ""
    rest = text[boxes[-1].end() :]
    if not rest.startswith("{"):
        return (re.match(r"[^\s$.,]*", rest) or [""])[0]
    depth = 0
    for end, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return rest[1:end].strip()
    return ""


def answer_text(value: Any, field: str) -> str:
    """A gold answer as text: a whole number without a point, `true` and `false` as yes and no.

    Raises:
        DataError: It is no text, number or boolean, or no finite number; names the field.

    Example:
        >>> [answer_text(value, "answer") for value in (21.0, 2.5, True, "x + y = 3\\n#### 3")]
        ['21', '2.5', 'yes', '3']
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"field {field!r} is {value}: leave it out where there is no answer")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"field {field!r} must hold text or numbers, not {type(value).__name__}")
    final = marked_answer(value)
    return final if final and "\n" not in final else value


def with_golds(question: Row, golds: Iterable[Any], field: str) -> Row:
    """A question with all its accepted answers as text; `field` names them in an error."""
    texts = [answer_text(gold, field) for gold in golds if gold is not None]
    return question | {"answer": [text for text in texts if text.strip()]}


def of_kind(value: object, kind: type[T], field: str) -> T:
    """A value that must be of a type; `field` names it in an error.

    Raises:
        DataError: It is of another type.
    """
    if not isinstance(value, kind):
        raise DataError(f"field {field!r} must be {kind.__name__}, not {type(value).__name__}")
    return value


# Not the 3 of "3.5", "3:30" and "3 : 4".
_MARKED = re.compile(r"\s*\(?([A-Za-z](?=\s?[).:])|\d{1,2}(?=\)|\.\s))\s?[).:]\s*(.*)", re.DOTALL)
_MARK = re.compile(r"(?:^|(?<=[\s,;|(]))([A-Za-z])\s?[).:]\s*")
_COLUMN = re.compile(r"(?:option|choice|op)[ _]?([A-Ha-h]|[1-9])|([A-H])")


@dataclass(frozen=True, slots=True)
class Choice:
    """One option; without a label where the file gives neither label nor order."""

    text: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.label}) {self.text}" if self.label else f"- {self.text}"


def read_choices(value: Any, field: str = "options") -> tuple[Choice, ...]:
    """Options in the shapes of published files; a plain list is labelled A, B, C.

    Takes a list of texts, with labels in front (`A)12`) or without, objects of `label` and
    `text`, an object of two such lists as on the hub, an object of labels, and one text in
    which the labels count up.

    Raises:
        DataError: It has none of these shapes; names the field.

    Example:
        >>> [str(choice) for choice in read_choices(["A)12", "B)15"])]
        ['A) 12', 'B) 15']
        >>> [str(choice) for choice in read_choices({"text": ["red", "blue"], "label": ["1", "2"]})]
        ['1) red', '2) blue']
    """
    value = listed(value, field)
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts, labels = value["text"], value.get("label")
        value = texts if labels is None else _paired(texts, labels, field)
    if isinstance(value, dict):
        value = [{"label": label, "text": text} for label, text in value.items()]
    if not isinstance(value, list | tuple):
        raise DataError(f"field {field!r} must be a list of options, not {type(value).__name__}")
    if value and all(
        isinstance(option, dict) and {"label", "text"} <= set(option) for option in value
    ):
        return tuple(
            Choice(answer_text(option["text"], field), answer_text(option["label"], field))
            for option in value
        )
    if value and all(isinstance(option, Choice) for option in value):
        return tuple(value)
    return _labelled([answer_text(option, field).strip() for option in value])


def columns_of_choices(row: dict[str, Any]) -> dict[str, Any]:
    """Options of a table that has a column for each: `A` to `H`, or such as `option_a`.

    Example:
        >>> columns_of_choices({"question": "Which?", "A": "red", "B": "blue"})
        {'A': 'red', 'B': 'blue'}
    """
    matches = {name: _COLUMN.fullmatch(name) for name in row}
    labels = {name: (match[1] or match[2]).upper() for name, match in matches.items() if match}
    runs = list(labels.values()) in (_letters(len(labels)), _numbers(len(labels)))
    if len(labels) < 2 or not runs:
        return {}
    return {label: row[name] for name, label in labels.items() if row[name] not in (None, "")}


def with_choices(question: str, choices: Sequence[Choice]) -> str:
    """The question as a model gets it, its options below it.

    Example:
        >>> print(with_choices("Which is 3 times 4?", read_choices([12, 15])))
        Which is 3 times 4?
        Options:
        A) 12
        B) 15
    """
    return "\n".join([question.rstrip(), "Options:", *map(str, choices)])


def chosen(key: Any, choices: Sequence[Choice], field: str, *, is_label: bool) -> list[str]:
    """The golds that a key stands for: label and text of the option; none if it is blank.

    Args:
        key: A label, the text of an option, a number from 0, or a list of these.
        choices: The options.
        field: Name of the key's field.
        is_label: Whether the field holds labels, so that "A" never means an option "A".

    Raises:
        DataError: It names no option, or by its label another one than by its text.

    Example:
        >>> choices = read_choices(["red", "blue"])
        >>> [chosen(key, choices, "answer", is_label=False) for key in ("B", "blue", 1)]
        [['B', 'blue'], ['blue', 'B'], ['B', 'blue']]
    """
    if isinstance(key, list):
        return [
            gold for option in key for gold in chosen(option, choices, field, is_label=is_label)
        ]
    if key is None or key == -1 or not (text := answer_text(key, field).strip()):
        return []
    labelled = next(
        (option for option in choices if option.label and _is_label(text, option)), None
    )
    same = next((option for option in choices if option.text.casefold() == text.casefold()), None)
    counted = choices[int(text)] if text.isdecimal() and int(text) < len(choices) else None
    if labelled and same and labelled is not same and not is_label:
        raise DataError(
            f"field {field!r}: {text!r} is the label of one option and the text of another"
        )
    by_number = counted if same is None or isinstance(key, int | float) else None
    if option := labelled or by_number:
        return [gold for gold in (option.label, option.text) if gold]
    if same:
        return [gold for gold in (same.text, same.label) if gold]
    raise DataError(
        f"field {field!r}: {text!r} is none of the options {'; '.join(map(str, choices))}"
    )


def _is_label(text: str, choice: Choice) -> bool:
    """Whether a key is the label, alone or with signs and the option's text behind it."""
    if text.casefold() == choice.label.casefold():
        return True
    match = _MARKED.fullmatch(text)
    return (
        match is not None
        and match[1].casefold() == choice.label.casefold()
        and match[2].strip().casefold() in ("", choice.text.casefold())
    )


def _labelled(texts: list[str]) -> tuple[Choice, ...]:
    """Labels that stand in front of all texts, else letters, else numbers for more than 26."""
    letters, numbers = _letters(len(texts)), _numbers(len(texts))
    marked = [match for match in map(_MARKED.fullmatch, texts) if match]
    labels = [match[1].upper() for match in marked]
    if labels and labels in (letters, numbers):
        return tuple(Choice(match[2].strip(), match[1]) for match in marked)
    return tuple(map(Choice, texts, letters if len(texts) <= len(letters) else numbers))


def _letters(count: int) -> list[str]:
    return list(string.ascii_uppercase[:count])


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def _paired(texts: Any, labels: Any, field: str) -> list[dict[str, Any]]:
    if not isinstance(labels, list) or len(labels) != len(texts):
        raise DataError(f"field {field!r} must hold a label for each of {len(texts)} texts")
    return [{"label": label, "text": text} for label, text in zip(labels, texts, strict=True)]


def listed(value: Any, field: str) -> Any:
    """Options that a table holds in one cell: a list as JSON or Python, or labels in a text.

    Raises:
        DataError: It is neither; names the field.

    Example:
        >>> listed('["red", "blue"]', "options"), listed("a) red b) blue", "options")
        (['red', 'blue'], ['a) red', 'b) blue'])
    """
    if value is None or not isinstance(value, str):
        return value or []
    if not value.strip():
        return []
    if value.lstrip()[0] not in "[{":
        return _cut_at_marks(value, field)
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise DataError(f"field {field!r} must be a list of options, not the text {value[:40]!r}")


def _cut_at_marks(text: str, field: str) -> list[str]:
    """Cut `a ) 38 , b ) 27` at its labels, which stay in front of their options."""
    starts: list[int] = []
    for match in _MARK.finditer(text):
        if match[1].upper() == string.ascii_uppercase[len(starts) % 26]:
            starts.append(match.start())
    if len(starts) < 2:
        raise DataError(f"field {field!r} must be a list of options, not the text {text[:40]!r}")
    ends = [*starts[1:], len(text)]
    return [text[start:end].strip(" ,;|\n\t") for start, end in zip(starts, ends, strict=True)]


def texts_of(values: Iterable[Any], field: str) -> tuple[Choice, ...]:
    """Options that the file neither labels nor orders, sorted, so that no order tells the key.

    Example:
        >>> [str(choice) for choice in texts_of(["red", "blue"], "options")]
        ['- blue', '- red']
    """
    return tuple(map(Choice, sorted(answer_text(value, field).strip() for value in values)))
