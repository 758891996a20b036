"""The state of an unfinished run on disk, so that it goes on exactly where it was."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from decompose_distill.errors import CheckpointError, ConfigError
from decompose_distill.storage.atomic import sync, write_text
from decompose_distill.training.engine.optimizer import Optimizer
from decompose_distill.training.engine.ranks import ALONE, Ranks
from decompose_distill.training.engine.sharding import read_parts, write_parts

_RUN = "run.json"
_WEIGHTS = "state.safetensors"
_MARK = "state.json"
"""Written last: a state without it is a torn one."""


@dataclass(frozen=True, slots=True)
class TrainState:
    """How far a run is, and how it went."""

    step: int = 0
    losses: tuple[float, ...] = ()
    """Of each step so far."""
    validation: tuple[tuple[int, float], ...] = ()
    """Step and loss of each validation so far."""
    seconds: float = 0.0
    """Of training, without pauses between calls."""

    @property
    def best_step(self) -> int:
        """Step with the smallest validation loss, else the last one."""
        return min(self.validation, key=lambda point: point[1])[0] if self.validation else self.step

    @property
    def stale(self) -> int:
        """Validations since the best one."""
        return sum(step > self.best_step for step, _ in self.validation)


def begin(folder: Path, run: Mapping[str, Any]) -> None:
    """Open the folder of a run, new or unfinished.

    Raises:
        ConfigError: It holds an unfinished run of other settings or data.
    """
    path, run = folder / _RUN, json.loads(json.dumps(run))  # as it reads back: tuples are lists
    if has_begun(folder):
        before = _read(path)
        if changed := [name for name in run if before.get(name) != run[name]]:
            name = changed[0]
            raise ConfigError(
                f"{folder} holds an unfinished run with another {name}: "
                f"{before.get(name)} there, {run[name]} now. Call with its settings to go on, "
                "remove that folder to start anew, or name another output_dir"
            )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(run, indent=2))


def begun_on(folder: Path) -> date:
    """The day whose date an unfinished run shows in its prompts; today for a new one."""
    if not has_begun(folder):
        return datetime.now().date()
    template = _read(folder / _RUN).get("template") or {}
    day = template.get("day")
    return date.fromisoformat(day) if day else datetime.now().date()


def has_begun(folder: Path) -> bool:
    """Whether a run was opened there."""
    return (folder / _RUN).is_file()


def save_state(
    folder: Path, optimizer: Optimizer, progress: TrainState, ranks: Ranks = ALONE
) -> None:
    """Write a state durably, and remove those that are neither the newest nor the best.

    The first process writes it, or each its part if weights are split, and the mark is last.

    Raises:
        CheckpointError: It could not be written; the states before are still there.
    """
    directory = _state_folder(folder, progress.step)
    try:
        ranks.once(lambda: _clear(directory))
        if optimizer.split:
            write_parts(optimizer.state(), directory)
        elif ranks.first:
            save_file(optimizer.state(), directory / _WEIGHTS)
        files = ranks.once(lambda: sorted(path.name for path in directory.glob("*.safetensors")))
        for name in files[ranks.rank :: ranks.size]:
            sync(directory / name)
        digests = _hash_in_turns(directory, files, ranks)
        if ranks.first:
            content = {"files": digests} if optimizer.split else {"sha256": digests[_WEIGHTS]}
            write_text(directory / _MARK, json.dumps(asdict(progress) | content))
    except (OSError, SafetensorError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        left = load_progress(folder).step
        raise CheckpointError(
            f"cannot write the state of step {progress.step} to {folder}: {error}. Free some "
            f"space and call again: the run goes on from step {left}"
        ) from error
    for other in folder.glob("step-*") if ranks.first else ():
        if other not in (directory, _state_folder(folder, progress.best_step)):
            shutil.rmtree(other)


def _clear(directory: Path) -> None:
    """Make an empty folder; a killed run may have left parts there, of other processes."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir()


def _hash_in_turns(directory: Path, files: Sequence[str], ranks: Ranks) -> dict[str, str]:
    """SHA-256 of files, of which each process reads its share."""
    mine = {name: hash_file(directory / name) for name in files[ranks.rank :: ranks.size]}
    return {name: digest for part in ranks.gather(mine) for name, digest in part.items()}


def load_progress(folder: Path) -> TrainState:
    """Progress of the newest whole state, or none."""
    whole = sorted(path.parent for path in folder.glob(f"step-*/{_MARK}"))
    if not whole:
        return TrainState()
    row = _read(whole[-1] / _MARK)
    try:
        validation = tuple((step, loss) for step, loss in row["validation"])
        return TrainState(row["step"], tuple(row["losses"]), validation, row["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{whole[-1] / _MARK} is damaged: {error!r}; remove {whole[-1]} to go on from the "
            "state before"
        ) from error


def load_state(folder: Path, optimizer: Optimizer, step: int, ranks: Ranks = ALONE) -> None:
    """Put weights and moments of a step back, on as many processes as there are now.

    Raises:
        CheckpointError: The state is damaged, or of another model.
    """
    directory = _state_folder(folder, step)
    mark = _read(directory / _MARK)
    digests = mark.get("files") or {_WEIGHTS: mark.get("sha256")}
    path = directory if "files" in mark else directory / _WEIGHTS
    try:
        read = _hash_in_turns(directory, list(digests), ranks)
        for name, digest in digests.items():  # none in states of earlier versions
            if digest not in (None, read[name]):
                raise OSError(f"the content of {name} is not what was written")
        if optimizer.split or "files" in mark:
            optimizer.load(read_parts(optimizer.blank, directory), step)
        else:
            optimizer.load(load_file(path), step)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is damaged: {error}; remove {folder} to start anew"
        ) from error


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; remove it to start anew") from error
    return row


def _state_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"
