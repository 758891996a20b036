"""The command line: each command a few lines over the public API.

Exit codes: 0 done, 1 the work failed, 2 the call or its input is wrong, 3 the budget is used up,
130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import errno
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import Annotated, cast

import typer

from decompose_distill.cli import asking, evaluating, experiments, installed, interop, training
from decompose_distill.cli.call import as_command
from decompose_distill.console import Terminated, exit_code, printable
from decompose_distill.errors import (
    BudgetExceeded,
    ConfigError,
    DataError,
    DecomposeDistillError,
)

NAME = "decompose-distill"
USAGE_ERROR = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
"""What typer raises for a call it cannot read; it has no public name of its own."""
FULL = (errno.ENOSPC, errno.EDQUOT)
WRONG_PLACE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EISDIR, errno.ENOTDIR),
    *(errno.EEXIST, errno.ENAMETOOLONG),
)

app = typer.Typer(name=NAME, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Split reasoning into decompose and solve, and distil the decomposing."""
    if show_version:
        print(f"{NAME} {version(NAME)}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


COMMANDS: Mapping[str, Callable[..., None]] = {
    "demo": training.demo,
    "plan": asking.plan,
    "collect": asking.collect,
    "merge": asking.merge,
    "audit": training.audit,
    "distill": training.distill,
    "evaluate": evaluating.evaluate,
    "compare": evaluating.compare,
    "paper": experiments.paper,
    "report": experiments.report,
    "export": interop.export,
    "export-student": interop.export_student,
    "import": interop.import_,
    "backends": installed.backends,
    "doctor": installed.doctor,
}
WITH_JSON = {
    *("plan", "collect", "merge", "audit", "distill", "evaluate", "compare", "backends", "doctor"),
}
for name, function in COMMANDS.items():
    run = as_command(name, function, with_json=name in WITH_JSON)
    app.command(name, help=function.__doc__)(run)


def main() -> None:
    """Run the command line: an error is one line on stderr, with `--debug` after its traceback."""
    with _ended_by_sigterm():
        code = _run()
    sys.exit(code)


def _run() -> int:
    try:
        return int(app(prog_name=NAME, standalone_mode=False) or 0)
    except KeyboardInterrupt as stop:
        return exit_code(stop)
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exception(error)
        print(printable(f"error: {_words(error)}"), file=sys.stderr)
        return _exit_code(error)


def _words(error: Exception) -> str:
    """An error on one line."""
    if isinstance(error, USAGE_ERROR):
        words = error.format_message()
    elif isinstance(error, DecomposeDistillError):
        words = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        words = f"{error.filename}: {error.strerror}"
    else:
        words = f"{type(error).__name__}: {error} (--debug shows where)"
    return " ".join(words.split())


def _exit_code(error: Exception) -> int:
    if isinstance(error, BudgetExceeded):
        return 3
    system = _system_error(error)
    if system is not None and system.errno in FULL:
        return 1
    wrong = isinstance(error, USAGE_ERROR | ConfigError | DataError)
    return 2 if wrong or (system is error and system.errno in WRONG_PLACE) else 1


def _system_error(error: BaseException | None) -> OSError | None:
    """What the operating system said, if that is why."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
