"""Options and file keys of a command, taken from the fields of dataclasses; settings in a file."""

import ast
import dataclasses
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from decompose_distill.cli.values import convert, expected
from decompose_distill.errors import ConfigError, DataError, MissingExtraError, nearest

REQUIRED = dataclasses.MISSING
FLAGS = {"seeds": ("--seed", "--seeds")}
"""Options that are not called as the argument is."""


@dataclass(frozen=True, slots=True)
class Option:
    """Help of a parameter that is an option."""

    help: str


@dataclass(frozen=True, slots=True)
class Argument:
    """Help of a parameter that stands without a name on the command line."""

    help: str


@dataclass(frozen=True, slots=True)
class Only:
    """Which fields of a dataclass are options."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Without:
    """Which fields of a dataclass are no options."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One option or argument of a command, and one key of its configuration file."""

    name: str
    kind: Any
    default: Any = REQUIRED
    help: str = ""
    positional: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is written on the command line; `--batch/--no-batch` for a yes or no."""
        plain = FLAGS.get(self.name, (f"--{self.name.replace('_', '-')}",))
        return (f"{plain[0]}/--no-{plain[0][2:]}",) if self.kind is bool else plain

    @property
    def shown(self) -> str:
        """Its name in messages about the command line."""
        return self.name.upper() if self.positional else self.flags[0].partition("/")[0]

    def read(self, value: object, where: str = "") -> Any:
        """A value of the command line or of a file as the field has it.

        Raises:
            ConfigError: It is something else; the message names the option, or file and key.
        """
        try:
            return convert(value, self.kind)
        except ValueError as error:
            raise ConfigError(
                f"{f'{where}: {self.name}' if where else self.shown} {error}"
            ) from None

    def __str__(self) -> str:
        """The help, with what may be given and what holds otherwise."""
        if self.default is REQUIRED:
            return f"{self.help} [required]"
        return f"{self.help} [default: {self.written}]" if self.written else self.help

    @property
    def written(self) -> str:
        """The default as one would type it; empty if there is none."""
        if self.default is None or self.default is REQUIRED:
            return ""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default))
        return str(self.default)

    @property
    def expected(self) -> str:
        """What may be given, such as `NUMBER` or `one|other`."""
        return expected(self.kind)


def settings_of(function: Callable[..., None]) -> tuple[Setting, ...]:
    """The settings of a command: its parameters, a dataclass among them field by field."""
    return tuple(
        setting
        for parameter in _parameters(function)
        for setting in _settings(parameter.name, parameter.annotation, parameter.default)
    )


def arguments_of(function: Callable[..., None], values: Mapping[str, Any]) -> dict[str, Any]:
    """What a command is called with: its parameters from the values of its settings."""
    return {
        parameter.name: _built(parameter.name, parameter.annotation, values)
        for parameter in _parameters(function)
    }


def _parameters(function: Callable[..., None]) -> Sequence[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[1:]  # the first is the call


def _settings(name: str, annotation: Any, default: Any) -> Iterator[Setting]:
    kind, *notes = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    if dataclasses.is_dataclass(kind):
        yield from _fields(kind, notes)
        return
    default = REQUIRED if default is inspect.Parameter.empty else default
    [note] = notes
    yield Setting(name, kind, default, note.help, isinstance(note, Argument))


def _fields(kind: Any, notes: Sequence[Any]) -> Iterator[Setting]:
    hints, docs = get_type_hints(kind, include_extras=True), field_docs(kind)
    for field in _chosen(kind, notes):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        yield Setting(field.name, hints[field.name], default, docs.get(field.name, ""))


def _chosen(kind: Any, notes: Sequence[Any]) -> list[dataclasses.Field[Any]]:
    fields = list(dataclasses.fields(kind))
    for note in notes:
        fields = [field for field in fields if (field.name in note.names) is isinstance(note, Only)]
    return fields


def _built(name: str, annotation: Any, values: Mapping[str, Any]) -> Any:
    kind, *notes = get_args(annotation) if get_origin(annotation) is Annotated else [annotation]
    if not dataclasses.is_dataclass(kind):
        return values[name]
    make: Any = kind
    names = [field.name for field in _chosen(kind, notes)]
    return make(**{name: values[name] for name in names})


@cache
def field_docs(kind: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, as its source has it, for a terminal."""
    source = ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8"))
    [body] = [
        node.body
        for node in ast.walk(source)
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ]
    return {
        field.target.id: _plain(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _plain(text: str) -> str:
    """One paragraph without Markdown's links and code marks."""
    words = " ".join(text.split())
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", words).replace("`", "")


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
        pairs = (f"{_quoted(name)} = {_value(item)}" for name, item in value.items())
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
