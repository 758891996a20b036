"""From what was measured to the study that the report shows: cells, their cost, and the rest."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from decompose_distill.backend import identity
from decompose_distill.cost.break_even import Cost, Expense, machine_usd, usage_by_role
from decompose_distill.cost.ledger import find_price
from decompose_distill.cost.pricing import add_usd, dearest
from decompose_distill.evaluation.contamination import Overlap, find_overlap
from decompose_distill.evaluation.results import Comparison, score_label, score_traces
from decompose_distill.experiments.values import (
    TEST,
    Experiment,
    ExperimentSetup,
    SeedRun,
    TrainingTraces,
)
from decompose_distill.experiments.variants import (
    BASELINE,
    COMPARED,
    SHUFFLED,
    SINGLE_CALL,
    SOLVER,
    TEACHER,
    VARIANTS,
    students,
)
from decompose_distill.keys import fingerprint
from decompose_distill.models.loading import context_window, load_config, load_tokenizer
from decompose_distill.pipelines.roles import backends_of
from decompose_distill.prompts import Prompt
from decompose_distill.reporting.study import (
    Cell,
    Flow,
    Grid,
    LossCurve,
    MaskedRow,
    Place,
    Study,
)
from decompose_distill.training.checkpoints.checkpoint import load_losses, load_manifest
from decompose_distill.training.data.examples import make_examples, tokenize
from decompose_distill.types import Usage

DECOMPOSER = (("S_D-R", SOLVER), ("S_D-T", SOLVER), ("S_D-uplift", SOLVER))
DISTILLED_SOLVER = tuple((TEACHER, name) for name in ("S_E-R", "S_E-T", "S_E-A", "answer-only"))
"""Cells the answer on top compares with the teacher's: the first of each that was measured."""
LOCAL = "hf:"
"""How the identity of a model in this process begins."""


def find_overlaps(setup: ExperimentSetup) -> Mapping[str, Overlap]:
    """By split, the questions that are among the training questions, if anything is trained."""
    if not setup.needs_training_traces:
        return {}
    return {
        split: find_overlap(setup.train, questions) for split, questions in setup.splits.items()
    }


def overlap_warning(split: str, overlap: Overlap) -> str:
    """What to say of questions that were trained on."""
    return f"{split or 'test'}: contaminated, {overlap}"


def make_cell(
    experiment: Experiment, key: Place, runs: Sequence[SeedRun], overlap: Overlap | None
) -> Cell:
    """One cell with its scores and its cost."""
    name = " × ".join(key)
    reports = tuple(score_traces(name, run.traces, experiment.setup.score, overlap) for run in runs)
    return Cell(*key, reports, cell_cost(experiment, key, runs))


def cell_cost(experiment: Experiment, key: Place, runs: Sequence[SeedRun]) -> Cost:
    """What all runs of a cell cost together; the training is that of one run."""
    (row, column), setup = key, experiment.setup
    traces = [trace for run in runs for trace in run.traces]
    decomposed, solved = usage_by_role(traces)
    expenses = []
    if row not in SINGLE_CALL:
        model = TEACHER if row == SHUFFLED else row
        seconds = _sum([run.decompose_seconds for run in runs])
        usd = _model_usd(setup, model, decomposed, seconds)
        expenses.append(Expense("decomposer", decomposed, usd))
    seconds = _sum([run.solve_seconds for run in runs])
    expenses.append(Expense("solver", solved, _model_usd(setup, column, solved, seconds)))
    return Cost(len(traces), tuple(expenses), _training_usd(experiment, key))


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None


def _model_usd(
    setup: ExperimentSetup, model: str, usage: Usage, seconds: float | None
) -> Decimal | None:
    """Price of what a model did: by its tokens, or by the seconds of the machine it ran on."""
    roles = {TEACHER: setup.teacher, **setup.solvers}
    if model not in roles or _is_local(roles[model]):
        return _machine_usd(setup, seconds)
    prices = setup.budget.prices or {}
    backends = _priced(roles[model])
    price = dearest([find_price(model, one, prices, budgeted=False) for one in backends])
    return None if price is None else price.usd(usage)


def _priced(role: object) -> Sequence[object]:
    """What has a price: a role's backends, or a role without one itself."""
    return tuple(backends_of(role).values()) or (role,)


def _is_local(role: object) -> bool:
    return all(identity(backend).startswith(LOCAL) for backend in _priced(role))


def _machine_usd(setup: ExperimentSetup, seconds: float | None) -> Decimal | None:
    return None if seconds is None else machine_usd(seconds, setup.config.usd_per_hour)


def _training_usd(experiment: Experiment, key: Place) -> Decimal | None:
    """The teacher's traces and the training of the cell's students, the mean of the seeds.

    The solves that only S_D-uplift needs are counted for it alone.
    """
    names, setup = students(key), experiment.setup
    if not names:
        return Decimal(0)
    uplift = any(VARIANTS[name].screen == "uplift" for name in names)
    parts = [traces_usd(experiment, uplift=uplift)]
    for name in names:
        seconds = [_training_seconds(experiment, name, seed) for seed in setup.config.seeds]
        parts.append(machine_usd(sum(seconds) / len(seconds), setup.config.usd_per_hour))
    return add_usd(parts)


