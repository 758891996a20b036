"""Pushing a checkpoint to the Hugging Face hub: checked before training, done after it."""

import shlex
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import HfApi, RepoUrl
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError

_LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write"


class Hub(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def whoami(self) -> dict[str, Any]:
        """The account and the rights of the token."""
        ...

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> RepoUrl:
        """Make a repository where there is none."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: str | Path, commit_message: str) -> Any:
        """Add the files of a folder to a repository."""
        ...


def check_push(repo_id: str, api: Hub | None = None) -> None:
    """Make sure that a checkpoint can be pushed, before hours are spent on training it.

    Raises:
        ConfigError: The repo id is malformed, or the token is missing, wrong or read-only.
        BackendUnavailable: The hub cannot be asked.

    Example:
        ```python
        check_push("me/student")
        ```
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ConfigError(f"repo id must be like 'me/student', not {repo_id!r}: {error}") from error
    try:
        account = (api or HfApi()).whoami()
    except Exception as error:  # the hub's client raises all kinds
        raise _refused(repo_id, error) from error
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise ConfigError(f"the token cannot push to {repo_id}, it may only read: {_LOGIN}")


def push(checkpoint: Path, repo_id: str, api: Hub | None = None) -> str:
    """Push a checkpoint to a repository, which is made private if it is new.

    Returns:
        The address of the repository.

    Raises:
        BackendError: It was not pushed; the message says how to push again.

    Example:
        ```python
        push(Path("runs/student"), "me/student")
        ```
    """
    hub = api or HfApi()
    try:
        repo = hub.create_repo(repo_id, private=True, exist_ok=True)
        hub.upload_folder(
            repo_id=repo.repo_id, folder_path=checkpoint, commit_message="Add a distilled student"
        )
    except Exception as error:  # the hub's client raises all kinds
        again = shlex.join(["hf", "upload", repo_id, str(checkpoint), ".", "--private"])
        raise BackendError(
            f"the checkpoint is safe in {checkpoint}, but was not pushed to {repo_id}: "
            f"{_words(error)}. Push it again with: {again}"
        ) from error
    return str(repo)


def _refused(repo_id: str, error: Exception) -> ConfigError | BackendUnavailable:
    """What a failed `whoami` means."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, LocalTokenNotFoundError) or status in (401, 403):
        return ConfigError(f"no valid token to push to {repo_id}: {_LOGIN} ({_words(error)})")
    if isinstance(error, OfflineModeIsEnabled):
        return ConfigError(f"cannot push to {repo_id} while HF_HUB_OFFLINE is set: unset it")
    return BackendUnavailable(
        f"the hub cannot be asked whether {repo_id} can be pushed to: {_words(error)}. Try "
        f"again later, or train without pushing"
    )


def _words(error: Exception) -> str:
    """What the hub says of an error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
