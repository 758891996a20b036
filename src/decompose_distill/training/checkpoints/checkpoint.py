"""Checkpoints of a student: written whole, read back, and checked against what was trained."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from transformers import GenerationConfig

from decompose_distill.errors import BackendError, CheckpointError, ConfigError
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.loading import end_tokens, load_model, load_tokenizer, save_model
from decompose_distill.prompts import Prompt
from decompose_distill.storage.atomic import sync, write_text
from decompose_distill.training.checkpoints.resume import has_begun, hash_file
from decompose_distill.training.data.examples import TARGETS, Example, Role, Target
from decompose_distill.types import Sampling

FORMAT = 1
MANIFEST = "decompose_distill.json"
LOSSES = "losses.json"
CARD = "README.md"


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


@dataclass(frozen=True, slots=True)
class Losses:
    """How the training of a student went, in nats a target token."""

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


def check_output_dir(output_dir: str | Path) -> Path:
    """Make sure that a checkpoint can be put there.

    Raises:
        ConfigError: Something else is there already.
    """
    path = Path(output_dir)
    if _is_finished(path):  # a kill may have come between moving it there and tidying up
        shutil.rmtree(_partial(path), ignore_errors=True)
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ConfigError(f"output_dir {path} exists with other content: name a new directory")
    return path


@contextmanager
def working_folder(output_dir: Path) -> Iterator[Path]:
    """The folder beside `output_dir` for what is unfinished, held by one process at a time.

    It stays after an error once a run has begun, and goes with a finished run.

    Raises:
        ConfigError: Another process is training into it.
    """
    folder = _partial(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            try:
                yield folder
            finally:
                if _is_finished(output_dir) or not has_begun(folder):
                    shutil.rmtree(folder, ignore_errors=True)
    except Timeout as error:
        raise ConfigError(
            f"output_dir {output_dir}: another process is training into it; wait for it, or name "
            "another directory"
        ) from error


def save_student(
    directory: Path, model: Any, tokenizer: Any, card: str, manifest: Manifest, losses: Losses
) -> None:
    """Write a student to a new folder, with its card and losses; its manifest is written last.

    Raises:
        CheckpointError: It could not be written; nothing of it is left.
    """
    shutil.rmtree(directory, ignore_errors=True)
    try:
        save_model(model, tokenizer, directory)
        (directory / CARD).unlink(missing_ok=True)  # peft writes one
        files = {
            file.relative_to(directory).as_posix(): hash_file(file) for file in _files(directory)
        }
        (directory / CARD).write_text(card, encoding="utf-8")
        write_text(directory / LOSSES, json.dumps(asdict(losses)))
        manifest = replace(manifest, files=files)
        write_text(directory / MANIFEST, json.dumps(manifest.to_json(), indent=2))
    except Exception as error:  # writers of weights and tokenizers raise all kinds
        shutil.rmtree(directory, ignore_errors=True)
        raise CheckpointError(
            f"cannot write the student to {directory}: {error}. Make room and call again: the "
            "training itself is kept"
        ) from error


def check_files(checkpoint: str | Path, manifest: Manifest) -> None:
    """Make sure that a student's files are those that were saved, to the last bit.

    Raises:
        CheckpointError: One is missing or differs; the message names it.
    """
    for name, digest in manifest.files.items():
        file = Path(checkpoint) / name
        if not file.is_file():
            raise CheckpointError(f"{checkpoint} is incomplete: {name} is missing; copy it again")
        if hash_file(file) != digest:
            raise CheckpointError(
                f"{file} is damaged or was changed: it is not what training saved"
                f"{_what_loading_says(Path(checkpoint))}. Copy it again; if you changed it on "
                f"purpose, remove its line from 'files' in {MANIFEST}"
            )


def _what_loading_says(checkpoint: Path) -> str:
    """Such as the name of a tensor that is not there; empty if it can be loaded."""
    try:
        load_model(checkpoint)
    except BackendError as error:
        return f" ({error})"
    return ""


def check_student(student: str | Path) -> None:
    """The same for a model to start from, where `distill` wrote it.

    Raises:
        CheckpointError: A file of it is missing or differs.
    """
    if _is_finished(Path(student)):
        check_files(student, _load(Path(student) / MANIFEST))


def _files(directory: Path) -> list[Path]:
    return sorted(file for file in directory.rglob("*") if file.is_file())


def publish(directory: Path, output_dir: Path) -> None:
    """Move a finished student to where it was asked for, in one step."""
    if output_dir.exists():
        output_dir.rmdir()  # empty, or it is not ours to remove
    rights = (directory / MANIFEST).stat().st_mode & 0o777  # as the user's umask has it
    for file in _files(directory):
        file.chmod(rights)  # weights are written for their owner alone
        sync(file)
    directory.replace(output_dir)
    sync(output_dir.parent)


def _partial(output_dir: Path) -> Path:
    return output_dir.with_name(f"{output_dir.name}.partial")


def _is_finished(output_dir: Path) -> bool:
    return (output_dir / MANIFEST).is_file()


def load_manifest(checkpoint: str | Path, *, role: Role) -> Manifest:
    """Read a checkpoint's manifest and check that it can serve a role.

    Raises:
        CheckpointError: It is missing, incomplete, of another format or for another role.
    """
    path = Path(checkpoint) / MANIFEST
    if not Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint}: no such folder of a student")
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint} is not a complete distill() checkpoint: {MANIFEST} is missing; name a "
            f"folder that distill wrote, or load a plain model as 'hf:{checkpoint}'"
        )
    manifest = _load(path)
    if manifest.role != role:
        raise CheckpointError(
            f"{checkpoint} was trained as {manifest.role}, not as {role}: load it with "
            f"{manifest.role.capitalize()}.from_pretrained"
        )
    return manifest


def _load(path: Path) -> Manifest:
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
    return Manifest(row["role"], row["target"], prompt=prompt, sampling=sampling, **rest)


NEW_TOKENS = 24


@dataclass(frozen=True, slots=True)
class GenerationSnapshot:
    """What must survive the disk."""

    prompt_ids: tuple[tuple[int, ...], ...]
    """Rendered prompts of the examples."""
    end_tokens: tuple[tuple[int, ...], tuple[int, ...]]
    """Where generation stops, by the generation config and by the model's."""
    greedy: tuple[str, ...]
    """What the model writes to each prompt."""


