"""Where a student lies: a folder here, or its copy from the hub."""

from pathlib import Path

from huggingface_hub import hf_hub_download, model_info, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import HFValidationError, validate_repo_id

from decompose_distill.errors import CheckpointError, ConfigError
from decompose_distill.training.checkpoints.manifest import MANIFEST

HUB_SECONDS = 5.0
"""How long the hub may take to say that it knows a student."""


def find_checkpoint(name: str | Path, *, revision: str | None = None, weights: bool = True) -> Path:
    """The folder of a student: the one named, or what the hub has under that id.

    Args:
        name: A folder that `distill` wrote, or a hub id such as `me/student`.
        revision: Branch, tag or commit on the hub; by default its main branch.
        weights: Whether the whole is wanted, or only its manifest.

    Raises:
        CheckpointError: There is no such folder, and nothing on the hub.
        ConfigError: A revision of a folder.

    Example:
        >>> str(find_checkpoint("."))
        '.'
    """
    if Path(name).exists() or not _is_hub_id(str(name)):
        if revision is not None:
            raise ConfigError(f"revision goes with a hub id, not with the folder {name}")
        return Path(name)
    try:
        return _fetch(str(name), revision, weights)
    except Exception as error:  # the hub's client raises all kinds
        raise CheckpointError(f"{name}: no such folder of a student, and {_why(error)}") from error


def _fetch(name: str, revision: str | None, weights: bool) -> Path:
    """The copy on this machine, which is asked for alone where the hub is out of reach."""
    local = _is_out_of_reach(name, revision)
    manifest = hf_hub_download(name, MANIFEST, revision=revision, local_files_only=local)
    if not weights:
        return Path(manifest).parent
    return Path(snapshot_download(name, revision=revision, local_files_only=local))


def _is_out_of_reach(name: str, revision: str | None) -> bool:
    """Whether the hub does not answer: seconds, where a download tries for half a minute."""
    try:
        model_info(name, revision=revision, timeout=HUB_SECONDS)
    except HfHubHTTPError:
        raise
    except Exception:  # no connection, or none is wanted
        return True
    return False


def _why(error: Exception) -> str:
    """What the hub's client means, in a line."""
    if isinstance(error, LocalEntryNotFoundError):
        return "the hub is out of reach and was not asked for it before"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has none of that name, or none that this account may read"
    if isinstance(error, RevisionNotFoundError):
        return "the hub has none of that revision"
    if isinstance(error, EntryNotFoundError):
        return f"the hub's model of that name has no {MANIFEST}: distill did not write it"
    return f"the hub does not give it: {' '.join(str(error).split())[:200]}"


def _is_hub_id(name: str) -> bool:
    """Whether it may be `owner/name`; a path reads otherwise, or its parent folder is here."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1 and not Path(name).parent.is_dir()
