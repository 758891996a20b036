"""The command `paper`, a few lines over the function."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from decompose_distill import scores
from decompose_distill.backend import sampling_for
from decompose_distill.backends.registry import load_backend
from decompose_distill.console import exit_code, printable
from decompose_distill.cost.pricing import read_prices
from decompose_distill.errors import ConfigError
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.solver import Solver
from decompose_distill.types import Question, Sampling

if TYPE_CHECKING:
    from decompose_distill.experiments.student import Student

ScoreName = Literal[
    "exact", "f1", "contains", "yes_no", "gsm8k", "gsm8k_strict", "gsm8k_paper", "drop_em",
    "drop_f1",
]  # fmt: skip
SOURCE = "A file, or a dataset such as gsm8k or gsm8k:train."


def paper_command(
    teacher: Annotated[str, typer.Option(help="Backend that decomposes, as 'openai:gpt-4.1'.")],
    student: Annotated[str, typer.Option(help="Hub id, directory or .gguf file.")],
    train: Annotated[str, typer.Option(help=f"Questions to learn from. {SOURCE}")],
    test: Annotated[str, typer.Option(help=f"Questions measured. {SOURCE}")],
    output_dir: Annotated[Path, typer.Option(help="A directory, created or continued.")],
    solver: Annotated[
        list[str] | None,
        typer.Option(help="Backend that solves; the first is the main one. Default: the teacher."),
    ] = None,
    transfer: Annotated[
        list[str] | None, typer.Option(help="Questions of another domain, measured too.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="Decomposers, with commas between; 'all' for every one.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Solvers, with commas between; 'all' for every one.")
    ] = None,
    score: Annotated[ScoreName, typer.Option(help="How answers are scored.")] = "exact",
    seed: Annotated[list[int] | None, typer.Option(help="Of the trainings; default 0.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Decompositions a training question.")] = 1,
    solves: Annotated[int, typer.Option(min=1, help="Solves that S_D-uplift counts.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="Of teacher and solvers.")] = 0.0,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest completion; default: the backend's own.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Endpoint of openai: servers.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(min=1, help="Requests at once.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of every training.")] = 2,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak of the schedule.")] = 1e-4,
    lora_rank: Annotated[int | None, typer.Option(min=1, help="Train adapters only.")] = None,
    budget_usd: Annotated[float | None, typer.Option(help="US dollars for all of it.")] = None,
    prices: Annotated[Path | None, typer.Option(help="JSON file of prices by model.")] = None,
    usd_per_hour: Annotated[
        str | None, typer.Option(help="US dollars an hour of this machine, for the students.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it takes, and stop.")] = False,
) -> None:
    """Measure which part to distil: the paper's tables, with intervals, tests and money."""
    from decompose_distill.experiments.run import paper
    from decompose_distill.experiments.variants import COLUMNS, ROWS

    def backend_solver(name: str) -> Solver:
        backend = load_backend(name, base_url=base_url, max_in_flight=max_in_flight)
        return Solver(backend, sampling=sampling(backend))

    sampling = partial(sampling_for, temperature=temperature, max_new_tokens=max_new_tokens)
    main, *further = _each_once(solver or [teacher])
    asked = _load(train, "train"), _load(test)
    expert = load_backend(teacher, base_url=base_url, max_in_flight=max_in_flight)
    answers = Solver(expert, sampling=sampling(expert)) if main == teacher else backend_solver(main)
    try:
        paper(
            Pipeline(Decomposer(expert, sampling=sampling(expert)), answers),
            *asked,
            student=_student(student, max_new_tokens, epochs, batch_size, learning_rate, lora_rank),
            output_dir=output_dir,
            rows=_names(rows, ROWS),
            columns=_names(columns, (*COLUMNS, *further)),
            solvers={name: backend_solver(name) for name in further},
            transfer=_transfers(transfer or ()),
            seeds=seed or (0,),
            samples=samples,
            solves=solves,
            score=getattr(scores, score),
            budget_usd=budget_usd,
            prices=read_prices(prices) if prices else None,
            usd_per_hour=_usd(usd_per_hour),
            say=_say_and_stop if plan else _say,
        )
    except KeyboardInterrupt as stopped:
        _say(f"stopped; {output_dir} keeps what is finished, the same command goes on from there")
        raise typer.Exit(exit_code(stopped)) from None


def report_command(
    folder: Annotated[Path, typer.Argument(help="A folder with a saved study.")],
) -> None:
    """Write report.html, report.md and report.json anew from a saved study."""
    from decompose_distill.reporting.render import write_report
    from decompose_distill.reporting.study_file import load_study

    _say(str(write_report(load_study(folder), folder)))


def _each_once(solvers: list[str]) -> list[str]:
    if len(set(solvers)) < len(solvers):
        raise ConfigError(f"--solver: name each once, not {', '.join(solvers)}")
    return solvers


def _transfers(sources: Sequence[str]) -> dict[str, tuple[Question, ...]]:
    names = [Path(source).stem for source in sources]
    if len(set(names)) < len(names):
        raise ConfigError(f"--transfer: name the files differently, not {', '.join(names)}")
    return {name: _load(source) for name, source in zip(names, sources, strict=True)}


def _load(source: str, split: str | None = None) -> tuple[Question, ...]:
    """Questions of a file, or of a dataset from the hub with its split behind a colon."""
    from decompose_distill.data.questions import HUB, load_questions

    name, _, given = source.partition(":")
    if name not in HUB or Path(source).is_file():
        return load_questions(source)
    return load_questions(name, split=given or split)


def _names(given: str | None, every: tuple[str, ...]) -> tuple[str, ...] | None:
    if given is None or given == "all":
        return every if given else None
    return tuple(name.strip() for name in given.split(","))


def _student(
    model: str,
    max_new_tokens: int | None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    lora_rank: int | None,
) -> "Student":
    from decompose_distill.experiments.student import Student
    from decompose_distill.training.config import DistillConfig

    config = DistillConfig(
        epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, lora_rank=lora_rank
    )
    sampling = Sampling() if max_new_tokens is None else Sampling(max_new_tokens=max_new_tokens)
    return Student(model, sampling=sampling, config=config)


def _usd(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text)
    except InvalidOperation:
        raise ConfigError(f"usd_per_hour must be a number of US dollars, not {text!r}") from None


def _say(line: str) -> None:
    print(printable(line), flush=True)


def _say_and_stop(line: str) -> None:
    """The plan is the first that is said, before anything is asked or written."""
    _say(line)
    raise typer.Exit