def _training_seconds(experiment: Experiment, variant: str, seed: int) -> float:
    checkpoint = experiment.checkpoint(variant, seed)
    manifest = load_manifest(checkpoint, role=VARIANTS[variant].role)
    return float(manifest.figures["seconds"])


def traces_usd(experiment: Experiment, *, uplift: bool) -> Decimal | None:
    """Price of the training traces: of models elsewhere by tokens, of those here by seconds."""
    setup, training = experiment.setup, experiment.training
    name, solver = setup.main_solver
    solved = training.solved + training.alone if uplift else training.traces
    decomposed, used = usage_by_role(training.traces)[0], usage_by_role(solved)[1]
    roles = ((TEACHER, setup.teacher, decomposed), (name, solver, used))
    parts = [
        _model_usd(setup, name, usage, None) for name, role, usage in roles if not _is_local(role)
    ]
    if len(parts) < len(roles):
        total = len(training.solved + training.alone)
        share = len(solved) / total if total else 0.0
        seconds = None if training.seconds is None else share * training.seconds
        parts.append(_machine_usd(setup, seconds))
    return add_usd(parts)


def build_study(
    experiment: Experiment,
    cells: Mapping[str, Sequence[Cell]],
    overlaps: Mapping[str, Overlap],
    left_out: Sequence[str],
) -> Study:
    """Everything the report shows."""
    setup, main = experiment.setup, {cell.place: cell for cell in cells[TEST]}
    warnings = (overlap_warning(split, overlap) for split, overlap in overlaps.items() if overlap)
    return Study(
        setup.config.title,
        tuple(cells[TEST]),
        teacher=BASELINE,
        decomposer=next((key for key in DECOMPOSER if key in main), None),
        solver=next((key for key in DISTILLED_SOLVER if key in main), None),
        comparisons=tuple(_comparisons(main)),
        transfers=tuple(Grid(split, tuple(cells[split])) for split in setup.splits if split),
        flows=tuple(_flow(experiment.training, variant) for variant in setup.variants),
        losses=tuple(_losses(experiment)),
        masked_rows=tuple(_masked_rows(experiment)),
        warnings=(*warnings, *left_out),
        settings=_settings(setup),
    )


def _comparisons(cells: Mapping[Place, Cell]) -> Iterator[Comparison]:
    for first, baseline in COMPARED:
        one, other = cells.get(first), cells.get(baseline)
        if one and other and one.values.keys() & other.values.keys():
            yield one.compare(other)


def _flow(training: TrainingTraces, variant: str) -> Flow:
    screened = training.screened(variant)
    return Flow(variant, len(training.traces), len(screened.kept), screened.dropped)


def _losses(experiment: Experiment) -> Iterator[LossCurve]:
    seeds = experiment.setup.config.seeds
    for variant in experiment.setup.variants:
        for seed in seeds:
            losses = load_losses(experiment.checkpoint(variant, seed))
            suffix = f", seed {seed}" if len(seeds) > 1 else ""
            train = tuple(enumerate(losses.train, start=1))
            yield LossCurve(variant + suffix, train, losses.validation)


def _masked_rows(experiment: Experiment) -> Iterator[MaskedRow]:
    """The first example of each student, token by token as it was trained."""
    student = experiment.setup.student
    if not experiment.setup.variants:
        return
    tokenizer = load_tokenizer(student.model)
    window = context_window(load_config(student.model))
    for variant in experiment.setup.variants:
        learned = VARIANTS[variant]
        prompt = student.prompt_for(learned.target)
        kept = experiment.training.screened(variant).kept[:1]
        for example in make_examples(kept, learned.role, prompt, learned.target):
            row = tokenize(tokenizer, example, window)
            tokens = tuple(tokenizer.decode([token]) for token in row.ids[row.start :])
            yield MaskedRow(variant, tokenizer.decode(row.ids[: row.start]), tokens)


def _settings(setup: ExperimentSetup) -> dict[str, Any]:
    """How it was measured, as plain data that JSON holds."""
    config, packages = setup.config, ("decompose-distill", "torch", "transformers")
    settings = {
        "Teacher": _role(setup.teacher),
        **{f"Column {name}": _role(solver) for name, solver in setup.solvers.items()},
        "Student": str(setup.student.model),
        "Training questions": {"questions": len(setup.train), "samples": config.samples},
        "Measured questions": {split or "test": len(some) for split, some in setup.splits.items()},
        "Score": score_label(setup.score),
        "Training": asdict(setup.student.config),
        "Training seeds": config.seeds,
        "Versions": {name: version(name) for name in packages},
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return plain


def _role(role: object) -> Any:
    """A role by its fields, such as prompt and sampling; one that is no dataclass by its name."""
    if not is_dataclass(role):
        return identity(role)
    return {field.name: _plain(getattr(role, field.name)) for field in fields(role)}


def _plain(value: Any) -> Any:
    if isinstance(value, Prompt):
        return value.to_json()
    if hasattr(value, "KEY_FIELDS"):
        return fingerprint(value)
    return value if value is None or isinstance(value, str | int | float) else identity(value)
