"""The matrix as text, in the layout of the paper's tables: a line a decomposer and solver."""

from collections.abc import Iterable

from decompose_distill.cost.break_even import Cost
from decompose_distill.cost.pricing import format_usd
from decompose_distill.reporting.study import Cell, Grid

_WIDTHS = (20, 20, 24, 7, 27, 0)


def header(score: str) -> str:
    """The line above the cells.

    Example:
        >>> header("exact/1").split()[:3]
        ['decomposer', 'solver', 'exact/1,']
    """
    costs = "$ decompose / solve / 1,000"
    return _line(("decomposer", "solver", f"{score}, 95 %", "n", costs, "failed"))


def cell_line(cell: Cell) -> str:
    """One cell: accuracy with interval, what 1,000 questions cost by role, and what failed."""
    paid, failed = _paid(cell), failure_text(cell)
    return _line((cell.row, cell.column, accuracy(cell), f"{cell.n:,}", paid, failed))


def accuracy(cell: Cell) -> str:
    """Percent with the interval, and what was left out."""
    if not cell.n:
        return "nothing scored"
    low, high = (100 * bound for bound in cell.interval)
    several = f" ±{100 * cell.spread:.1f}" if cell.spread is not None else ""
    left = f" ({cell.unscored} left out)" if cell.unscored else ""
    return f"{100 * cell.mean:.1f} [{low:.1f}, {high:.1f}]{several}{left}"


def grid_text(grid: Grid) -> str:
    """Rows by columns: accuracies, and how many answers failed."""
    lines = [*grid.texts]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def failure_text(cell: Cell) -> str:
    """How many answers failed, and most of them why; empty if none did.

    Example:
        >>> failure_text(Cell("teacher", "solver", (Report("teacher", "exact", ()),)))
        ''
    """
    if not cell.failed:
        return ""
    reason, _ = cell.failures.most_common(1)[0]
    return f"{cell.failed:,} of {cell.answers:,} failed ({reason})"


def _line(texts: Iterable[str]) -> str:
    return "".join(f"{text:<{width}} " for text, width in zip(texts, _WIDTHS, strict=True)).rstrip()


def _paid(cell: Cell) -> str:
    return " / ".join(_role_paid(cell.cost, role) for role in ("decomposer", "solver"))


def _role_paid(cost: Cost | None, role: str) -> str:
    paid = [each.usd for each in cost.expenses if each.role == role] if cost else []
    if cost is None or not paid or not cost.questions:
        return "–"
    return format_usd(None if paid[0] is None else 1000 * paid[0] / cost.questions)
