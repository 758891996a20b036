"""What a published student comes with: its model card, and the way to a hub."""

import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import HfApi, ModelCardData, RepoUrl, metadata_load, model_info
from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import HFValidationError, validate_repo_id

from decompose_distill.errors import BackendError, BackendUnavailable, ConfigError
from decompose_distill.prompts import Prompt
from decompose_distill.training.checkpoints.checkpoint import Manifest
from decompose_distill.training.data.examples import Role

HUB_SECONDS = 5.0
"""How long the hub may take to name a licence."""

_TASKS = {
    "decomposer": "It splits a complex question into simpler subquestions, for a solver to answer.",
    "solver": "It answers a question with the help of its subquestions.",
}
_TAGS = {"decomposer": "question-decomposition", "solver": "question-answering"}
_EXAMPLES = {
    "decomposer": """\
student = dd.Decomposer.from_pretrained("student")  # this directory
question = dd.Question("Who is older, Ada or Bob?")
[found] = student.decompose([question])
print(found.text)""",
    "solver": """\
student = dd.Solver.from_pretrained("student")  # this directory
question = dd.Question("Who is older, Ada or Bob?", context="Ada is 40, Bob is 2.")
subquestions = (dd.Subquestion("How old is Ada?"), dd.Subquestion("How old is Bob?"))
[found] = student.solve([dd.Decomposition(question, subquestions)])
print(found.text)""",
}


def model_card(manifest: Manifest, *, licence: str | None) -> str:
    """Write the README.md of a student from its manifest.

    Args:
        manifest: Its mappings are rendered whole, whatever they hold.
        licence: Of the base model, such as `base_licence` finds it; `None` if it is not known.

    Example:
        >>> from decompose_distill.prompts import COT
        >>> from decompose_distill.types import Sampling
        >>> manifest = Manifest(
        ...     "solver",
        ...     "answer",
        ...     prompt=COT,
        ...     sampling=Sampling(),
        ...     base_model="org/base",
        ...     data={"kept": 8},
        ...     config={},
        ...     figures={},
        ...     versions={},
        ... )
        >>> print(model_card(manifest, licence="mit")[:55])
        ---
        base_model: org/base
        library_name: transformers
        lic
    """
    sections = (
        _front_matter(manifest, licence),
        f"# A {manifest.role} distilled with decompose-distill",
        _introduction(manifest),
        f"## Use\n\n{_use(manifest.role)}",
        f"## Prompt\n\n{_prompt(manifest.prompt)}",
        f"## Data\n\n{_table(manifest.data)}",
        f"## Training\n\n{_table(manifest.config)}",
        f"## Figures\n\n{_FIGURES}\n\n{_table(manifest.figures)}",
        f"## Versions\n\n{_table(manifest.versions)}",
        f"## Licence\n\n{_licence(licence)}",
    )
    return "\n\n".join(sections) + "\n"


def base_licence(base_model: str) -> str | None:
    """Find the licence that a base model's card names, in its directory or on the hub.

    Never raises: `None` if no licence is named, or none can be looked up.

    Example:
        >>> base_licence("models/none.gguf") is None
        True
    """
    try:
        licence = _named_licence(base_model)
    except Exception:  # the hub's client raises all kinds, and none is worth a trained student
        return None
    return licence if isinstance(licence, str) and licence not in ("", "unknown") else None


def _named_licence(base_model: str) -> Any:
    path = Path(base_model)
    if path.is_dir():
        return (metadata_load(path / "README.md") or {}).get("license")
    if not _is_hub_id(base_model):
        return None
    return getattr(model_info(base_model, timeout=HUB_SECONDS).card_data, "license", None)


def _is_hub_id(base_model: str) -> bool:
    """Whether a model came from the hub: what exists on disk was loaded from there."""
    if base_model.endswith(".gguf") or Path(base_model).exists():
        return False
    try:
        validate_repo_id(base_model)
    except HFValidationError:
        return False
    return True


def _front_matter(manifest: Manifest, licence: str | None) -> str:
    base_model = manifest.base_model
    data = ModelCardData(
        base_model=base_model if _is_hub_id(base_model) else None,
        library_name="transformers",
        license=licence,
        pipeline_tag="text-generation",
        tags=["decompose-distill", _TAGS[manifest.role]],
    )
    return f"---\n{data.to_yaml()}\n---"


def _introduction(manifest: Manifest) -> str:
    base_model = manifest.base_model
    # Of a local path the last part only: the rest says where someone works.
    base = f"a local model, {_cell(Path(base_model).name)},"
    if _is_hub_id(base_model):
        base = f"[{base_model}](https://huggingface.co/{base_model})"
    return (
        f"{_TASKS[manifest.role]} It was fine-tuned from {base} on a teacher's words, after "
        "[*Divide-or-Conquer? Which Part Should You Distill Your LLM?*]"
        "(https://arxiv.org/abs/2402.15000)."
    )


def _use(role: Role) -> str:
    code = _fenced(f"import decompose_distill as dd\n\n{_EXAMPLES[role]}", "python")
    return (
        f"{code}\n\nFrom the hub, fetch the directory first: `hf download OWNER/NAME --local-dir "
        "student`. It is an ordinary directory of transformers; whoever loads it without "
        "decompose-distill must build the prompt below."
    )


def _prompt(prompt: Prompt) -> str:
    system = _fenced(prompt.system) if prompt.system else "None."
    return (
        "It was trained on this prompt and no other, laid out by the tokenizer's chat template.\n\n"
        f"System turn:\n\n{system}\n\nUser turn:\n\n{_fenced(prompt.user)}\n\n{_FILLED_IN}"
    )


# As Prompt.render does it; a test holds the two together.
_FILLED_IN = (
    r"`{question}` stands for its text, `{context}` for `Context: TEXT\n\n`, and `{subquestions}` "
    r"for `\n\nSubquestions:\n1. FIRST\n2. SECOND` and so on; the last two for nothing where there "
    "is none."
)


def _fenced(text: str, language: str = "text") -> str:
    """A code block whose fence is longer than any inside."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


_FIGURES = (
    "Losses are in nats a target token. They say how training went, not how good the student is: "
    "measure that on questions it has not seen."
)


def _licence(licence: str | None) -> str:
    if licence is None:
        base = "The licence of the base model is not known: look it up before you publish this one."
    elif licence == "other":
        base = "The base model has a licence of its own: read it before you publish this one."
    else:
        base = (
            f"The base model's licence is {_cell(licence)}; what is made from it stays bound by it."
        )
    return f"{base} The teacher's terms may also limit what its words may train."


def _table(facts: Mapping[str, Any]) -> str:
    if not facts:
        return "Nothing was recorded."
    rows = (f"| {_cell(name)} | {_cell(value)} |" for name, value in _flat(facts))
    return "\n".join(("| | |", "|---|---|", *rows))


def _flat(facts: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of each leaf; an empty mapping is one."""
    for name, value in facts.items():
        if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            value = dict(enumerate(value, start=1))
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}: ")
        else:
            yield f"{above}{name}", value


def _cell(value: Any) -> str:
    """A value as text that neither ends its cell nor starts markup."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "none"
    text = " ".join(str(value).split()) if value not in (None, {}) else "none"
    return re.sub(r"[|`*\[\]\\]", lambda sign: f"&#{ord(sign[0])};", escape(text, quote=False))


_LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write"


class Hub(Protocol):
    """What is used of `huggingface_hub.HfApi`."""

    def whoami(self) -> dict[str, Any]:
        """The account and the rights of the token."""
        ...

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> RepoUrl:
        """Make a repository if there is none."""
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
