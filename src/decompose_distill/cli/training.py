"""The commands `audit`, `distill` and `demo`, a few lines over the functions."""

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import decompose_distill as dd
from decompose_distill import types
from decompose_distill.cli.call import Call
from decompose_distill.cli.options import (
    KeptTraces,
    PromptFile,
    SolverTarget,
    StudentName,
    TracesFile,
    read_prompt,
)
from decompose_distill.cli.settings import Only, Option
from decompose_distill.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from decompose_distill.training.data.preparation import Prepared, Task

Role = Annotated[types.Role, Option("What it learns to be.")]


def audit(
    call: Call,
    traces: TracesFile,
    student: StudentName,
    *,
    role: Role = "decomposer",
    target: SolverTarget = None,
    keep: KeptTraces = "complete",
    prompt: PromptFile = None,
    config: Annotated[dd.DistillConfig, Only(("max_duplicates",))],
) -> None:
    """Look for faults in the training data, and show three rows with the trained tokens marked."""
    from decompose_distill.training.data.audit import show_rows
    from decompose_distill.training.data.preparation import make_task

    task = make_task(resolve_student(call, student), role, target, _prompt(prompt), config)
    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepare(task, traces, keep, 0.0, folder)
        rows = show_rows(prepared.tokenizer, prepared.train)
        call.show(
            f"{prepared}\n\n{rows}\n\nno fault found",
            kept=len(prepared.train),
            dropped=dict(prepared.dropped),
        )


def _prepare(
    task: "Task", traces: str, keep: str, validation: float, folder: str, progress: bool = True
) -> "Prepared":
    from decompose_distill.training.data.preparation import prepare

    chosen = getattr(dd.filters, keep)
    kept = dd.read_traces(traces)
    return prepare(task, kept, chosen, validation, Path(folder), progress=progress)


def _prompt(path: Path | None) -> Any:
    return read_prompt(path) if path else None


def resolve_student(call: Call, name: str) -> str:
    """The model that a student's name stands for; another one than was named is told."""
    from decompose_distill.models.smollm2 import find_student

    student = find_student(name)
    if student != name:
        call.say(f"student: {student}")
    return student


def distill(
    call: Call,
    traces: TracesFile,
    student: StudentName,
    output_dir: Annotated[Path, Option("A new or empty directory.")],
    *,
    role: Role = "decomposer",
    target: SolverTarget = None,
    keep: KeptTraces = "complete",
    prompt: PromptFile = None,
    validation: Annotated[float, Option("Share of questions to hold out.")] = 0.0,
    config: dd.DistillConfig,
    report_to: Annotated[
        Literal["tensorboard", "wandb", "trackio"] | None, Option("Log each step there.")
    ] = None,
    push_to_hub: Annotated[str | None, Option("Hub repository to upload to.")] = None,
) -> None:
    """Fine-tune a student on kept traces; run again to go on where it stopped."""
    from decompose_distill.training.data.preparation import make_task

    call = replace(call, first=os.environ.get("RANK", "0") == "0")  # as torchrun numbers them
    task = make_task(resolve_student(call, student), role, target, _prompt(prompt), config)
    if _is_finished(output_dir, task, traces, keep, validation, call.first):
        call.show(f"{output_dir}: finished before, of the same traces", **_student(output_dir))
        return
    with call.writing(output_dir, folder=True, kept="the states saved so far, beside it,"):
        checkpoint = dd.distill(
            dd.read_traces(traces),
            student=task.student,
            output_dir=output_dir,
            role=role,
            target=target,
            keep=getattr(dd.filters, keep),
            prompt=task.prompt,
            validation=validation,
            config=config,
            report_to=report_to,
            push_to_hub=push_to_hub,
        )
    call.show(checkpoint, **_student(checkpoint))


def _is_finished(
    output_dir: Path, task: "Task", traces: str, keep: str, validation: float, progress: bool
) -> bool:
    """Whether a student is there that was trained on the same, in the same way."""
    from decompose_distill.training.checkpoints.manifest import load_manifest
    from decompose_distill.training.data.preparation import Task

    try:
        manifest = load_manifest(output_dir, role=task.role)
        config = dd.DistillConfig(**manifest.config)
    except (CheckpointError, ConfigError, TypeError):
        return False
    trained = Task(manifest.base_model, manifest.role, manifest.target, manifest.prompt, config)
    if trained != task:
        return False
    with tempfile.TemporaryDirectory() as folder:
        again = _prepare(task, traces, keep, validation, folder, progress)
    return again.sha256 == str(manifest.data["sha256"])


def _student(checkpoint: Path) -> dict[str, Any]:
    """What the manifest of a student says, for machines."""
    from decompose_distill.training.checkpoints.manifest import MANIFEST

    manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    names = ("role", "target", "base_model", "data", "figures")
    return {"output_dir": str(checkpoint), **{name: manifest[name] for name in names}}


def demo(
    call: Call,
    output_dir: Annotated[Path, Option("A new or empty directory.")],
    *,
    student: Annotated[str, Option("auto, tiny, or a model.")] = "auto",
    seed: Annotated[int, Option("Of the world and the training.")] = 0,
) -> None:
    """Run the whole path on a small controlled world, with a real student."""
    from decompose_distill.demo.run import is_finished, run_demo

    if is_finished(output_dir, student=student, seed=seed):
        call.show(f"{output_dir}: finished before; results.json has its table")
        return
    with call.writing(output_dir, folder=True, kept="what is finished"):
        run_demo(output_dir, student=student, seed=seed, say=call.say)
