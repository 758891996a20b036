"""What an experiment will ask, train and pay, as lines for a person."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, partial

from decompose_distill.collection.planning import plan
from decompose_distill.cost.forecast import NOTHING, Estimate, Plan, usd_range
from decompose_distill.cost.pricing import format_usd
from decompose_distill.experiments.duration import describe_time, total
from decompose_distill.experiments.progress import Kind, cell_kind, collect_kind
from decompose_distill.experiments.result_cache import TRACES, collections
from decompose_distill.experiments.values import TEST, ExperimentSetup
from decompose_distill.experiments.variants import SHUFFLED, SINGLE_CALL, TEACHER
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes

PricedRole = tuple[str, Estimate | None]
"""Who is asked, and the price in US dollars; `None` if it is unknown."""


def describe_plan(setup: ExperimentSetup, asking: Sequence[tuple[Kind, Estimate | None]]) -> str:
    """The work from its beginning, as lines for a person; what is finished is not done again."""
    rows, seeds = {row for row, _ in setup.places}, setup.config.seeds
    repeated = f", {len(seeds)} seeds" if len(seeds) > 1 else ""
    lines = [f"{len(setup.places)} cells: {len(rows)} rows, {len(setup.columns)} columns{repeated}"]
    if setup.needs_training_traces:
        traces = len(setup.train) * setup.config.samples
        lines.append(f"collect: {traces:,} traces of {len(setup.train):,} training questions")
    if setup.measures_uplift:
        lines.append(f"weigh: solves of each, and without decomposition: {setup.config.solves}")
    if setup.variants:
        names = ", ".join(setup.variants)
        lines.append(f"train: {names}{repeated}, from {setup.student.model}")
    lines.append(f"measure: {_measured(setup)}")
    lines += [f"ask {name}: {count:,} requests" for name, count in requests(setup).items()]
    seconds = total(seconds for _, seconds in asking)
    return "\n".join((*lines, _cost(setup), describe_time(setup, seconds)))


def asking_seconds(setup: ExperimentSetup) -> Iterator[tuple[Kind, Estimate | None]]:
    """Of each collection and each cell that asks, at the speed of the servers."""
    for spec in collections(setup):
        forecast = plan(spec.pipeline, setup.train, samples=spec.samples, solves=spec.solves)
        yield collect_kind(spec.name), forecast.seconds
    for split in setup.splits:
        by_cell = cache(partial(_plan_cell, setup, split))
        for row, column in setup.places_on(split):
            if column in setup.solvers:
                seconds = by_cell(row if row in SINGLE_CALL else TEACHER, column).seconds
                for _ in setup.seeds_of((row, column)):
                    yield cell_kind((row, column), split), seconds


def _measured(setup: ExperimentSetup) -> str:
    return ", ".join(
        f"{len(setup.places_on(split))} cells on {len(questions):,} "
        + ("test questions" if split == TEST else f"of {split}")
        for split, questions in setup.splits.items()
    )


def requests(setup: ExperimentSetup) -> Counter[str]:
    """Most requests to the teacher and to each solver that was given, by its name."""
    counts = Counter[str]()
    for spec in collections(setup):
        prompts = len(setup.train) * spec.samples
        counts[TEACHER] += prompts if spec.pipeline.decomposer else 0
        counts[setup.main_solver[0]] += prompts * spec.solves
    for split, questions in setup.splits.items():
        places = setup.places_on(split)
        counts[TEACHER] += len(questions) * any(row in (TEACHER, SHUFFLED) for row, _ in places)
        for key in places:
            if key[1] in setup.solvers:
                counts[key[1]] += len(questions) * len(setup.seeds_of(key))
    return +counts


def _cost(setup: ExperimentSetup) -> str:
    known, unknown = NOTHING, set[str]()
    for name, usd in _prices(setup):
        known += usd or NOTHING
        unknown |= {name} if usd is None else set()
    parts = [] if unknown and not known.high else [usd_range(known)]
    parts += [f"unknown for {', '.join(sorted(unknown))}, give --prices"] if unknown else []
    return f"cost: {' '.join(parts)}; spent so far: {format_usd(setup.budget.spent_usd())}"


def _prices(setup: ExperimentSetup) -> Iterator[PricedRole]:
    names = {"decomposer": TEACHER, "solver": setup.main_solver[0]}
    for spec in collections(setup):
        forecast = plan(
            spec.pipeline,
            setup.train,
            samples=spec.samples,
            solves=spec.solves,
            prices=setup.budget.prices,
        )
        yield from ((names[role.stage], role.usd) for role in forecast.roles)
    for split in setup.splits:
        yield from _prices_on(setup, split)


def _prices_on(setup: ExperimentSetup, split: str) -> Iterator[PricedRole]:
    places = setup.places_on(split)
    by_role = cache(partial(_by_role, setup, split))
    if any(row in (TEACHER, SHUFFLED) for row, _ in places):
        prices = by_role(TEACHER, setup.main_solver[0])
        yield from ((TEACHER, usd) for role, usd in prices.items() if role == "decomposer")
    for row, column in places:
        if column in setup.solvers:
            prices = by_role(row if row in SINGLE_CALL else TEACHER, column)
            repeats = len(setup.seeds_of((row, column)))
            for role, usd in prices.items():
                if role == "solver":
                    yield column, None if usd is None else usd * repeats


def _by_role(
    setup: ExperimentSetup, split: str, row: str, column: str
) -> dict[str, Estimate | None]:
    """Prices of one cell; none for a stage without a backend, such as a calculator."""
    totals: dict[str, Estimate | None] = {}
    for role in _plan_cell(setup, split, row, column).roles:  # a user's own may ask several
        usd = totals.get(role.stage, NOTHING)
        totals[role.stage] = None if usd is None or role.usd is None else usd + role.usd
    return totals


def _plan_cell(setup: ExperimentSetup, split: str, row: str, column: str) -> Plan:
    solver, decomposer = setup.solvers[column], None if row in SINGLE_CALL else setup.teacher
    if isinstance(solver, HasModes) and (mode := SINGLE_CALL.get(row)):
        solver = solver.with_mode(mode)
    specs = collections(setup)
    # What answers to training questions used tells of those to come.
    known = specs[0].folder(setup) / TRACES if specs else None
    questions, prices = setup.splits[split], setup.budget.prices
    return plan(Pipeline(decomposer, solver), questions, known, prices=prices)
