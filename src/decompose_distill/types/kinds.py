"""Fields of values are of the types they are annotated with, which is told where one is made."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from decompose_distill.errors import wrong_kind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_ABSTRACT: Mapping[Any, type] = {int: Integral, float: Real}
"""So that numbers of numpy are numbers too."""
_WORDS = {
    str: "text",
    Integral: "a whole number",
    Real: "a number",
    bool: "True or False",
    tuple: "a tuple",
    NoneType: "None",
}


def check_kinds_of(value: "DataclassInstance") -> None:
    """Refuse a dataclass with a field of another type than its annotation's.

    Only what `isinstance` can tell is looked at: texts, numbers, classes, and unions of them.

    Raises:
        ConfigError: A field is of another type; the message names it.

    Example:
        >>> from decompose_distill.types import Sampling
        >>> check_kinds_of(Sampling(temperature=0.7))
    """
    for name, kinds in _kinds(type(value)).items():
        if not isinstance(field := getattr(value, name), kinds):
            words = dict.fromkeys(_WORDS.get(kind, kind.__name__) for kind in kinds)
            raise wrong_kind(name, field, " or ".join(words))


@cache
def _kinds(dataclass: type[Any]) -> Mapping[str, tuple[type, ...]]:
    hints = get_type_hints(dataclass)
    kinds = {field.name: tuple(_types(hints[field.name])) for field in fields(dataclass)}
    return {name: types for name, types in kinds.items() if object not in types}


def _types(hint: Any) -> Iterator[type]:
    """What `isinstance` can look for; `object` for what it cannot tell."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        for part in get_args(hint):
            yield from _types(part)
    elif origin is tuple:
        yield tuple
    else:
        yield _ABSTRACT.get(hint, hint) if isinstance(hint, type) else object
