"""A student's backend and how it is asked, from where it lies; the same for both roles."""

from pathlib import Path
from typing import Any, TypedDict

from decompose_distill.backend import Backend, check_kinds
from decompose_distill.errors import ConfigError
from decompose_distill.prompts import Prompt
from decompose_distill.types import Role, Sampling


class Asking(TypedDict):
    """How a student is asked, as its manifest says."""

    prompt: Prompt
    sampling: Sampling


def load_pretrained(
    checkpoint: str | Path,
    role: Role,
    backend: Backend | None,
    revision: str | None,
    **local: Any,
) -> tuple[Backend, Asking]:
    """The backend that runs a student, and the prompt and sampling it was trained for.

    Args:
        checkpoint: Folder that `distill` wrote, or a hub id.
        role: What it must have been trained as.
        backend: A server that has its weights; by default they are loaded here.
        revision: Of a hub id.
        local: Options of `TransformersBackend`, for weights that are loaded here.

    Raises:
        CheckpointError: It is not a complete checkpoint of that role, or a file of it is not what
            training saved.
        ConfigError: `backend` is of another type, or stands beside options of local weights.
    """
    from decompose_distill.training.checkpoints.fetching import find_checkpoint
    from decompose_distill.training.checkpoints.manifest import load_manifest

    options = {name: value for name, value in local.items() if value is not None}
    if backend is not None and options:
        raise ConfigError(
            f"{next(iter(options))} goes with weights loaded here, not with a backend"
        )
    folder = find_checkpoint(checkpoint, revision=revision, weights=backend is None)
    manifest = load_manifest(folder, role=role)
    asking = Asking(prompt=manifest.prompt, sampling=manifest.sampling)
    if backend is not None:
        check_kinds(backend, manifest.sampling)
        return backend, asking
    from decompose_distill.backends.transformers import TransformersBackend
    from decompose_distill.training.checkpoints.checkpoint import check_files

    check_files(folder, manifest)
    return TransformersBackend(folder, **options), asking
