"""The commands `export` and `import`, a few lines over the functions."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from decompose_distill import types

Formats = Literal["trl", "axolotl", "llamafactory", "alpaca", "hub", "hub-parquet", "preferences"]
Role = Annotated[types.Role, typer.Option(help="What the rows teach.")]


def export_command(
    traces: Annotated[Path, typer.Argument(help="Traces, as collect writes them.")],
    output: Annotated[Path, typer.Argument(help="A file; for hub formats a new folder.")],
    format: Annotated[Formats, typer.Option(help="Which tool reads it.")] = "trl",
    role: Role = "decomposer",
    target: Annotated[
        Literal["rationale", "gold_rationale", "answer"] | None,
        typer.Option(help="What a solver learns to write; default rationale."),
    ] = None,
    keep: Annotated[
        Literal["complete", "correct", "decomposed"],
        typer.Option(help="Which traces to write; preferences take all."),
    ] = "complete",
) -> None:
    """Write traces as training data for TRL, axolotl, LlamaFactory or the Hub."""
    from decompose_distill import filters
    from decompose_distill.interop.exporting import export_traces
    from decompose_distill.interop.preferences import preference_pairs
    from decompose_distill.storage.traces import read_traces

    if format == "preferences":
        paired = preference_pairs(read_traces(traces), role=role)
        paired.write(output)
        print(f"{output}: {paired}")
    else:
        chosen = getattr(filters, keep)
        asked = read_traces(traces)
        print(export_traces(asked, output, format=format, role=role, target=target, keep=chosen))


def import_command(
    source: Annotated[Path, typer.Argument(help="Training data of another tool.")],
    output: Annotated[Path, typer.Argument(help="File of traces to write.")],
    role: Role = "decomposer",
) -> None:
    """Read training data of other tools, known by its fields, into a file of traces."""
    from decompose_distill.interop.importing import import_traces
    from decompose_distill.storage.traces import read_traces, write_traces

    write_traces(import_traces(source, role=role), output)
    count = sum(1 for _ in read_traces(output))
    print(f"{output}: {count} traces")
