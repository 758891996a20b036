"""paper(): the whole matrix, resumable, as a study and its written report."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from decompose_distill import scores
from decompose_distill.console import Display, above_bars, overview
from decompose_distill.cost.forecast import Estimate
from decompose_distill.cost.pricing import Price
from decompose_distill.data.questions import QuestionSource
from decompose_distill.errors import ConfigError
from decompose_distill.evaluation.contamination import Overlap
from decompose_distill.evaluation.results import score_label
from decompose_distill.experiments.config import PaperConfig
from decompose_distill.experiments.duration import training_time
from decompose_distill.experiments.forecast import asking_seconds, describe_plan
from decompose_distill.experiments.measurement import measure
from decompose_distill.experiments.progress import TRAIN, ExperimentProgress, Kind
from decompose_distill.experiments.result_cache import collect_training
from decompose_distill.experiments.setup import make_setup
from decompose_distill.experiments.student import Student
from decompose_distill.experiments.study_builder import (
    build_study,
    find_overlaps,
    make_cell,
    overlap_warning,
)
from decompose_distill.experiments.values import TEST, Experiment, ExperimentSetup, SeedRun
from decompose_distill.experiments.variants import FEW_SHOT
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import Solving
from decompose_distill.reporting.conclusion import conclude, correct_comparisons
from decompose_distill.reporting.render import write_report
from decompose_distill.reporting.study import Cell, Grid, Study
from decompose_distill.reporting.study_file import save_study
from decompose_distill.reporting.tables import cell_line, grid_text, header

Say = Callable[[str], None]


def paper(
    pipeline: Pipeline,
    train: QuestionSource,
    test: QuestionSource,
    *,
    student: str | Path | Student,
    output_dir: str | Path,
    config: PaperConfig | None = None,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    solvers: Mapping[str, Solving] | None = None,
    transfer: Mapping[str, QuestionSource] | None = None,
    seeds: Sequence[int] | None = None,
    samples: int | None = None,
    solves: int | None = None,
    score: scores.Score | scores.ScoreName | str | None = None,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Price] | None = None,
    usd_per_hour: Decimal | float | None = None,
    title: str | None = None,
    say: Say = print,
    progress: bool | None = None,
) -> Study:
    """Measure which part of a task to distil: the paper's tables and the rows it left out.

    The teacher's traces of the training questions are collected, the students of the matrix
    trained on them, and every decomposer (row) is set before every solver (column) on the test
    questions: arXiv 2402.15000, Tables 1, 3, 4 and 7, with the baselines of a single call that
    may reason, few-shot, shuffled subquestions and a screened solver. Stopped at any moment, the
    same call goes on where it was: finished traces, students and cells are found by the hash of
    what they were made from. Writes `report.html`, `report.md` and `report.json`.

    Args:
        pipeline: The teacher as decomposer, and the main solver, which also solves the training
            questions.
        train: Questions that students learn from, with gold answers.
        test: Questions measured, with gold answers; none of them among those of `train`.
        student: What every trained and untrained row starts from.
        output_dir: A directory, created or continued.
        config: Settings as one value, such as a file holds them; those given beside it take the
            place of its own.
        rows: Decomposers to measure, of `experiments.ROWS`; by default all with the main
            solver, and few with the other columns.
        columns: Solvers to measure, of `experiments.COLUMNS` and `solvers`. Rows and columns
            together give every combination of the two.
        solvers: Further solvers by the name of their column (the paper's Table 4).
        transfer: Questions of other domains by name, on which the students are measured too
            (the paper's Table 3).
        seeds: Of the trainings; each gives one more student of every kind.
        samples: Decompositions per training question; several need a temperature above 0.
        solves: Solutions of each, with and without a decomposition, that S_D-uplift counts.
        score: Judges the test answers, and screens the training traces of S_D-R and S_E-R.
        budget_usd: The most that teacher and solvers may cost in all, over all calls with this
            `output_dir`.
        prices: Prices by model, before those of the [table](../how-to/budget.md); of a stage of
            your own by its class, such as `package.module.Calculator`.
        usd_per_hour: US dollars per hour of the machine that trains and runs the students.
        title: Of the report.
        say: Takes each line of the account as it is known.
        progress: Show, as `collect` shows its bar, one line with stage, cell or student, money
            and time left, and below it the bar of what is under way.

    Raises:
        ConfigError: A name is unknown, a setting does not fit, or another process is at work
            in `output_dir`.
        DataError: Questions or all their gold answers are missing.
        BudgetExceeded: The budget is used up; a call with a larger one goes on from there.
        BackendError: A backend permanently refused, or the student cannot be loaded.
        MissingExtraError: LoRA without peft.
        TrainingError: A student could not be trained.

    Example:
        ```python
        teacher = dd.load_backend("openai:gpt-4.1-mini")
        study = dd.paper(
            dd.Pipeline(dd.Decomposer(teacher), dd.Solver(teacher)),
            dd.load_questions("gsm8k", split="train"),
            dd.load_questions("gsm8k"),
            student="HuggingFaceTB/SmolLM2-135M-Instruct",
            output_dir="runs/gsm8k",
            score=dd.scores.gsm8k,
        )
        ```
    """
    config = _override(
        config or PaperConfig(),
        rows=rows,
        columns=columns,
        seeds=seeds,
        samples=samples,
        solves=solves,
        budget_usd=budget_usd,
        usd_per_hour=usd_per_hour,
        title=title,
        progress=progress,
    )
    setup = make_setup(
        config,
        pipeline,
        train,
        test,
        student=student,
        output_dir=output_dir,
        solvers=solvers or {},
        transfer=transfer or {},
        score=scores.as_score(score or config.score),
        prices=prices,
    )
    with overview(show=config.progress) as display:
        return _paper(setup, display, above_bars(say))


def _override(config: PaperConfig, **arguments: Any) -> PaperConfig:
    """The settings, with those that were given beside them."""
    return replace(
        config, **{name: value for name, value in arguments.items() if value is not None}
    )


def _paper(setup: ExperimentSetup, display: Display, say: Say) -> Study:
    """Say what it takes, and do it."""
    overlaps = find_overlaps(setup)
    for split, overlap in overlaps.items():
        if overlap:
            warnings.warn(overlap_warning(split, overlap), stacklevel=3)
    asking = [*asking_seconds(setup)]
    say(describe_plan(setup, asking))
    setup.output_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(setup.output_dir / "lock", timeout=0):
            progress = ExperimentProgress(display, setup, _expected_seconds(setup, asking))
            return _run(setup, overlaps, progress, say)
    except Timeout as error:
        raise ConfigError(
            f"output_dir {setup.output_dir}: another process is at work in it; wait for it, or "
            "name another directory"
        ) from error


def _expected_seconds(
    setup: ExperimentSetup, asking: Sequence[tuple[Kind, Estimate | None]]
) -> Mapping[Kind, float]:
    """Of a step by its kind, as far as a forecast tells before anything is measured."""
    expected = {kind: seconds.expected for kind, seconds in asking if seconds is not None}
    training = training_time(setup) if setup.variants else None
    if training is not None:
        number = len(setup.variants) * len(setup.config.seeds)
        expected[(TRAIN,)] = training.expected / number
    return expected


def _run(
    setup: ExperimentSetup, overlaps: Mapping[str, Overlap], progress: ExperimentProgress, say: Say
) -> Study:
    training = collect_training(setup, progress)
    learners = (*setup.variants, *({FEW_SHOT} & {row for row, _ in setup.places}))
    missing = [name for name in learners if not training.teaches(name)]
    left_out = [
        f"{name}: left out, as none of {len(training.traces)} traces was kept for it"
        for name in missing
    ]
    for warning in left_out:
        warnings.warn(warning, stacklevel=4)
    experiment = Experiment(setup.without(missing), training)
    progress.plan(experiment.setup)
    say("\n" + header(score_label(setup.score)))
    cells: dict[str, list[Cell]] = {split: [] for split in setup.splits}
    for split, cell in _cells(experiment, overlaps, progress):
        cells[split].append(cell)
        say(cell_line(cell) + (f"  ({split})" if split else ""))
    study = build_study(experiment, cells, overlaps, left_out)
    say(f"\n{grid_text(Grid(TEST, study.cells))}")
    for transfer in study.transfers:
        say(f"\n{transfer.name}\n{grid_text(transfer)}")
    say(f"\n{conclude(study, correct_comparisons(study)).headline}")
    save_study(study, setup.output_dir)
    say(f"\n{write_report(study, setup.output_dir)}")
    return study


def _cells(
    experiment: Experiment, overlaps: Mapping[str, Overlap], progress: ExperimentProgress
) -> Iterable[tuple[str, Cell]]:
    """Each cell as soon as its last seed is measured."""
    runs: dict[tuple[str, str, str], list[SeedRun]] = defaultdict(list)
    for run in measure(experiment, progress):
        finished = runs[run.split, *run.place]
        finished.append(run)
        if len(finished) == len(experiment.setup.seeds_of(run.place)):
            overlap = overlaps.get(run.split)
            yield run.split, make_cell(experiment, run.place, finished, overlap)
