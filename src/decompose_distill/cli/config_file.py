"""Settings of a command in a file: read, checked, and written beside what the command makes."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from decompose_distill.cli.settings import Setting
from decompose_distill.cli.values import nearest
from decompose_distill.errors import ConfigError, DataError, MissingExtraError

_CREDENTIALS = re.compile(r"(https?://)[^/\s]*@")
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")


def read_settings(path: Path, settings: Sequence[Setting]) -> dict[str, Any]:
    """The values that a file gives to settings, each of its field's type.

    Raises:
        ConfigError: A key is unknown, or a value of another type; file and key are named.
        DataError: The file is missing or malformed.
        MissingExtraError: It is YAML, and PyYAML is not installed.
    """
    known = {setting.name: setting for setting in settings}
    values = {}
    for key, value in _load(path).items():
        if key not in known:
            raise ConfigError(f"{path}: unknown key {key!r}; {nearest(key, [*known])}")
        values[key] = known[key].read(value, str(path))
    return values


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: no such configuration file")
    loaders = {".toml": _toml, ".yaml": _yaml, ".yml": _yaml}
    if path.suffix not in loaders:
        raise ConfigError(f"{path}: a configuration file ends in .toml or .yaml")
    try:
        return loaders[path.suffix](path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _toml(text: str, path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: not TOML: {error}") from None


def _yaml(text: str, path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(f"{path} needs PyYAML: pip install pyyaml, or write TOML") from None
    try:
        rows = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(rows, dict | None):
        raise DataError(f"{path}: expected keys with values, found {type(rows).__name__}")
    return {str(key): value for key, value in (rows or {}).items() if value is not None}


def to_toml(values: Mapping[str, Any]) -> str:
    """Settings as a file that reads back as the same; credentials in addresses are left out.

    Example:
        >>> print(to_toml({"samples": 4, "base_url": "http://me:secret@host/v1"}), end="")
        samples = 4
        base_url = "http://host/v1"
    """
    return "".join(
        f"{name} = {_value(value)}\n" for name, value in values.items() if value is not None
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(name)} = {_value(each)}" for name, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    return _quoted(_QUERY.sub(r"\1", _CREDENTIALS.sub(r"\1", str(value))))


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return (
        '"'
        + "".join(
            escapes.get(sign)
            or (sign if sign.isprintable() or sign == " " else f"\\U{ord(sign):08X}")
            for sign in text
        )
        + '"'
    )
