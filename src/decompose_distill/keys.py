"""Durable keys: what a value is known by on disk, in this version and all later ones."""

from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar, Protocol


class Keyed(Protocol):
    """A dataclass that is part of durable keys."""

    KEY_FIELDS: ClassVar[tuple[str, ...]]
    """Its fields when keys were first written; they stand in every key, whatever their value."""
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def fingerprint(value: Keyed) -> dict[str, Any]:
    """What tells a value apart in durable keys, as plain data in a fixed order.

    Fields of later versions stand in it only if they differ from their default. So a new field
    changes no key, and what was collected or trained before it is found.

    Example:
        >>> from decompose_distill.types import Sampling
        >>> fingerprint(Sampling(seed=3))
        {'temperature': 0.0, 'top_p': 1.0, 'max_new_tokens': 512, 'seed': 3}
    """
    present: dict[str, Any] = {name: _plain(getattr(value, name)) for name in value.KEY_FIELDS}
    for later in fields(value):
        current = getattr(value, later.name)
        if later.name not in present and current != _default(later):
            present[later.name] = _plain(current)
    return present


def fingerprint_line(name: str, value: Keyed) -> str:
    """The same as one line, `name(field=value, …)`: the form that keys of roles hold.

    Example:
        >>> fingerprint_line("Sampling", Sampling(seed=3))
        'Sampling(temperature=0.0, top_p=1.0, max_new_tokens=512, seed=3)'
    """
    shown = (f"{key}={getattr(value, key)!r}" for key in fingerprint(value))
    return f"{name}({', '.join(shown)})"


def _plain(value: Any) -> Any:
    return fingerprint(value) if hasattr(value, "KEY_FIELDS") else value


def _default(later: Field[Any]) -> Any:
    return later.default if later.default_factory is MISSING else later.default_factory()
