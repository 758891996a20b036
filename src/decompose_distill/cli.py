"""The command line: each command a few lines over the public API.

Exit codes: 0 done, 1 the work failed, 2 the call or its input is wrong, 130 stopped by Ctrl-C.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from decompose_distill.errors import ConfigError, DataError, DecomposeDistillError
from decompose_distill.interop.commands import export_command, import_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Questions = Annotated[str, typer.Argument(help="A file of questions, or a dataset such as gsm8k.")]
Traces = Annotated[Path, typer.Argument(help="Traces, as collect writes them.")]
Model = Annotated[str, typer.Option(help="Backend, as 'openai:gpt-4.1-mini' or 'hf:path'.")]
BaseUrl = Annotated[str | None, typer.Option(help="Endpoint of an openai: server.")]
ScoreName = Literal[
    "exact",
    "f1",
    "contains",
    "yes_no",
    "gsm8k",
    "gsm8k_strict",
    "gsm8k_paper",
    "drop_em",
    "drop_f1",
]
Score = Annotated[ScoreName, typer.Option(help="How answers are scored.")]

Student = Annotated[str, typer.Option(help="Hub id, directory or .gguf file.")]
Role = Annotated[Literal["decomposer", "solver"], typer.Option(help="What it learns to be.")]
Target = Annotated[
    Literal["rationale", "gold_rationale", "answer"] | None,
    typer.Option(help="What a solver learns to write; default rationale."),
]
Keep = Annotated[Literal["complete", "correct"], typer.Option(help="Which traces to learn from.")]
MaxDuplicates = Annotated[float, typer.Option(help="Share of examples that may repeat others.")]


@app.callback()
def _root() -> None:
    """Split reasoning into decompose and solve, and distil the decomposing."""


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option(help="A new or empty directory.")],
    student: Annotated[str, typer.Option(help="'auto', 'tiny', or a model.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the world and the training.")] = 0,
) -> None:
    """Run the whole path on a small controlled world, with a real student."""
    from decompose_distill.demo.run import run_demo

    run_demo(output_dir, student=student, seed=seed, say=_say)


@app.command()
def collect(
    questions: Questions,
    teacher: Model,
    output: Annotated[Path, typer.Option(help="File of traces, created or continued.")],
    solver: Annotated[str | None, typer.Option(help="Backend; by default the teacher.")] = None,
    base_url: BaseUrl = None,
    samples: Annotated[int, typer.Option(min=1, help="Traces a question.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
) -> None:
    """Ask a teacher and keep its traces; run again to go on where it stopped."""
    import decompose_distill as dd

    asked = dd.load_questions(questions)
    sampling = dd.Sampling(temperature=temperature)
    expert = dd.load_backend(teacher, base_url=base_url)
    answers = dd.load_backend(solver, base_url=base_url) if solver else expert
    pipeline = dd.Pipeline(
        dd.Decomposer(expert, sampling=sampling), dd.Solver(answers, sampling=sampling)
    )
    try:
        done = dd.collect(pipeline, asked, output, samples=samples)
    except KeyboardInterrupt:
        _say(f"stopped; {output} keeps what was collected, the same command goes on from there")
        raise typer.Exit(130) from None
    _say(str(done))
    if done.asked and done.failed.total() == done.asked:
        raise typer.Exit(1)


@app.command()
def audit(
    traces: Traces,
    student: Student,
    role: Role = "decomposer",
    target: Target = None,
    keep: Keep = "complete",
    max_duplicates: MaxDuplicates = 0.5,
) -> None:
    """Look for faults in the training data, and show three rows with the trained tokens marked."""
    import decompose_distill as dd
    from decompose_distill.training.audit import show_rows
    from decompose_distill.training.prepare import make_task, prepare

    config = dd.DistillConfig(max_duplicates=max_duplicates)
    task = make_task(student, role, target, config=config)
    with tempfile.TemporaryDirectory() as folder:
        chosen = getattr(dd.filters, keep)
        asked = dd.read_traces(traces)
        prepared = prepare(task, asked, chosen, 0.0, Path(folder), progress=True)
        _say(f"{prepared}\n\n{show_rows(prepared.tokenizer, prepared.train)}\n\nno fault found")


@app.command()
def distill(
    traces: Traces,
    student: Student,
    output_dir: Annotated[Path, typer.Option(help="A new or empty directory.")],
    role: Role = "decomposer",
    target: Target = None,
    keep: Keep = "complete",
    validation: Annotated[float, typer.Option(help="Share of questions to hold out.")] = 0.0,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 1e-4,
    lora_rank: Annotated[int | None, typer.Option(min=1, help="Train adapters only.")] = None,
    save_steps: Annotated[int | None, typer.Option(min=1, help="Default: an epoch's.")] = None,
    max_duplicates: MaxDuplicates = 0.5,
    seed: Annotated[int, typer.Option()] = 0,
    report_to: Annotated[
        Literal["tensorboard", "wandb", "trackio"] | None, typer.Option(help="Log each step.")
    ] = None,
    push_to_hub: Annotated[str | None, typer.Option(help="Hub repository to upload to.")] = None,
) -> None:
    """Fine-tune a student on kept traces; run again to go on where it stopped."""
    import decompose_distill as dd

    config = dd.DistillConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        lora_rank=lora_rank,
        save_steps=save_steps,
        max_duplicates=max_duplicates,
        seed=seed,
    )
    try:
        checkpoint = dd.distill(
            dd.read_traces(traces),
            student=student,
            output_dir=output_dir,
            role=role,
            target=target,
            keep=getattr(dd.filters, keep),
            validation=validation,
            config=config,
            report_to=report_to,
            push_to_hub=push_to_hub,
        )
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from the last state that was saved")
        raise typer.Exit(130) from None
    _say(str(checkpoint))


@app.command()
def evaluate(
    questions: Questions,
    decomposer: Annotated[str, typer.Option(help="Checkpoint directory, or a backend.")],
    solver: Model,
    base_url: BaseUrl = None,
    score: Score = "exact",
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Score a pipeline on held-out questions, with a 95 % interval."""
    import decompose_distill as dd

    asked = dd.load_questions(questions)
    if Path(decomposer).is_dir():
        first = dd.Decomposer.from_pretrained(decomposer)
    else:
        first = dd.Decomposer(dd.load_backend(decomposer, base_url=base_url))
    pipeline = dd.Pipeline(first, dd.Solver(dd.load_backend(solver, base_url=base_url)))
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
    report = dd.evaluate(pipeline, asked, score=getattr(dd.scores, score), name=decomposer)
    _say(str(report))
    if output:
        output.write_text(json.dumps([report.to_json()], indent=2), encoding="utf-8")


app.command("export")(export_command)
app.command("import")(import_command)


def main() -> None:
    """Run the command line; an error of ours is one line, not a traceback."""
    try:
        app()
    except DecomposeDistillError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError | DataError) else 1)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
