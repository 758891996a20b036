"""A study as plain values: cells with their scores, flows, losses; the report is made from it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decompose_distill.cost.break_even import BreakEven, Cost, break_even
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.evaluation.results import Comparison, Report
from decompose_distill.evaluation.statistics import Interval, mean_interval, mean_of, spread
from decompose_distill.types import data_frame, html_table, shortened

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("questions", "row", "column", "score", "accuracy", "ci_low", "ci_high", "n")
"""Of a study as a data frame, and behind them what failed, the seeds and the price."""
Place = tuple[str, str]
"""A cell of the matrix: its row (the decomposer) and its column (the solver)."""


@dataclass(frozen=True, repr=False)
class Cell:
    """One decomposer with one solver, on the test questions, with one seed or several.

    Raises:
        ConfigError: There is no report, or the reports have different scores or versions of one.

    Example:
        >>> Cell("S_D-R", "solver", (Report("S_D-R", "exact", ()),)).place
        ('S_D-R', 'solver')
    """

    row: str
    column: str
    reports: tuple[Report, ...]
    """One per training seed; rows without training have one."""
    cost: Cost | None = None
    """Of all its reports together; `None` if nothing was counted."""

    def __post_init__(self) -> None:
        names = {report.scored_by for report in self.reports}
        if len(names) != 1:
            raise ConfigError(
                f"cell {self.row} × {self.column}: needs reports with one score, not "
                f"{', '.join(sorted(names)) or 'none'}"
            )

    @property
    def place(self) -> Place:
        """Row and column."""
        return (self.row, self.column)

    @property
    def name(self) -> str:
        """Both in one string."""
        return f"{self.row} × {self.column}"

    @cached_property
    def values(self) -> Mapping[str, float]:
        """Score by question id, the mean of the seeds that could be scored."""
        by_question: dict[str, list[float]] = {}
        for report in self.reports:
            for question, value in report.values.items():
                by_question.setdefault(question, []).append(value)
        return {question: mean_of(values) for question, values in by_question.items()}

    @property
    def n(self) -> int:
        """Number of questions scored."""
        return len(self.values)

    @property
    def unscored(self) -> int:
        """Questions that no seed could score."""
        ids = {result.trace.question.id for report in self.reports for result in report.results}
        return len(ids) - self.n

    @property
    def answers(self) -> int:
        """Number of answers scored, of all seeds together."""
        return sum(report.n for report in self.reports)

    @property
    def failed(self) -> int:
        """How many of `answers` count as wrong because the model gave none."""
        return sum(report.failed for report in self.reports)

    @property
    def failures(self) -> Counter[str]:
        """Questions without an answer, by `stage: reason`, of all seeds together."""
        return sum((report.failures for report in self.reports), Counter[str]())

    @property
    def mean(self) -> float:
        """Mean score of the questions; NaN if nothing was scored."""
        return mean_of(self.values.values())

    @cached_property
    def interval(self) -> Interval:
        """95 % interval of the mean over questions; see `statistics.mean_interval`."""
        return mean_interval([*self.values.values()])

    @property
    def spread(self) -> float | None:
        """Standard deviation of the seeds' means; `None` with fewer than two."""
        return spread([report.mean for report in self.reports if report.n])

    def compare(self, baseline: "Cell") -> Comparison:
        """Test this cell against another on the questions that both have scored.

        Raises:
            ConfigError: There is none in common, or the scores are different.
        """
        names = {cell.reports[0].scored_by for cell in (self, baseline)}
        common = sorted(self.values.keys() & baseline.values.keys())
        if len(names) > 1 or not common:
            raise ConfigError(f"{self.name} and {baseline.name} share no question and score")
        pairs = tuple((self.values[question], baseline.values[question]) for question in common)
        return Comparison(self.name, baseline.name, pairs, self._by_seed(baseline))

    @property
    def failure_text(self) -> str:
        """How many answers failed, and most of them why; empty if none did."""
        if not self.failed:
            return ""
        [(reason, _)] = self.failures.most_common(1)
        return f"{self.failed:,} of {self.answers:,} failed ({reason})"

    def __repr__(self) -> str:
        failed = f", {self.failure_text}" if self.failed else ""
        return f"<Cell {self.name}: {100 * self.mean:.1f} % (n = {self.n}{failed})>"

    def _by_seed(self, baseline: "Cell") -> tuple[float, ...]:
        """Of all seeds or of none; a cell without training stands beside every seed."""
        counts = {len(cell.reports) for cell in (self, baseline)} - {1}
        if len(counts) != 1:
            return ()
        seeds = range(counts.pop())
        paired = [
            [cell.reports[seed % len(cell.reports)] for cell in (self, baseline)] for seed in seeds
        ]
        if not all(one.values.keys() & other.values.keys() for one, other in paired):
            return ()
        return tuple(one.compare(other).difference for one, other in paired)


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of the traces at one filter: kept and dropped add up to what came in.

    Raises:
        DataError: They do not.

    Example:
        >>> Flow("S_D-R", 10, 7, {"wrong answer": 3}).kept
        7
    """

    name: str
    given: int
    kept: int
    dropped: Mapping[str, int]
    """Number by reason."""

    def __post_init__(self) -> None:
        total = self.kept + sum(self.dropped.values())
        if total != self.given:
            raise DataError(
                f"flow {self.name!r}: {self.given} traces came in, kept and dropped are {total}"
            )


@dataclass(frozen=True, slots=True, repr=False)
class LossCurve:
    """Loss of a training, in nats per target token, by optimizer step.

    Example:
        >>> LossCurve("S_D-R", ((1, 2.5), (2, 1.75))).train[-1]
        (2, 1.75)
    """

    name: str
    train: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...] = ()

    def __repr__(self) -> str:
        return f"<LossCurve {self.name}: {len(self.train)} steps>"


@dataclass(frozen=True, slots=True, repr=False)
class MaskedRow:
    """One row as it was trained: the prompt without loss, then the trained tokens.

    Example:
        >>> MaskedRow("S_D-R", "Split: ...", ("How", " old", "?", "<|im_end|>")).tokens[-1]
        '<|im_end|>'
    """

    name: str
    """Which student it trained."""
    prompt: str
    tokens: tuple[str, ...]
    """Each trained token as text."""

    def __repr__(self) -> str:
        prompt = shortened(self.prompt)
        return f"<MaskedRow {self.name}: {len(self.tokens)} trained tokens after {prompt!r}>"


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells measured on the same questions.

    Raises:
        ConfigError: There is no cell, or two share one place.

    Example:
        >>> cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
        >>> Grid("other questions", (cell,)).columns
        ('solver',)
    """

    name: str
    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        if not self.cells:
            raise ConfigError("a study needs at least one cell")
        keys = [cell.place for cell in self.cells]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ConfigError(f"a study has one cell per place, but more for {sorted(twice)}")

    @property
    def rows(self) -> tuple[str, ...]:
        """Decomposers, in the order of the cells."""
        return tuple(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> tuple[str, ...]:
        """Solvers, in the order of the cells."""
        return tuple(dict.fromkeys(cell.column for cell in self.cells))

    def cell(self, place: Place) -> Cell | None:
        """The cell at a place, or `None` if it was not measured."""
        return next((cell for cell in self.cells if cell.place == place), None)

    @property
    def texts(self) -> Iterator[tuple[str, ...]]:
        """Accuracies in percent, with how many answers failed; names of the columns first."""
        yield ("", *self.columns)
        for row in self.rows:
            yield (row, *(_percent(self.cell((row, column))) for column in self.columns))


def _row(questions: str, cell: Cell) -> tuple[object, ...]:
    """A cell as `COLUMNS` has it, with what failed, its seeds and the price of a question."""
    score, mean = cell.reports[0].scored_by, cell.mean if cell.n else None
    usd = cell.cost.usd_per_question if cell.cost else None
    names = (questions, cell.row, cell.column, score)
    more = (cell.failed, cell.unscored, len(cell.reports), None if usd is None else float(usd))
    return (*names, mean, *cell.interval, cell.n, *more)


def _percent(cell: Cell | None) -> str:
    if not cell or not cell.n:
        return "–"
    return f"{100 * cell.mean:.1f}" + (f" ({cell.failed} failed)" if cell.failed else "")


@dataclass(frozen=True, repr=False)
class Study:
    """Everything the report shows.

    `teacher`, `decomposer` and `solver` name the cells that the answer on top compares: nothing
    distilled, the decomposer distilled, the solver distilled. Choose them before you look.

    Raises:
        ConfigError: There is no cell, two share one place, or a named place has none.

    Example:
        >>> cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
        >>> Study("Demo", (cell,), teacher=cell.place).grid.rows
        ('teacher',)
    """

    title: str
    cells: tuple[Cell, ...]
    _: KW_ONLY
    teacher: Place
    decomposer: Place | None = None
    solver: Place | None = None
    comparisons: tuple[Comparison, ...] = ()
    """One family: their p-values are corrected together (Holm)."""
    transfers: tuple[Grid, ...] = ()
    """The same students on questions of other domains, by the name of the domain."""
    flows: tuple[Flow, ...] = ()
    losses: tuple[LossCurve, ...] = ()
    masked_rows: tuple[MaskedRow, ...] = ()
    warnings: tuple[str, ...] = ()
    """Shown on top, such as overlap between training and test questions."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it was measured, as plain data: models, data, seeds, versions."""

    def __post_init__(self) -> None:
        for name in ("teacher", "decomposer", "solver"):
            key = getattr(self, name)
            if key is not None and self.cell(key) is None:
                raise ConfigError(f"{name}={key!r} names no cell of the study")

    @cached_property
    def grid(self) -> Grid:
        """The cells as rows and columns."""
        return Grid(self.title, self.cells)

    def cell(self, place: Place) -> Cell | None:
        """The cell at a place, or `None` if it was not measured."""
        return self.grid.cell(place)

    def __repr__(self) -> str:
        return (
            f"<Study {self.title!r}: {len(self.cells)} cells, {len(self.comparisons)} comparisons>"
        )

    def _repr_html_(self) -> str:
        return html_table(self.grid.texts)

    def to_pandas(self) -> "DataFrame":
        """One row per cell, those of transfers too, with the names of figures in `report.json`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        columns = (*COLUMNS, "failed", "unscored", "seeds", "usd_per_question")
        grids = (("", self.cells), *((grid.name, grid.cells) for grid in self.transfers))
        return data_frame(columns, (_row(name, cell) for name, cells in grids for cell in cells))

    @property
    def pays(self) -> BreakEven | None:
        """When the distilled decomposer has paid for itself; `None` if a price is unknown."""
        before = self.cell(self.teacher)
        after = self.cell(self.decomposer) if self.decomposer else None
        if not before or not after or not before.cost or not after.cost:
            return None
        return break_even(before.cost, after.cost)
