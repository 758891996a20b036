"""The rows and columns of the matrix by name, and which cells are measured unless others are."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from decompose_distill.errors import ConfigError, nearest
from decompose_distill.pipelines.solver import Mode
from decompose_distill.reporting.study import Place
from decompose_distill.training.data.examples import Target
from decompose_distill.types import Role

Screen = Literal["complete", "correct", "uplift"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A student as the paper names it: what it learns, and from which traces.

    Example:
        >>> VARIANTS["S_E-A"].target
        'gold_rationale'
    """

    role: Role
    target: Target
    screen: Screen

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("role", "target", "screen")


VARIANTS: Mapping[str, Variant] = {
    "S_D-T": Variant("decomposer", "subquestions", "complete"),
    "S_D-R": Variant("decomposer", "subquestions", "correct"),
    "S_D-uplift": Variant("decomposer", "subquestions", "uplift"),
    "S_E-T": Variant("solver", "rationale", "complete"),
    "S_E-A": Variant("solver", "gold_rationale", "complete"),
    "S_E-R": Variant("solver", "rationale", "correct"),
    "answer-only": Variant("solver", "answer", "complete"),
}
"""Students by the names of arXiv 2402.15000, and three its table lacks: S_D-uplift, S_E-R and
answer-only."""

SINGLE_CALL: Mapping[str, Mode] = {
    "none": "direct",
    "CoT": "cot",
    "plan-and-solve": "plan_and_solve",
}
"""Rows without a decomposer, and how a model that was not trained answers in them."""

TEACHER, SHUFFLED, UNTRAINED, FEW_SHOT = (
    "teacher",
    "shuffled",
    "untrained student",
    "untrained few-shot",
)
SOLVER, AS_SOLVER = "solver", "S_D-R as solver"
DECOMPOSERS = tuple(name for name, variant in VARIANTS.items() if variant.role == "decomposer")
SOLVERS = tuple(name for name, variant in VARIANTS.items() if variant.role == "solver")

ROWS = (*SINGLE_CALL, TEACHER, SHUFFLED, UNTRAINED, FEW_SHOT, *DECOMPOSERS)
"""Every row; `shuffled` is the control with another question's subquestions."""
COLUMNS = (SOLVER, UNTRAINED, *SOLVERS, AS_SOLVER)
"""Every column but those of further solvers."""

BASELINE: Place = (TEACHER, SOLVER)
"""Nothing distilled: always measured, as it is what the others are compared with."""
CROSS_SOLVER = (TEACHER, UNTRAINED, "S_D-R")
"""Rows of a further solver (the paper's Table 4)."""
TRANSFER: Sequence[Place] = (
    BASELINE,
    (UNTRAINED, SOLVER),
    *((name, SOLVER) for name in DECOMPOSERS),
    *((TEACHER, name) for name in SOLVERS),
    ("none", "S_E-A"),
    ("none", "answer-only"),
)
"""Cells measured on questions of another domain too (the paper's Table 3)."""
COMPARED: Sequence[tuple[Place, Place]] = (
    (BASELINE, ("none", SOLVER)),
    (BASELINE, ("CoT", SOLVER)),
    (BASELINE, ("plan-and-solve", SOLVER)),
    (BASELINE, (SHUFFLED, SOLVER)),
    (("S_D-T", SOLVER), (UNTRAINED, SOLVER)),
    (("S_D-R", SOLVER), (UNTRAINED, SOLVER)),
    (("S_D-R", SOLVER), (FEW_SHOT, SOLVER)),
    (("S_D-R", SOLVER), ("S_D-T", SOLVER)),
    (("S_D-R", SOLVER), ("CoT", SOLVER)),
    (("S_D-uplift", SOLVER), ("S_D-R", SOLVER)),
    ((TEACHER, "S_E-R"), (TEACHER, "S_E-A")),
    ((TEACHER, "S_E-R"), (TEACHER, "S_E-T")),
    ((TEACHER, "answer-only"), (TEACHER, "S_E-R")),
    ((TEACHER, AS_SOLVER), (TEACHER, UNTRAINED)),
)
"""Chosen before anything is measured; those of the answer on top come before them."""


def students(names: Iterable[str]) -> tuple[str, ...]:
    """The trained students that rows and columns stand on, in the order of `VARIANTS`.

    Example:
        >>> students(["S_E-R", "teacher", "S_D-R as solver"])
        ('S_D-R', 'S_E-R')
    """
    needed = {"S_D-R" if name == AS_SOLVER else name for name in names}
    return tuple(name for name in VARIANTS if name in needed)


def choose(
    rows: Sequence[str] | None, columns: Sequence[str] | None, further: Sequence[str]
) -> tuple[Place, ...]:
    """The cells to measure, a column after the other.

    Without a choice: every row with the main solver, three rows with each further solver, and
    each student that solves behind the teacher and behind nothing. With rows or columns chosen:
    those of them. With both: every row with every column.

    Raises:
        ConfigError: A name is unknown, given twice, or taken by a row or column of this matrix.

    Example:
        >>> choose(["S_D-R"], None, ())
        (('teacher', 'solver'), ('S_D-R', 'solver'))
    """
    if taken := [name for name in further if name in (*ROWS, *COLUMNS)]:
        raise ConfigError(f"a further solver cannot be named {taken[0]!r}: that is a row or column")
    every = (*COLUMNS, *further)
    _check_names("rows", rows, ROWS)
    _check_names("columns", columns, every)
    both = rows is not None and columns is not None
    return tuple(
        (row, column)
        for column in every
        for row in ROWS
        if (row, column) == BASELINE
        or (
            (rows is None or row in rows)
            and (columns is None or column in columns)
            and (both or (row, column) in _usual(further))
        )
    )


def _usual(further: Sequence[str]) -> frozenset[Place]:
    main = {(row, SOLVER) for row in ROWS}
    others = {(row, name) for name in further for row in CROSS_SOLVER}
    students = {(row, name) for name in COLUMNS[1:] for row in ("none", TEACHER)}
    return frozenset(main | others | students | {(UNTRAINED, UNTRAINED)})


def _check_names(argument: str, names: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in names or ():
        if name not in known:
            raise ConfigError(f"{argument}: unknown {name!r}; {nearest(name, known)}")
    if names is not None and len(set(names)) < max(1, len(names)):
        raise ConfigError(f"{argument} must name each once, and at least one, not {list(names)}")
