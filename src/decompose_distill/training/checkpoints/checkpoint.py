"""Checkpoints of a student: written whole, read back, and checked against what was trained."""

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from decompose_distill.errors import BackendError, CheckpointError, ConfigError
from decompose_distill.models.frozen_template import guard_template
from decompose_distill.models.loading import (
    context_window,
    end_tokens,
    load_model,
    load_tokenizer,
    save_model,
)
from decompose_distill.storage.atomic import sync, write_text
from decompose_distill.training.checkpoints.manifest import (
    LOSSES,
    MANIFEST,
    Losses,
    Manifest,
    read_manifest,
)
from decompose_distill.training.checkpoints.resume import has_begun, hash_file
from decompose_distill.training.data.examples import Example, TokenizedExample, tokenize

CARD = "README.md"


def versions() -> dict[str, str]:
    """Of Python and the packages that make a student, for its manifest."""
    packages = ("decompose-distill", "torch", "transformers", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def check_output_dir(output_dir: str | Path) -> Path:
    """Make sure that a checkpoint can be put there.

    Raises:
        ConfigError: Something else is there already.
    """
    path = Path(output_dir)
    if _is_finished(path):  # a kill may have come between moving it there and tidying up
        shutil.rmtree(partial(path), ignore_errors=True)
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
    folder = partial(output_dir)
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
    guard_template(tokenizer)
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
            f"cannot write the student to {directory}: {error}. Free some space and call again: "
            "the training itself is kept"
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
        check_files(student, read_manifest(Path(student) / MANIFEST))


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


def partial(output_dir: Path) -> Path:
    """The folder for what is unfinished."""
    return output_dir.with_name(f"{output_dir.name}.partial")


def _is_finished(output_dir: Path) -> bool:
    return (output_dir / MANIFEST).is_file()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What must survive the disk."""

    prompt_ids: tuple[tuple[int, ...], ...]
    """Rendered prompts of the examples."""
    end_tokens: tuple[tuple[int, ...], tuple[int, ...]]
    """Where generation stops, by the generation config and by the model's."""
    predicted: tuple[str, ...]
    """The likeliest token at every position that was trained, of each example."""


def snapshot(model: Any, tokenizer: Any, examples: Sequence[Example]) -> Snapshot:
    """Run a model over a few examples; one pass tells two models apart as well as many do."""
    rows = [tokenize(tokenizer, example, context_window(model.config)) for example in examples]
    ends = end_tokens(model.generation_config), end_tokens(model.config)
    model.eval()
    texts = (tokenizer.decode(_predictions(model, row)) for row in rows)
    return Snapshot(tuple(row.ids[: row.start] for row in rows), ends, tuple(texts))


@torch.no_grad()
def _predictions(model: Any, row: TokenizedExample) -> list[int]:
    ids = torch.tensor([row.ids[:-1]], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0, row.start - 1 :]
    tokens: list[int] = logits.argmax(-1).tolist()
    return tokens


def verify_reload(
    directory: Path,
    trained: Snapshot,
    examples: Sequence[Example],
    dtype: Any,
    device: str | None = None,
) -> None:
    """Reload a saved student and compare it with the model that was in memory.

    Args:
        directory: Where it was saved.
        trained: What the model in memory predicted.
        examples: Of which it predicted that.
        dtype: Of its weights.
        device: Where it was.

    Raises:
        CheckpointError: Something differs; the message shows both.
    """
    model = load_model(directory, dtype=dtype, device=device)
    reloaded = snapshot(model, load_tokenizer(directory), examples)
    for entry in fields(Snapshot):
        saved, kept = getattr(reloaded, entry.name), getattr(trained, entry.name)
        if saved != kept:
            first = next(pair for pair in zip(kept, saved, strict=False) if pair[0] != pair[1])
            raise CheckpointError(
                f"the student at {directory} is not the one that was trained: {entry.name} differ, "
                f"{first[0]!r} in memory, {first[1]!r} after reloading"
            )
