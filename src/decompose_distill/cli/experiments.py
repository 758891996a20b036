"""The commands `paper` and `report`, a few lines over the functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decompose_distill.cli.asking import TeacherName
from decompose_distill.cli.call import Call
from decompose_distill.cli.options import (
    Answering,
    Money,
    Reading,
    Servers,
    StudentName,
)
from decompose_distill.cli.settings import Argument, Only, Option
from decompose_distill.cli.training import resolve_student
from decompose_distill.errors import ConfigError
from decompose_distill.scores import ScoreName
from decompose_distill.training.config import DistillConfig

if TYPE_CHECKING:
    from decompose_distill import Backend, Question, Solver

SOURCE = "A file, or a dataset such as gsm8k or gsm8k:train."
TRAINED = (
    *("epochs", "batch_size", "learning_rate", "lora_rank", "micro_batch_size", "dtype"),
    *("schedule", "warmup_ratio", "weight_decay", "max_grad_norm", "master_weights"),
    *("gradient_checkpointing", "packing", "merge_lora", "max_duplicates"),
)
"""Settings of every training; the seed is the matrix's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Which cells are measured, and how often."""

    rows: tuple[str, ...] | None = None
    """Decomposers to measure; all for every one."""
    columns: tuple[str, ...] | None = None
    """Solvers to measure; all for every one."""
    seeds: tuple[int, ...] = (0,)
    """Of the trainings; each gives one more student of every kind."""
    samples: int = 1
    """Decompositions per training question; several need a temperature above 0."""
    solves: int = 1
    """Solutions of each, with and without a decomposition, that S_D-uplift counts."""
    score: ScoreName = "exact"
    """Judges the test answers, and screens what S_D-R and S_E-R learn from."""
    usd_per_hour: Decimal | None = None
    """US dollars per hour of the machine that trains and runs the students."""
    title: str = "Which part to distil"
    """Of the report."""


def paper(
    call: Call,
    teacher: TeacherName,
    student: StudentName,
    train: Annotated[str, Option(f"Questions to learn from. {SOURCE}")],
    test: Annotated[str, Option(f"Questions measured. {SOURCE}")],
    output_dir: Annotated[Path, Option("A directory, created or continued.")],
    *,
    solver: Annotated[
        tuple[str, ...] | None,
        Option("Backends that solve; the first is the main one. Default: the teacher."),
    ] = None,
    transfer: Annotated[
        tuple[str, ...] | None, Option("Questions of other domains, measured too.")
    ] = None,
    reading: Reading,
    servers: Annotated[
        Servers,
        Only(("base_url", "api_key_env", "solver_base_url", "solver_api_key_env", "max_in_flight")),
    ],
    answering: Answering,
    cells: Cells,
    config: Annotated[DistillConfig, Only(TRAINED)],
    money: Money,
    plan: Annotated[bool, Option("Say what it takes, and stop.")] = False,
) -> None:
    """Measure which part to distil: the paper's tables, with intervals, tests and money."""
    import decompose_distill as dd
    from decompose_distill.experiments.variants import COLUMNS, ROWS

    def solving(backend: "Backend") -> "Solver":
        return dd.Solver(backend, sampling=answering.sampling(backend))

    main, *further = _each_once(solver or (teacher,))
    questions = reading.load(train, "train"), reading.load(test)
    expert, solver_backend = servers.load_roles(teacher, main, batches=output_dir)
    work = partial(
        dd.paper,
        dd.Pipeline(
            dd.Decomposer(expert, sampling=answering.sampling(expert)), solving(solver_backend)
        ),
        *questions,
        student=dd.Student(
            resolve_student(call, student), sampling=answering.sampling(), config=config
        ),
        output_dir=output_dir,
        rows=_every(cells.rows, ROWS),
        columns=_every(cells.columns, (*COLUMNS, *further)),
        solvers={name: solving(servers.load(name, output_dir, solves=True)) for name in further},
        transfer=_transfers(transfer or (), reading),
        seeds=cells.seeds,
        samples=cells.samples,
        solves=cells.solves,
        score=getattr(dd.scores, cells.score),
        budget_usd=money.budget_usd,
        prices=money.read_prices() or None,
        usd_per_hour=cells.usd_per_hour,
        title=cells.title,
    )
    if plan:
        work(say=_say_and_stop)
    _check_folder(output_dir)
    with call.writing(output_dir, folder=True, kept="what is finished"):
        work(say=call.say)


def _each_once(solvers: Sequence[str]) -> Sequence[str]:
    if len(set(solvers)) < len(solvers):
        raise ConfigError(f"--solver: name each once, not {', '.join(solvers)}")
    return solvers


def _transfers(sources: Sequence[str], reading: Reading) -> "dict[str, tuple[Question, ...]]":
    names = [Path(source).stem for source in sources]
    if len(set(names)) < len(names):
        raise ConfigError(f"--transfer: name the files differently, not {', '.join(names)}")
    return {name: reading.load(source) for name, source in zip(names, sources, strict=True)}


def _every(names: Sequence[str] | None, every: tuple[str, ...]) -> Sequence[str] | None:
    return every if names == ("all",) else names


def _check_folder(output_dir: Path) -> None:
    """Refuse the folder of a student, among whose files those of the study would lie."""
    from decompose_distill.training.checkpoints.checkpoint import MANIFEST

    if (output_dir / MANIFEST).exists():
        raise ConfigError(f"--output-dir {output_dir} is a student: name another directory")


def _say_and_stop(line: str) -> None:
    """The plan is the first that is said, before anything is asked or written."""
    print(line, flush=True)
    raise typer.Exit


def report(call: Call, folder: Annotated[Path, Argument("A folder with a saved study.")]) -> None:
    """Write report.html, report.md and report.json anew from a saved study."""
    from decompose_distill.reporting.render import write_report
    from decompose_distill.reporting.study_file import load_study

    call.show(write_report(load_study(folder), folder))