def snapshot(model: Any, tokenizer: Any, examples: Sequence[Example]) -> GenerationSnapshot:
    """Render a few examples' prompts and continue them greedily."""
    prompts = [prompt_ids(tokenizer, example.messages) for example in examples]
    ends = end_tokens(model.generation_config), end_tokens(model.config)
    model.eval()
    texts = (tokenizer.decode(_continue(model, prompt, ends[0])) for prompt in prompts)
    return GenerationSnapshot(tuple(map(tuple, prompts)), ends, tuple(texts))


def _continue(model: Any, prompt: list[int], ends: Sequence[int]) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=list(ends), pad_token_id=ends[0]
    )
    written = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
    )
    continuation: list[int] = written[0, len(prompt) :].tolist()
    return continuation


def verify_reload(
    directory: Path, trained: GenerationSnapshot, examples: Sequence[Example], dtype: Any
) -> None:
    """Reload a saved student and compare it with the model that was in memory.

    Raises:
        CheckpointError: Something differs; the message shows both.
    """
    reloaded = snapshot(load_model(directory, dtype=dtype), load_tokenizer(directory), examples)
    for entry in fields(GenerationSnapshot):
        saved, kept = getattr(reloaded, entry.name), getattr(trained, entry.name)
        if saved != kept:
            first = next(pair for pair in zip(kept, saved, strict=False) if pair[0] != pair[1])
            raise CheckpointError(
                f"the student at {directory} is not the one that was trained: {entry.name} differ, "
                f"{first[0]!r} in memory, {first[1]!r} after reloading"
            )
