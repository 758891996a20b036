"""A student on disk: an ordinary Hugging Face directory with a manifest, whole or absent."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from decompose_distill.errors import CheckpointError, ConfigError
from decompose_distill.pretrained import save_model
from decompose_distill.prompts import Prompt
from decompose_distill.training.examples import Role
from decompose_distill.types import Sampling

FORMAT = 1
MANIFEST = "decompose_distill.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint is and how it came to be."""

    role: Role
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

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain data."""
        return {
            "format": FORMAT,
            "role": self.role,
            "prompt": self.prompt.to_json(),
            "sampling": asdict(self.sampling),
            "base_model": self.base_model,
            "data": self.data,
            "config": self.config,
            "figures": self.figures,
            "versions": self.versions,
        }


def check_output_dir(output_dir: str | Path) -> Path:
    """Make sure that a checkpoint can be put there.

    Raises:
        ConfigError: Something else is there already.
    """
    path = Path(output_dir)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ConfigError(f"output_dir {path} exists with other content: name a new directory")
    return path


def save_checkpoint(output_dir: Path, model: Any, tokenizer: Any, manifest: Manifest) -> Path:
    """Write a student beside its place and move it there whole; the manifest is written last.

    Raises:
        CheckpointError: It could not be written; nothing is left at `output_dir`.
    """
    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save_model(model, tokenizer, partial)
        with (partial / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest.to_json(), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        if output_dir.exists():
            output_dir.rmdir()  # empty, or it is not ours to remove
        partial.replace(output_dir)
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint to {output_dir}: {error}") from error
    return output_dir


def load_manifest(checkpoint: str | Path, *, role: Role) -> Manifest:
    """Read a checkpoint's manifest and check that it can serve a role.

    Raises:
        CheckpointError: It is missing, incomplete, of another format or for another role.
    """
    path = Path(checkpoint) / MANIFEST
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint} is no complete checkpoint of distill(): {MANIFEST} is missing"
        )
    try:
        manifest = _read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error
    if manifest.role != role:
        raise CheckpointError(
            f"{checkpoint} was trained as {manifest.role}, not as {role}: load it with "
            f"{manifest.role.capitalize()}.from_pretrained"
        )
    return manifest


def _read(row: Mapping[str, Any]) -> Manifest:
    if row["format"] != FORMAT:
        raise ValueError(f"format {row['format']}; this version reads format {FORMAT}")
    if row["role"] not in get_args(Role):
        raise ValueError(f"unknown role {row['role']!r}")
    prompt, sampling = Prompt.from_json(row["prompt"]), Sampling(**row["sampling"])
    rest = (row[name] for name in ("base_model", "data", "config", "figures", "versions"))
    return Manifest(row["role"], prompt, sampling, *rest)
