"""What a matrix will ask, train and pay, said before it starts."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache, partial

from decompose_distill.collection.planning import plan
from decompose_distill.cost.estimates import NOTHING, Estimate
from decompose_distill.cost.pricing import show_usd
from decompose_distill.experiments.result_cache import TRACES
from decompose_distill.experiments.setup import TEST, ExperimentSetup
from decompose_distill.experiments.training_data import collections
from decompose_distill.experiments.variants import SHUFFLED, SINGLE_CALL, TEACHER
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes

RoleForecast = tuple[str, Estimate | None]
"""Who is asked, and the price in US dollars; `None` where it is unknown."""


def describe_plan(setup: ExperimentSetup) -> str:
    """The work from its beginning, as lines for a person; what is finished is not done again."""
    rows = {row for row, _ in setup.places}
    several = f", {len(setup.seeds)} seeds" if len(setup.seeds) > 1 else ""
    lines = [f"{len(setup.places)} cells: {len(rows)} rows, {len(setup.columns)} columns{several}"]
    if setup.learns:
        asked = len(setup.train) * setup.samples
        lines.append(f"collect: {asked:,} traces of {len(setup.train):,} training questions")
    if setup.weighs:
        lines.append(f"weigh: solves of each, and without decomposition: {setup.solves}")
    if setup.variants:
        names = ", ".join(setup.variants)
        lines.append(f"train: {names}{several}, from {setup.student.model}")
    lines.append(f"measure: {_measured(setup)}")
    lines += [f"ask {name}: {count:,} requests" for name, count in requests(setup).items()]
    return "\n".join((*lines, _cost(setup)))


def _measured(setup: ExperimentSetup) -> str:
    return ", ".join(
        f"{len(setup.places_on(split))} cells on {len(questions):,} "
        + ("test questions" if split == TEST else f"of {split}")
        for split, questions in setup.splits.items()
    )


def requests(setup: ExperimentSetup) -> Counter[str]:
    """Most requests to the teacher and to each solver that was given, by its name."""
    found = Counter[str]()
    for each in collections(setup):
        asked = len(setup.train) * each.samples
        found[TEACHER] += asked if each.pipeline.decomposer else 0
        found[next(iter(setup.solvers))] += asked * each.solves
    for split, questions in setup.splits.items():
        places = setup.places_on(split)
        found[TEACHER] += len(questions) * any(row in (TEACHER, SHUFFLED) for row, _ in places)
        for place in places:
            if place[1] in setup.solvers:
                found[place[1]] += len(questions) * len(setup.seeds_of(place))
    return +found


def _cost(setup: ExperimentSetup) -> str:
    total, unknown = NOTHING, set[str]()
    for name, usd in _forecasts(setup):
        total += usd or NOTHING
        unknown |= {name} if usd is None else set()
    low, expected, high = (
        show_usd(Decimal(str(each))) for each in (total.low, total.expected, total.high)
    )
    told = [] if unknown and not total.high else [expected]
    told += [f"({low}–{high})"] if low != high else []
    told += [f"unknown for {', '.join(sorted(unknown))}, give --prices"] if unknown else []
    return f"cost: {' '.join(told)}; spent so far: {show_usd(setup.purse.spent_usd())}"


def _forecasts(setup: ExperimentSetup) -> Iterator[RoleForecast]:
    names = {"decomposer": TEACHER, "solver": next(iter(setup.solvers))}
    for each in collections(setup):
        counted = plan(
            each.pipeline,
            setup.train,
            samples=each.samples,
            solves=each.solves,
            prices=setup.purse.prices,
        )
        yield from ((names[role.stage], role.usd) for role in counted.roles)
    for split in setup.splits:
        yield from _forecasts_on(setup, split)


def _forecasts_on(setup: ExperimentSetup, split: str) -> Iterator[RoleForecast]:
    places = setup.places_on(split)
    foretold = cache(partial(_by_role, setup, split))
    if any(row in (TEACHER, SHUFFLED) for row, _ in places):
        found = foretold(TEACHER, next(iter(setup.solvers)))
        yield from ((TEACHER, usd) for role, usd in found.items() if role == "decomposer")
    for row, column in places:
        if column in setup.solvers:
            found = foretold(row if row in SINGLE_CALL else TEACHER, column)
            repeats = len(setup.seeds_of((row, column)))
            for role, usd in found.items():
                if role == "solver":
                    yield column, None if usd is None else usd * repeats


def _by_role(
    setup: ExperimentSetup, split: str, row: str, column: str
) -> dict[str, Estimate | None]:
    """Prices of one cell; none for a stage without a backend, such as a calculator."""
    solver, first = setup.solvers[column], None if row in SINGLE_CALL else setup.teacher
    if isinstance(solver, HasModes) and (mode := SINGLE_CALL.get(row)):
        solver = solver.with_mode(mode)
    made = collections(setup)
    # What answers to training questions used tells of those to come.
    known = made[0].folder(setup) / TRACES if made else None
    asked, prices = setup.splits[split], setup.purse.prices
    roles = plan(Pipeline(first, solver), asked, known, prices=prices).roles
    totals: dict[str, Estimate | None] = {}
    for role in roles:  # one of a user's own may ask several backends
        spent = totals.get(role.stage, NOTHING)
        totals[role.stage] = None if spent is None or role.usd is None else spent + role.usd
    return totals
