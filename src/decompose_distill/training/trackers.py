"""Figures of a training run to TensorBoard, Weights & Biases or Trackio, where asked for."""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from decompose_distill.errors import BackendError, ConfigError, MissingExtraError

ReportTo = Literal["tensorboard", "wandb", "trackio"]
Report = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and its figures."""

PROJECT = "decompose-distill"
"""The project that runs go to, where the tracker has projects."""
RUN_ID = "run_id"
"""File in the folder with the run's id, so that a resumed training continues its run."""


def check_report_to(report_to: ReportTo | None) -> None:
    """Make sure that figures can be reported there, without starting anything.

    Raises:
        ConfigError: There is no such tracker.
        MissingExtraError: Its package is not installed.

    Example:
        >>> check_report_to(None)
    """
    if report_to is None:
        return
    if report_to not in _TRACKERS:
        raise ConfigError(f"report_to must be one of {', '.join(_TRACKERS)}, not {report_to!r}")
    if importlib.util.find_spec(report_to) is None:
        raise MissingExtraError(f"report_to={report_to!r} needs: pip install {report_to}")


@contextmanager
def reporting(
    report_to: ReportTo | None, folder: Path, settings: Mapping[str, object]
) -> Iterator[Report]:
    """Open a run with a tracker, to be closed with the block.

    The run continues the one that was opened in the same folder before.

    Args:
        report_to: The tracker; `None` for one that forgets everything.
        folder: Its name is the run's; TensorBoard and Weights & Biases write into it.
        settings: Stored with the run.

    Raises:
        ConfigError: There is no such tracker.
        MissingExtraError: Its package is not installed.
        BackendError: The tracker cannot start, as without a login.

    Example:
        >>> with reporting(None, Path("runs/student"), {}) as report:
        ...     report(1, {"loss": 0.5})
    """
    check_report_to(report_to)
    if report_to is None:
        yield lambda step, values: None
        return
    with _TRACKERS[report_to](folder, settings) as report:
        yield report


@contextmanager
def _tensorboard(folder: Path, settings: Mapping[str, object]) -> Iterator[Report]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        text = json.dumps(settings, indent=2, default=str)
        writer.add_text("settings", f"```json\n{text}\n```")

        def report(step: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        yield report


@contextmanager
def _wandb(folder: Path, settings: Mapping[str, object]) -> Iterator[Report]:
    run = _start(
        "wandb",
        id=_run_id(folder),
        name=folder.name,
        dir=str(folder),
        config=dict(settings),
        reinit="create_new",  # a run that the caller has open stays the caller's
    )
    exit_code = 1
    try:
        yield lambda step, values: run.log(dict(values), step=step)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


@contextmanager
def _trackio(folder: Path, settings: Mapping[str, object]) -> Iterator[Report]:
    # Trackio finds a run again by its name, which must then be this run's alone.
    name = f"{folder.name}-{_run_id(folder)}"
    run = _start("trackio", name=name, config=dict(settings))
    try:
        yield lambda step, values: run.log(dict(values), step=step)
    finally:
        importlib.import_module("trackio").finish()  # run.finish() would be repeated at exit


_TRACKERS: dict[str, Callable[[Path, Mapping[str, object]], AbstractContextManager[Report]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def _start(package: ReportTo, **options: Any) -> Any:
    """Open a run with a package that has the interface of wandb."""
    tracker = importlib.import_module(package)
    try:
        return tracker.init(project=PROJECT, resume="allow", **options)
    except Exception as error:  # trackers raise all kinds
        raise BackendError(f"report_to={package!r} cannot start: {error}") from error


def _run_id(folder: Path) -> str:
    """An id that lives as long as the folder: two folders of one name are two runs."""
    path = folder / RUN_ID
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(uuid4().hex[:8], encoding="utf-8")
    return path.read_text(encoding="utf-8")
