"""The command line: each command a few lines over the public API.

Exit codes: 0 done, 1 the work failed, 2 the call or its input is wrong, 3 the budget is used up,
130 stopped by Ctrl-C, 143 by SIGTERM.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from decompose_distill.cli.experiments import paper_command, report_command
from decompose_distill.cli.interop import export_command, import_command
from decompose_distill.console import exit_code, printable
from decompose_distill.errors import (
    BudgetExceeded,
    ConfigError,
    DataError,
    DecomposeDistillError,
)

if TYPE_CHECKING:
    from decompose_distill import Backend, Pipeline, Sampling

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
Solver = Annotated[str | None, typer.Option(help="Backend; by default the teacher.")]
Batch = Annotated[bool, typer.Option("--batch", help="By the batch interface: cheaper, slower.")]
InFlight = Annotated[int | None, typer.Option(min=1, help="Requests at once; default 32.")]
Samples = Annotated[int, typer.Option(min=1, help="Decompositions a question.")]
Solves = Annotated[int, typer.Option(min=1, help="Solutions a decomposition.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 is greedy.")]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, help="Longest completion; default: the backend's own limit.")
]
Budget = Annotated[float | None, typer.Option(help="US dollars the file may cost, all runs.")]
Prices = Annotated[Path | None, typer.Option(help="JSON file of prices by model.")]
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
def plan(
    questions: Questions,
    teacher: Model,
    output: Annotated[Path | None, typer.Option(help="File of traces, if there is one.")] = None,
    solver: Solver = None,
    base_url: BaseUrl = None,
    max_in_flight: InFlight = None,
    batch: Batch = False,
    samples: Samples = 1,
    solves: Solves = 1,
    temperature: Temperature = 0.0,
    max_new_tokens: MaxNewTokens = None,
    budget_usd: Budget = None,
    prices: Prices = None,
) -> None:
    """Forecast what collect with the same options takes, and send nothing."""
    import decompose_distill as dd
    from decompose_distill.backend import sampling_for
    from decompose_distill.cost.ledger import read_budget
    from decompose_distill.cost.pricing import read_prices, show_usd

    given, budget = read_prices(prices) if prices else {}, read_budget(budget_usd)
    sampling = partial(sampling_for, temperature=temperature, max_new_tokens=max_new_tokens)
    batches = f"{output or questions}.batches" if batch else None
    load = partial(dd.load_backend, base_url=base_url, max_in_flight=max_in_flight, batches=batches)
    pipeline = _pipeline(teacher, solver or teacher, load, sampling)
    asked = dd.load_questions(questions)
    forecast = dd.plan(pipeline, asked, output, samples=samples, solves=solves, prices=given)
    _say(str(forecast))
    if budget is not None and forecast.usd is not None:
        verdicts = (
            (forecast.usd.high, "is more than all this is expected to cost"),
            (forecast.usd.expected, "may be reached before the end"),
            (0.0, "will be reached before the end"),
        )
        verdict = next(words for usd, words in verdicts if budget >= usd)
        _say(f"the budget of {show_usd(budget)} {verdict}")


@app.command()
def collect(
    questions: Questions,
    teacher: Model,
    output: Annotated[Path, typer.Option(help="File of traces, created or continued.")],
    solver: Solver = None,
    base_url: BaseUrl = None,
    max_in_flight: InFlight = None,
    batch: Batch = False,
    samples: Samples = 1,
    solves: Solves = 1,
    temperature: Temperature = 0.0,
    max_new_tokens: MaxNewTokens = None,
    budget_usd: Budget = None,
    prices: Prices = None,
) -> None:
    """Ask a teacher and keep its traces; run again to go on where it stopped."""
    import decompose_distill as dd
    from decompose_distill.backend import sampling_for
    from decompose_distill.cost.pricing import read_prices

    given = read_prices(prices) if prices else {}
    asked = dd.load_questions(questions)
    sampling = partial(sampling_for, temperature=temperature, max_new_tokens=max_new_tokens)
    batches = f"{output}.batches" if batch else None
    load = partial(dd.load_backend, base_url=base_url, max_in_flight=max_in_flight, batches=batches)
    pipeline = _pipeline(teacher, solver or teacher, load, sampling)
    try:
        done = dd.collect(
            pipeline,
            asked,
            output,
            samples=samples,
            solves=solves,
            budget_usd=budget_usd,
            prices=given,
        )
    except KeyboardInterrupt as stopped:
        _say(f"stopped; {output} keeps what was collected, the same command goes on from there")
        raise typer.Exit(exit_code(stopped)) from None
    _say(str(done))
    if done.asked and done.failed.total() == done.asked:
        raise typer.Exit(1)


def _pipeline(
    teacher: str,
    solver: str,
    load: Callable[[str], "Backend"],
    sampling: Callable[["Backend"], "Sampling"],
) -> "Pipeline":
    """Both roles; where one is an `openai:` backend, its options are not for the other."""
    import decompose_distill as dd

    names = dict.fromkeys((teacher, solver))
    served = {name for name in names if name.startswith("openai:")} or set(names)
    loaded = {name: (load if name in served else dd.load_backend)(name) for name in names}
    return dd.Pipeline(
        dd.Decomposer(loaded[teacher], sampling=sampling(loaded[teacher])),
        dd.Solver(loaded[solver], sampling=sampling(loaded[solver])),
    )


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
    from decompose_distill.training.data.audit import show_rows
    from decompose_distill.training.data.preparation import make_task, prepare

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
    except KeyboardInterrupt as stopped:
        _say("stopped; the same command goes on from the last state that was saved")
        raise typer.Exit(exit_code(stopped)) from None
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
app.command("paper")(paper_command)
app.command("report")(report_command)


def main() -> None:
    """Run the command line; an error of ours is one line, not a traceback."""
    try:
        app()
    except DecomposeDistillError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        sys.exit(_exit_code(error))


def _exit_code(error: DecomposeDistillError) -> int:
    if isinstance(error, BudgetExceeded):
        return 3
    return 2 if isinstance(error, ConfigError | DataError) else 1


def _say(line: str) -> None:
    print(printable(line), flush=True)
