"""The commands `paper` and `report`, a few lines over the functions."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import decompose_distill as dd
from decompose_distill.cli.asking import TeacherName
from decompose_distill.cli.call import Call
from decompose_distill.cli.evaluating import check_scored
from decompose_distill.cli.options import (
    Answering,
    Reading,
    Servers,
    StudentName,
    read_prices,
)
from decompose_distill.cli.settings import Argument, Only, Option, Without
from decompose_distill.cli.training import resolve_student
from decompose_distill.errors import ConfigError

SOURCE = "A file, or a dataset such as gsm8k or gsm8k:train."


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
    config: Annotated[dd.PaperConfig, Without(("progress",))],
    training: Annotated[dd.DistillConfig, Without(("seed", "patience"))],
    prices: Annotated[Path | None, Option("JSON file of prices by model.")] = None,
    plan: Annotated[bool, Option("Say what it takes, and stop.")] = False,
) -> None:
    """Measure which part to distil: the paper's tables, with intervals, tests and money."""

    def solving(backend: "dd.Backend") -> "dd.Solver":
        return dd.Solver(backend, sampling=answering.sampling(backend))

    main, *further = _each_once(solver or (teacher,))
    servers = _with_device(servers, training, (teacher, main, *further))
    questions = reading.load(train, "train"), reading.load(test)
    expert, solver_backend = servers.load_roles(
        teacher, main, batches=output_dir, needs_key=not plan
    )
    decomposer = dd.Decomposer(expert, sampling=answering.sampling(expert))
    model = resolve_student(call, student)
    work = partial(
        dd.paper,
        dd.Pipeline(decomposer, solving(solver_backend)),
        *questions,
        student=dd.Student(model, sampling=answering.of_student(), config=training),
        output_dir=output_dir,
        config=_with_every(config, further),
        solvers={
            name: solving(servers.load(name, output_dir, solves=True, needs_key=not plan))
            for name in further
        },
        transfer=_transfers(transfer or (), reading),
        prices=read_prices(prices),
    )
    if plan:
        work(say=_say_and_stop)
    _check_folder(output_dir)
    with call.writing(output_dir, folder=True, kept="what is finished"):
        study = work(say=call.say)
    check_scored([report for cell in study.cells for report in cell.reports])


def _with_device(servers: Servers, training: dd.DistillConfig, names: Sequence[str]) -> Servers:
    """Local models run where the students are trained, in the same numbers."""
    if not any(name.startswith("hf:") for name in names):
        return servers
    dtype = None if training.dtype == "auto" else training.dtype
    return replace(servers, device=training.device, dtype=dtype)


def _each_once(solvers: Sequence[str]) -> Sequence[str]:
    if len(set(solvers)) < len(solvers):
        raise ConfigError(f"--solver: name each once, not {', '.join(solvers)}")
    return solvers


def _transfers(sources: Sequence[str], reading: Reading) -> "dict[str, tuple[dd.Question, ...]]":
    names = [Path(source).stem for source in sources]
    if len(set(names)) < len(names):
        raise ConfigError(f"--transfer: name the files differently, not {', '.join(names)}")
    return {name: reading.load(source) for name, source in zip(names, sources, strict=True)}


def _with_every(config: dd.PaperConfig, further: Sequence[str]) -> dd.PaperConfig:
    """The settings, with every name in place of `all`."""
    from decompose_distill.experiments.variants import COLUMNS, ROWS

    rows = ROWS if config.rows == ("all",) else config.rows
    columns = (*COLUMNS, *further) if config.columns == ("all",) else config.columns
    return replace(config, rows=rows, columns=columns)


def _check_folder(output_dir: Path) -> None:
    """Refuse the folder of a student, among whose files those of the study would lie."""
    from decompose_distill.training.checkpoints.manifest import MANIFEST

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
