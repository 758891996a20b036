"""The commands `export`, `import` and `export-student`, a few lines over the functions."""

from pathlib import Path
from typing import Annotated, Literal

import decompose_distill as dd
from decompose_distill import types
from decompose_distill.cli.call import Call
from decompose_distill.cli.options import PromptFile, SolverTarget, TracesFile, read_prompt
from decompose_distill.cli.settings import Argument, Option

Formats = Literal[
    "trl", "axolotl", "llamafactory", "sharegpt", "alpaca", "hub", "hub-parquet", "preferences"
]
Role = Annotated[types.Role, Option("What the rows teach.")]


def export(
    call: Call,
    traces: TracesFile,
    output: Annotated[Path, Argument("A file; for hub formats a new folder.")],
    *,
    format: Annotated[Formats, Option("Which tool reads it.")] = "trl",
    role: Role = "decomposer",
    target: SolverTarget = None,
    keep: Annotated[
        Literal["complete", "correct", "decomposed"],
        Option("Which traces to write; preferences take all."),
    ] = "complete",
    prompt: PromptFile = None,
) -> None:
    """Write traces as training data for TRL, axolotl, LlamaFactory or the Hub."""
    recorded = dd.read_traces(traces)
    with call.writing(output, folder=format.startswith("hub")):
        if format == "preferences":
            pairs = dd.preference_pairs(recorded, role=role)
            pairs.write(output)
            call.show(f"{output}: {pairs}")
            return
        call.show(
            dd.export_traces(
                recorded,
                output,
                format=format,
                role=role,
                target=target,
                prompt=read_prompt(prompt) if prompt else None,
                keep=getattr(dd.filters, keep),
            )
        )


def import_(
    call: Call,
    source: Annotated[Path, Argument("Training data of another tool.")],
    output: Annotated[Path, Argument("File of traces to write.")],
    *,
    role: Role = "decomposer",
) -> None:
    """Read training data of other tools, known by its fields, into a file of traces."""
    from decompose_distill.storage.atomic import creating

    # What stands there may be traces that were paid for.
    with call.writing(output), creating(output) as partial:
        dd.write_traces(dd.import_traces(source, role=role), partial)
    call.show(f"{output}: {sum(1 for _ in dd.read_traces(output))} traces")


def export_student(
    call: Call,
    student: Annotated[str, Argument("Folder of a student, or its hub id.")],
    output_dir: Annotated[Path, Argument("A new or empty directory.")],
    *,
    to: Annotated[Literal["gguf", "ollama", "vllm"], Option("What is to serve it.")],
) -> None:
    """Write what vLLM, llama.cpp or Ollama need to ask a student as it was trained."""
    from decompose_distill.training.serving import student_export

    with call.writing(output_dir, folder=True):
        file = student_export.export_student(student, output_dir, to=to)
    call.show(f"{file}\n{student_export.serving_command(student, file, to=to)}")
