"""Tables as text: the matrix on a terminal, and files of CSV, Markdown and LaTeX."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

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
    figures = (accuracy(cell), f"{cell.n:,}", _paid(cell), cell.failure_text)
    return _line((cell.row, cell.column, *figures))


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


def _line(texts: Iterable[str]) -> str:
    return "".join(f"{text:<{width}} " for text, width in zip(texts, _WIDTHS, strict=True)).rstrip()


def _paid(cell: Cell) -> str:
    return " / ".join(_role_paid(cell.cost, role) for role in ("decomposer", "solver"))


def _role_paid(cost: Cost | None, role: str) -> str:
    paid = [part.usd for part in cost.expenses if part.role == role] if cost else []
    if cost is None or not paid or not cost.questions:
        return "–"
    return format_usd(None if paid[0] is None else 1000 * paid[0] / cost.questions)


Table = Sequence[Sequence[str]]
"""Rows of text, the names of the columns first."""


def study_tables(figures: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a report by name, from the figures of `report.json`; in percent and points."""
    accuracies = [
        "questions", "decomposer", "solver", "accuracy", "low", "high", "n", "seeds", "spread",
        "failed", "left out", "$ per 1,000",
    ]  # fmt: skip
    differences = ["first", "baseline", "difference", "low", "high", "p (Holm)", "holds"]
    splits = [("test", figures["cells"]), *((t["name"], t["cells"]) for t in figures["transfers"])]
    cells = [_cell_row(split, cell) for split, some in splits for cell in some]
    comparisons = [_comparison_row(test) for test in figures["comparisons"]]
    return {"accuracy": [accuracies, *cells], "comparisons": [differences, *comparisons]}


def _cell_row(split: str, cell: Mapping[str, Any]) -> list[str]:
    shares = [cell[name] if cell["n"] else None for name in ("accuracy", "ci_low", "ci_high")]
    usd = cell["cost"]["usd_per_question"] if cell["cost"] else None
    counts = [str(cell[name]) for name in ("failed", "unscored")]
    accuracy, spread = [_percent(share) for share in shares], _percent(cell["spread"])
    price = "" if usd is None else f"{1000 * usd:.6g}"
    names = [split, cell["row"], cell["column"]]
    return [*names, *accuracy, str(cell["n"]), str(cell["seeds"]), spread, *counts, price]


def _comparison_row(test: Mapping[str, Any]) -> list[str]:
    shares = [_percent(test[name]) for name in ("difference", "ci_low", "ci_high")]
    holds = "yes" if test["shown"] else "no"
    return [test["name"], test["baseline"], *shares, f"{test['p_holm']:.3g}", holds]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def to_csv(rows: Table) -> str:
    """Rows as CSV.

    Example:
        >>> to_csv([["cell", "%"], ["S_D-R, solver", "75.0"]])
        'cell,%\\n"S_D-R, solver",75.0\\n'
    """
    file = StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def to_markdown(rows: Table) -> str:
    """Rows as a Markdown table.

    Example:
        >>> print(to_markdown([["cell", "%"], ["S_D-R", "75.0"]]), end="")
        | cell | % |
        |---|---|
        | S\\_D-R | 75.0 |
    """
    head, *body = ([re.sub(r"([\\|`*_\[\]#<])", r"\\\1", text) for text in row] for row in rows)
    lines = (f"| {' | '.join(row)} |" for row in (head, *body))
    first, *others = lines
    return "\n".join((first, "|---" * len(head) + "|", *others)) + "\n"


def to_latex(rows: Table) -> str:
    """Rows as a `tabular` for the package booktabs.

    Example:
        >>> print(to_latex([["cell", "%"], ["S_D-R × solver", "75.0"]]), end="")
        \\begin{tabular}{lr}
        \\toprule
        cell & \\% \\\\
        \\midrule
        S\\_D-R $\\times$ solver & 75.0 \\\\
        \\bottomrule
        \\end{tabular}
    """
    head, *body = (" & ".join(map(_latex, row)) + r" \\" for row in rows)
    by_column = zip(*rows[1:], strict=True)
    columns = "".join("r" if all(map(_is_number, column)) else "l" for column in by_column)
    start = rf"\begin{{tabular}}{{{columns or 'l' * len(rows[0])}}}"
    lines = (start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}")
    return "\n".join(lines) + "\n"


def _is_number(text: str) -> bool:
    return not text or re.fullmatch(r"[-\d.e]+", text) is not None


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "×": r"$\times$", "−": "$-$",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "csv": to_csv,
    "md": to_markdown,
    "tex": to_latex,
}
"""How a table is written, by the ending of its file."""
