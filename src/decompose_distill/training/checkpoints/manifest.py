"""What a student on disk says of itself, in one file beside its weights; read without torch."""

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from decompose_distill.errors import CheckpointError
from decompose_distill.prompts import Prompt
from decompose_distill.training.data.examples import TARGETS, Role, Target
from decompose_distill.types import Sampling

FORMAT = 1
MANIFEST = "decompose_distill.json"
LOSSES = "losses.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint is and how it came to be."""

    role: Role
    target: Target
    _: KW_ONLY
    prompt: Prompt
    """The prompt it was trained on, and is sampled with."""
    sampling: Sampling
    base_model: str
    data: Mapping[str, Any]
    """Hash and number of the examples, and what the filter dropped."""
    config: Mapping[str, Any]
    figures: Mapping[str, Any]
    """Steps, losses, seconds."""
    versions: Mapping[str, str]
    template: Mapping[str, Any] | None = None
    """What its chat template was made to say; `None` if that was not needed."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that makes the student; none for one of an earlier version."""

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain data."""
        return {
            "format": FORMAT,
            "role": self.role,
            "target": self.target,
            "prompt": self.prompt.to_json(),
            "sampling": asdict(self.sampling),
            "base_model": self.base_model,
            "data": self.data,
            "config": self.config,
            "figures": self.figures,
            "versions": self.versions,
            "template": self.template,
            "files": self.files,
        }


def load_manifest(checkpoint: str | Path, *, role: Role) -> Manifest:
    """Read a checkpoint's manifest and check that it can serve a role.

    Raises:
        CheckpointError: It is missing, incomplete, of another format or for another role.
    """
    manifest = read_manifest_of(checkpoint)
    if manifest.role != role:
        raise CheckpointError(
            f"{checkpoint} was trained as {manifest.role}, not as {role}: load it with "
            f"{manifest.role.capitalize()}.from_pretrained"
        )
    return manifest


def read_manifest_of(checkpoint: str | Path) -> Manifest:
    """Read a checkpoint's manifest whatever its role.

    Raises:
        CheckpointError: It is missing, incomplete or of another format.
    """
    path = Path(checkpoint) / MANIFEST
    if not Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint}: no such folder of a student")
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint} is not a complete distill() checkpoint: {MANIFEST} is missing; name a "
            f"folder that distill wrote, or load a plain model as 'hf:{checkpoint}'"
        )
    return read_manifest(path)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest whatever its role.

    Raises:
        CheckpointError: It is damaged, or of another format.
    """
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["format"] != FORMAT:
            raise CheckpointError(
                f"{path} has format {row['format']}; this version reads format {FORMAT}: load it "
                "with the version of decompose-distill that wrote it, or a newer one"
            )
        return _read(row)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error


def _read(row: Mapping[str, Any]) -> Manifest:
    if row["target"] not in TARGETS.get(row["role"], ()):
        raise ValueError(f"unknown role {row['role']!r} with target {row['target']!r}")
    prompt, sampling = Prompt.from_json(row["prompt"]), Sampling(**row["sampling"])
    always = ("base_model", "data", "config", "figures", "versions")
    rest: dict[str, Any] = {name: row[name] for name in always}
    rest |= {name: row[name] for name in ("template", "files") if name in row}
    for name in rest.get("files", ()):
        if _leads_out(name):
            raise ValueError(f"'files' names {name!r}, which is outside of the folder")
    return Manifest(row["role"], row["target"], prompt=prompt, sampling=sampling, **rest)


def _leads_out(name: str) -> bool:
    """Whether a file's name leads out of the folder that it is said to be in, on any system."""
    return any(
        bool(path.root or path.drive) or ".." in path.parts
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )


@dataclass(frozen=True, slots=True)
class Losses:
    """How the training of a student went, in nats per target token."""

    train: tuple[float, ...]
    """Of each optimizer step."""
    validation: tuple[tuple[int, float], ...] = ()
    """Step and loss of each validation."""


def load_losses(checkpoint: str | Path) -> Losses:
    """Read how the training of a student went; empty for one saved without its losses.

    Example:
        >>> load_losses("runs/none")
        Losses(train=(), validation=())
    """
    path = Path(checkpoint) / LOSSES
    if not path.is_file():
        return Losses(())
    row = json.loads(path.read_text(encoding="utf-8"))
    return Losses(tuple(row["train"]), tuple((step, loss) for step, loss in row["validation"]))
