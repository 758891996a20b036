"""Gold answers as files write them: behind a marker, in a box, as a number or as yes and no."""

import math
import re
from collections.abc import Iterable
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
