"""How far an experiment is, for the line over its bars: stage, step, money and time left."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from statistics import fmean

from decompose_distill.console import Display
from decompose_distill.cost.pricing import add_usd, format_usd
from decompose_distill.experiments.values import TEST, ExperimentSetup
from decompose_distill.experiments.variants import SHUFFLED, SINGLE_CALL, TEACHER
from decompose_distill.reporting.study import Place

COLLECT, TRAIN, MEASURE, DECOMPOSE = "collect", "train", "measure", "decompose"
"""Stages; to decompose is a part of measuring that is done once for all columns."""
COLLECTIONS = {"teacher": "the teacher's traces", "alone": "the solver alone"}
"""What to say of the files of training traces."""
Kind = tuple[str, ...]
"""Of steps that take about as long: their stage, and what else tells them apart."""


def collect_kind(name: str) -> Kind:
    """Of a collection of training traces."""
    return COLLECT, name


def cell_kind(key: Place, split: str) -> Kind:
    """Of the cells of a solver: how it is asked matters, not who decomposed."""
    row, column = key
    return MEASURE, column, row if row in SINGLE_CALL else TEACHER, split


def decompose_kind(row: str, split: str) -> Kind:
    """Of one decomposer."""
    return DECOMPOSE, row, split


def steps(setup: ExperimentSetup) -> Iterator[Kind]:
    """All that is to be done."""
    if setup.needs_training_traces:
        yield collect_kind("teacher")
    if setup.measures_uplift:
        yield collect_kind("alone")
    for _ in range(len(setup.variants) * len(setup.config.seeds)):
        yield (TRAIN,)
    for split in setup.splits:
        places = setup.places_on(split)
        for row in dict.fromkeys(row for row, _ in places):
            if row not in (*SINGLE_CALL, SHUFFLED):
                yield from (decompose_kind(row, split) for _ in setup.seeds_of((row, row)))
        for key in places:
            yield from (cell_kind(key, split) for _ in setup.seeds_of(key))


class ExperimentProgress:
    """Counts the steps of an experiment while they are done, and says so over the bars.

    Args:
        display: Where to say it.
        setup: What is to be done.
        expected: Seconds of a step by its kind, as far as they were forecast.
    """

    def __init__(
        self, display: Display, setup: ExperimentSetup, expected: Mapping[Kind, float]
    ) -> None:
        self._display, self._expected = display, expected
        self._budget, self._spent_before = setup.budget.budget_usd, setup.budget.spent_usd()
        self._finished: Counter[Kind] = Counter()
        self._measured: defaultdict[Kind, list[float]] = defaultdict(list)
        self._kind: Kind | None = None
        self._name, self._share, self._pace = "", 0.0, 0.0
        self._many_seeds = len(setup.config.seeds) > 1
        self.plan(setup)
        display.words = self._words

    def plan(self, setup: ExperimentSetup) -> None:
        """Take in what is to be done, some of which may turn out to be impossible."""
        self._all = Counter(steps(setup))

    def collecting(self, name: str) -> AbstractContextManager[None]:
        """While training traces are collected."""
        return self._step(collect_kind(name), COLLECTIONS[name])

    def training(self, variant: str, seed: int) -> AbstractContextManager[None]:
        """While a student is trained."""
        return self._step((TRAIN,), variant, seed=seed)

    def decomposing(self, row: str, split: str, seed: int) -> AbstractContextManager[None]:
        """While a decomposer is asked about the questions of a split."""
        return self._step(decompose_kind(row, split), f"{row} decomposes", split=split, seed=seed)

    def measuring(self, key: Place, split: str, seed: int) -> AbstractContextManager[None]:
        """While a solver is asked about them."""
        return self._step(cell_kind(key, split), " × ".join(key), split=split, seed=seed)

    @contextmanager
    def _step(self, kind: Kind, name: str, *, split: str = TEST, seed: int = 0) -> Iterator[None]:
        """Say what is under way.

        What shows no bar was done before: how long it takes to read says nothing of the others.
        """
        seeded = self._many_seeds and kind[0] != COLLECT
        parts = [name, split and f"on {split}", f"seed {seed}" if seeded else ""]
        self._kind, self._name = kind, ", ".join(filter(None, parts))
        self._share = self._pace = 0.0
        bars, began = self._display.bars, time.monotonic()
        self._display.refresh()
        yield
        if self._display.bars > bars:
            self._measured[kind].append(time.monotonic() - began)
        self._finished[kind] += 1
        self._kind = None
        self._display.refresh()

    def _words(self) -> str:
        """Such as `measure 3/26: S_D-R × solver, $0.42 of $10.00 spent, 12 minutes left`."""
        bar = self._display.bar
        if bar and bar.total:
            self._share = bar.done / bar.total
            self._pace = bar.total / bar.pace if bar.seconds_left is not None else 0.0
        return ", ".join(filter(None, (self._where(), self._money(), self._time())))

    def _where(self) -> str:
        if self._kind is None:
            return ", ".join(
                f"{stage} {self._count(self._finished, stage)}/{total}"
                for stage in (COLLECT, TRAIN, MEASURE)
                if (total := self._count(self._all, stage))
            )
        stage = MEASURE if self._kind[0] == DECOMPOSE else self._kind[0]
        number, total = self._count(self._finished, stage) + 1, self._count(self._all, stage)
        return f"{stage} {number}/{total}: {self._name}"

    @staticmethod
    def _count(kinds: Counter[Kind], stage: str) -> int:
        return sum(count for kind, count in kinds.items() if kind[0] == stage)

    def _money(self) -> str:
        spent = add_usd((self._spent_before, self._display.spent_usd))
        if spent is None:
            return "cost unknown"
        of = "" if self._budget is None else f" of {format_usd(self._budget)}"
        return f"{format_usd(spent)}{of} spent" if spent or of else ""

    def _time(self) -> str:
        left, unknown = 0.0, False
        for kind, count in (self._all - self._finished).items():
            seconds = self._seconds(kind)
            unknown = unknown or seconds is None
            left += (seconds or 0) * (count - (self._share if kind == self._kind else 0))
        if unknown:
            return f"over {span(left)} left" if left >= 60 else ""
        return f"{span(left)} left" if left else ""

    def _seconds(self, kind: Kind) -> float | None:
        """Of one step: at the pace of its bar, as those before took, or as was forecast."""
        if kind == self._kind and self._pace:
            return self._pace
        if kind in self._measured:
            return fmean(self._measured[kind])
        alike = [s for other, all_ in self._measured.items() if other[0] == kind[0] for s in all_]
        return self._expected.get(kind) or (fmean(alike) if alike else None)


def span(seconds: float) -> str:
    """A time as a person would say it.

    Example:
        >>> span(45.2), span(60 * 12), span(3600 * 3.25)
        ('less than a minute', '12 minutes', '3.2 hours')
    """
    if seconds < 60:
        return "less than a minute"
    if seconds < 2 * 3600:
        minutes = round(seconds / 60)
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{seconds / 3600:.1f} hours"
