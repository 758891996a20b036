"""Settings of an experiment as plain values, which a file or a command line can hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from decompose_distill.cost.break_even import machine_usd
from decompose_distill.cost.ledger import read_budget
from decompose_distill.errors import ConfigError
from decompose_distill.scores import ScoreName, as_score
from decompose_distill.types import check_kinds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """Settings of `paper`: which cells are measured, how often, and for how much money.

    Lists, as files hold them, and a single name become tuples. `paper` takes each field as an
    argument too.

    Raises:
        ConfigError: A value is out of its range; the message names the field.

    Example:
        >>> PaperConfig(rows=["none", "S_D-R"], seeds=[0, 1]).seeds
        (0, 1)
    """

    rows: tuple[str, ...] | None = None
    """Decomposers to measure; by default all with the main solver, and few with the others."""
    columns: tuple[str, ...] | None = None
    """Solvers to measure; rows and columns together give every combination of the two."""
    seeds: tuple[int, ...] = (0,)
    """Of the trainings; each gives one more student of every kind."""
    samples: int = 1
    """Decompositions per training question; several need a temperature above 0."""
    solves: int = 1
    """Solutions of each, with and without a decomposition, that S_D-uplift counts."""
    score: ScoreName | str = "exact"
    """Judges the test answers, and screens the training traces of S_D-R and S_E-R; a name of
    `scores`, or `module:function` for one of your own."""
    budget_usd: Decimal | float | None = None
    """The most that teacher and solvers may cost, over all calls with one `output_dir`."""
    usd_per_hour: Decimal | float | None = None
    """US dollars per hour of the machine that trains and runs the students."""
    title: str = "Which part to distil"
    """Of the report."""
    progress: bool = True
    """Show progress on stderr."""

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "seeds"):
            value = getattr(self, name)
            if isinstance(value, str | Sequence):
                several = (value,) if isinstance(value, str) else tuple(value)
                object.__setattr__(self, name, several)
        check_kinds_of(self)
        for name in ("samples", "solves"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not self.seeds or len({*self.seeds}) < len(self.seeds):
            raise ConfigError(f"seeds must be one or more different numbers, not {self.seeds}")
        as_score(self.score)
        machine_usd(0, self.usd_per_hour)
        read_budget(self.budget_usd)
