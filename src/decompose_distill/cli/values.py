"""Values of the command line and of configuration files, converted to the types of fields."""

import math
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from decompose_distill.errors import nearest


def convert(value: object, kind: Any) -> Any:
    """A value as a field of that type has it; text is read, other types must fit.

    Raises:
        ValueError: It does not; the message says what it must be.

    Example:
        >>> convert("8", int), convert(0.5, float), convert("1,2", tuple[int, ...])
        (8, 0.5, (1, 2))
    """
    kind, optional = _without_none(kind)
    if optional and (value is None or (value == "none" and kind in (int, float, Decimal))):
        return None
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind))
    if get_origin(kind) is tuple:
        return tuple(convert(part, get_args(kind)[0]) for part in _parts(value))
    if get_origin(kind) is not None:
        return _pairs(value)
    return _READ[kind](value)


def expected(kind: Any) -> str:
    """What may be given for a type, such as `NUMBER` or `one|other`.

    Example:
        >>> expected(float | None), expected(Literal["cosine", "linear"])
        ('NUMBER', 'cosine|linear')
    """
    kind, _ = _without_none(kind)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"{expected(get_args(kind)[0])},..."
    if get_origin(kind) is not None:
        return "NAME=FIELD,..."
    return {int: "INTEGER", float: "NUMBER", Decimal: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def is_list(kind: Any) -> bool:
    """Whether an option of that type may be given several times."""
    return get_origin(_without_none(kind)[0]) is tuple


def choices(kind: Any) -> tuple[str, ...]:
    """The values that may be given, if they are few."""
    kind, _ = _without_none(kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _without_none(kind: Any) -> tuple[Any, bool]:
    """The first type of a union, and whether the value may be missing."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, False
    kinds = get_args(kind)
    return next(member for member in kinds if member is not type(None)), type(None) in kinds


def _choice(value: object, known: Sequence[str]) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"cannot be {value!r}; {nearest(str(value), known)}")


def _parts(value: object) -> list[Any]:
    values = value if isinstance(value, list | tuple) else [value]
    return [
        part for item in values for part in (item.split(",") if isinstance(item, str) else [item])
    ]


def _pairs(value: object) -> dict[str, str]:
    """`{"question": "frage"}`, or the same as `question=frage,...`."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        parted = (pair.partition("=") for pair in str(value).split(","))
        pairs = [(name.strip(), field.strip()) for name, _, field in parted]
    if not all(isinstance(part, str) and part for pair in pairs for part in pair):
        raise ValueError(f"must be written NAME=FIELD,NAME=FIELD, as question=frage, not {value!r}")
    return dict(pairs)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    return value


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"must be a path, not {value!r}")
    return Path(value)


def _integer(value: object) -> int:
    if not isinstance(value, bool):
        with suppress(ValueError):
            return int(str(value))
    raise ValueError(f"must be a whole number, not {value!r}")


def _number(value: object) -> float:
    return float(_decimal(value))


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"must be a number, not {value!r}")
    return number


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r}")
    return value


_READ = {
    str: _text,
    Path: _path,
    int: _integer,
    float: _number,
    Decimal: _decimal,
    bool: _yes_or_no,
}
