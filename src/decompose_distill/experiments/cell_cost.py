"""What a cell of the matrix cost: tokens or seconds at their price, and training before that."""

from collections.abc import Sequence
from decimal import Decimal

from decompose_distill.backend import identity
from decompose_distill.cost.break_even import Cost, Expense, machine_usd, usage_by_role
from decompose_distill.cost.ledger import find_price
from decompose_distill.cost.pricing import add_usd, dearest
from decompose_distill.experiments.components import student_place
from decompose_distill.experiments.measurement import SeedRun
from decompose_distill.experiments.setup import ExperimentSetup
from decompose_distill.experiments.training_data import Training
from decompose_distill.experiments.variants import (
    SHUFFLED,
    SINGLE_CALL,
    TEACHER,
    VARIANTS,
    students,
)
from decompose_distill.pipelines.roles import backends_of
from decompose_distill.reporting.study import Place
from decompose_distill.training.checkpoints.checkpoint import load_manifest
from decompose_distill.types import Usage

LOCAL = "hf:"
"""How the identity of a model in this process begins."""


def cell_cost(
    setup: ExperimentSetup, training: Training, where: Place, repeats: Sequence[SeedRun]
) -> Cost:
    """What all repeats of a cell cost together; the training is that of one repeat."""
    row, column = where
    traces = [trace for repeat in repeats for trace in repeat.traces]
    decomposed, solved = usage_by_role(traces)
    expenses = []
    if row not in SINGLE_CALL:
        model = TEACHER if row == SHUFFLED else row
        seconds = _sum([repeat.decompose_seconds for repeat in repeats])
        expenses.append(Expense("decomposer", decomposed, _usd(setup, model, decomposed, seconds)))
    seconds = _sum([repeat.solve_seconds for repeat in repeats])
    expenses.append(Expense("solver", solved, _usd(setup, column, solved, seconds)))
    return Cost(len(traces), tuple(expenses), _training_usd(setup, training, where))


def _usd(setup: ExperimentSetup, model: str, usage: Usage, seconds: float | None) -> Decimal | None:
    """Price of what a model did: by its tokens, or by the seconds of the machine it ran on."""
    given = {TEACHER: setup.teacher, **setup.solvers}
    if model not in given or _is_local(given[model]):
        return _machine(setup, seconds)
    prices = setup.purse.prices or {}
    found = (find_price(model, each, prices, budgeted=False) for each in _priced(given[model]))
    price = dearest(list(found))
    return None if price is None else price.usd(usage)


def _priced(role: object) -> Sequence[object]:
    """What has a price: a role's backends, or a role without one itself."""
    return tuple(backends_of(role).values()) or (role,)


def _training_usd(setup: ExperimentSetup, training: Training, where: Place) -> Decimal | None:
    """The teacher's traces and the training of the cell's students, the mean of the seeds.

    The solves that only S_D-uplift needs are counted for it alone.
    """
    names = students(where)
    if not names:
        return Decimal(0)
    weighed = any(VARIANTS[name].screen == "uplift" for name in names)
    found = traces_usd(setup, training, weighed=weighed)
    for name in names:
        seconds = [_seconds(setup, training, name, seed) for seed in setup.seeds]
        paid = machine_usd(sum(seconds) / len(seconds), setup.usd_per_hour)
        found = None if found is None or paid is None else found + paid
    return found


def traces_usd(setup: ExperimentSetup, training: Training, *, weighed: bool) -> Decimal | None:
    """What is not of this machine by its price; the machine for the whole pass where one is."""
    solver, answers = next(iter(setup.solvers.items()))
    solved = training.solved + training.alone if weighed else training.traces
    decomposed, used = usage_by_role(training.traces)[0], usage_by_role(solved)[1]
    roles = ((TEACHER, setup.teacher, decomposed), (solver, answers, used))
    paid = [_usd(setup, name, usage, None) for name, role, usage in roles if not _is_local(role)]
    if len(paid) < len(roles):
        made = len(training.solved + training.alone)
        share = len(solved) / made if made else 0.0
        seconds = None if training.seconds is None else share * training.seconds
        paid.append(_machine(setup, seconds))
    return add_usd(paid)


def _is_local(role: object) -> bool:
    return all(identity(each).startswith(LOCAL) for each in _priced(role))


def _machine(setup: ExperimentSetup, seconds: float | None) -> Decimal | None:
    return None if seconds is None else machine_usd(seconds, setup.usd_per_hour)


def _seconds(setup: ExperimentSetup, training: Training, variant: str, seed: int) -> float:
    checkpoint, _ = student_place(setup, training, variant, seed)
    manifest = load_manifest(checkpoint, role=VARIANTS[variant].role)
    return float(manifest.figures["seconds"])


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None
