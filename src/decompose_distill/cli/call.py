"""One call of a command: what it prints and logs, where it writes, and how it ends."""

import errno
import glob
import inspect
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer

from decompose_distill.cli.settings import (
    REQUIRED,
    Setting,
    arguments_of,
    read_settings,
    settings_of,
    to_toml,
)
from decompose_distill.cli.values import choices, is_list
from decompose_distill.console import exit_code, printable, say
from decompose_distill.errors import ConfigError, DataError, DecomposeDistillError
from decompose_distill.storage.atomic import write_text


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def shown_on_stderr(*, verbose: bool) -> Iterator[None]:
    """Show warnings as one line each, and with `verbose` all that this package logs."""
    logger, handler = logging.getLogger("decompose_distill"), _Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


SCHEMA = 1
"""Version of what `--json` prints."""
SETTINGS = ".config.toml"
"""What is added to the name of an output for the settings it was made with."""

Config = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="TOML or YAML file of these settings; options go before it."),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log retries, pauses and limits.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


@dataclass(frozen=True, slots=True)
class Call:
    """What a command knows of its call beside its arguments."""

    command: str
    as_json: bool
    values: Mapping[str, Any]
    """Every setting, as it holds."""
    first: bool = True
    """Whether this is the process of a job that prints and writes."""

    def say(self, line: object) -> None:
        """Print a line for people, beside the result of `--json`."""
        if self.first:
            print(printable(str(line)), file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def show(self, result: object, **fields: Any) -> None:
        """Print the result: as it reads, or as JSON of the fields."""
        if self.as_json and self.first:
            print(json.dumps({"schema": SCHEMA, "command": self.command, **fields}, indent=2))
        else:
            self.say(result)

    @contextmanager
    def writing(self, output: Path, *, folder: bool = False, kept: str = "") -> Iterator[None]:
        """Make sure that the output can be written, and keep the settings beside it.

        A wrong call leaves what was there before.

        Args:
            output: A file, created or continued.
            folder: Whether it is a folder.
            kept: What is there after Ctrl-C, for the same command to go on from.

        Raises:
            ConfigError: The output cannot be written there.
        """
        if not self.first:
            yield
            return
        _check_kind(output, folder=folder)
        beside = output.absolute()
        path = beside.with_name(f"{beside.name}{SETTINGS}")
        before = path.read_bytes() if path.is_file() else None
        there, new = _work(beside), [*_missing_folders(beside)]
        self._keep_settings(path, output)
        try:
            yield
        except DecomposeDistillError as error:
            if isinstance(error, ConfigError | DataError) or _work(beside) == there:
                path.unlink() if before is None else path.write_bytes(before)
                _remove_empty(new)
            raise
        except KeyboardInterrupt as stop:
            words = f"{output} keeps {kept}; the same command goes on from there" if kept else ""
            raise type(stop)(words) from None

    def _keep_settings(self, path: Path, output: Path) -> None:
        head = f"# decompose-distill {self.command} --config {path.name}\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, head + to_toml(self.values))
            if output.exists() and not os.access(output, os.W_OK):
                raise PermissionError(errno.EACCES, "it may not be changed")
        except OSError as error:
            raise ConfigError(
                f"{output}: cannot write: {error.strerror}; name another place or fix its "
                "permissions"
            ) from error


def _work(output: Path) -> frozenset[tuple[str, int, int]]:
    """What is there of the work, and beside it: names, sizes and times."""
    beside = output.parent.glob(f"{glob.escape(output.name)}.*")
    files = (path for path in beside if not path.name.endswith((SETTINGS, ".lock")))
    there = ((path.name, path.stat()) for path in (output, *files) if path.exists())
    return frozenset((name, facts.st_size, facts.st_mtime_ns) for name, facts in there)


def _missing_folders(output: Path) -> Iterator[Path]:
    """Those that have to be made for it, the innermost first."""
    return takewhile(lambda folder: not folder.exists(), output.parents)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _check_kind(output: Path, *, folder: bool) -> None:
    if folder and output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file: name a folder")
    if output.is_dir() and not folder:
        raise ConfigError(f"{output} is a folder: name a file")


def as_command(
    name: str, function: Callable[..., None], *, with_json: bool = False
) -> Callable[..., None]:
    """A function as typer takes it: its parameters are options, and keys of `--config`.

    A parameter that is a dataclass becomes an option per field.

    Args:
        name: Of the command.
        function: It takes a `Call` first.
        with_json: Whether it has `--json`.
    """
    settings = settings_of(function)

    def run(**arguments: Any) -> None:
        values = _effective(settings, arguments)
        call = Call(name, arguments.get("json", False), values)
        with shown_on_stderr(verbose=arguments["verbose"]), _stopping():
            function(call, **arguments_of(function, values))

    shared: dict[str, Any] = {"config": Config, "verbose": Verbose, "debug": Debug}
    shared |= {"json": Json} if with_json else {}
    parameters = [*map(_parameter, settings), *(_shared(*item) for item in shared.items())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _effective(settings: tuple[Setting, ...], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting: as on the command line, else as in the file, else its default.

    Raises:
        ConfigError: A required one is missing, or a value is wrong.
    """
    values = read_settings(arguments["config"], settings) if arguments["config"] else {}
    for setting in settings:
        if (value := arguments[setting.name]) not in (None, []):
            values[setting.name] = setting.read(value)
    missing = [
        setting
        for setting in settings
        if setting.name not in values and setting.default is REQUIRED
    ]
    if missing:
        names = ", ".join(setting.shown for setting in missing)
        raise ConfigError(f"missing {names}: give it on the command line, or in --config FILE")
    return {setting.name: values.get(setting.name, setting.default) for setting in settings}


def _parameter(setting: Setting) -> inspect.Parameter:
    """A setting for typer, which passes on what was typed: `None` means nothing."""
    kind: Any = bool if setting.kind is bool else list[str] if is_list(setting.kind) else str
    if setting.positional:
        info: Any = typer.Argument(help=str(setting), metavar=setting.shown)
    else:
        info = typer.Option(
            *setting.flags,
            help=str(setting),
            metavar=None if kind is bool else setting.expected,
            autocompletion=_completed(setting),
        )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, info],
    )


def _completed(setting: Setting) -> Callable[[], tuple[str, ...]] | None:
    names = choices(setting.kind)
    return (lambda: names) if names else None


def _shared(name: str, annotation: Any) -> inspect.Parameter:
    default = None if name == "config" else False
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


@contextmanager
def _stopping() -> Iterator[None]:
    """Say what Ctrl-C left, in the words of what was stopped, and end with the code for it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        words = f"; {stop}" if str(stop) else ""
        print(f"stopped{words}", file=sys.stderr, flush=True)
        raise typer.Exit(exit_code(stop)) from None
