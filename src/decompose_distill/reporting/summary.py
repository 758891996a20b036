"""The figures of a study as plain data: `report.json`, and what both texts are filled from."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from decompose_distill.cost.break_even import Cost, pareto_front
from decompose_distill.reporting.conclusion import TestedComparison
from decompose_distill.reporting.study import Cell, Place, Study


def study_figures(study: Study, tests: Sequence[TestedComparison], answer: str) -> dict[str, Any]:
    """Everything in the report that is a figure; unknown ones are `None`."""
    front = pareto_cells(study)
    figures: dict[str, Any] = {"title": study.title, "answer": answer}
    figures |= {"warnings": list(study.warnings), "settings": dict(study.settings)}
    figures["cells"] = [_cell(cell, front) for cell in study.cells]
    figures["transfers"] = [
        {"name": each.name, "cells": [_cell(cell, frozenset()) for cell in each.cells]}
        for each in study.transfers
    ]
    figures["comparisons"] = [_comparison(test) for test in tests]
    figures["break_even"] = _break_even(study)
    figures["flows"] = [
        {"name": each.name, "given": each.given, "kept": each.kept, "dropped": dict(each.dropped)}
        for each in study.flows
    ]
    figures["losses"] = [
        {"name": each.name, "train": _loss(each.train), "validation": _loss(each.validation)}
        for each in study.losses
    ]
    return figures


def priced_cells(study: Study) -> list[tuple[Cell, Decimal]]:
    """Cells with an accuracy and a price, and that price for one question."""
    prices = ((cell, cell.cost.usd_per_question if cell.cost else None) for cell in study.cells)
    return [(cell, price) for cell, price in prices if price is not None and cell.n]


def pareto_cells(study: Study) -> frozenset[Place]:
    """Places of the cells that no other beats in price and accuracy."""
    cells = priced_cells(study)
    places = pareto_front([(price, cell.mean) for cell, price in cells])
    return frozenset(cells[place][0].place for place in places)


def _cell(cell: Cell, front: frozenset[Place]) -> dict[str, Any]:
    low, high = cell.interval
    failures = sum((report.failures for report in cell.reports[1:]), cell.reports[0].failures)
    figures: dict[str, Any] = {"row": cell.row, "column": cell.column}
    figures |= {"score": cell.reports[0].score_name}
    figures |= {"score_version": cell.reports[0].score_version}
    figures |= {"accuracy": cell.mean if cell.n else None}
    figures |= {"ci_low": low, "ci_high": high, "n": cell.n, "unscored": cell.unscored}
    figures |= {"seeds": len(cell.reports), "spread": cell.spread, "failures": dict(failures)}
    return figures | {"cost": _cost(cell.cost), "pareto": cell.place in front}


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    roles = [
        {
            "role": each.role,
            "input_tokens": each.usage.input_tokens,
            "output_tokens": each.usage.output_tokens,
            "usd": _number(each.usd),
        }
        for each in cost.expenses
    ]
    figures: dict[str, Any] = {"questions": cost.questions, "roles": roles}
    for name in ("usd", "usd_per_question", "training_usd", "total_usd"):
        figures[name] = _number(getattr(cost, name))
    return figures


def _comparison(test: TestedComparison) -> dict[str, Any]:
    found = test.comparison
    figures: dict[str, Any] = {"name": found.name, "baseline": found.baseline}
    low, high = found.interval
    figures |= {"difference": found.difference, "ci_low": low, "ci_high": high}
    figures |= {"by_seed": list(found.by_seed), "better": found.better, "worse": found.worse}
    figures |= {"n": len(found.pairs), "p": test.p, "p_holm": test.p_holm}
    return figures | {"smallest_difference": test.smallest, "shown": test.shown}


def _break_even(study: Study) -> dict[str, Any] | None:
    if (pays := study.pays) is None:
        return None
    figures: dict[str, Any] = {"questions": pays.questions, "never": pays.questions is None}
    names = ("training_usd", "baseline_per_question", "student_per_question")
    return figures | {name: _number(getattr(pays, name)) for name in names}


def _loss(points: Sequence[tuple[int, float]]) -> list[tuple[int, float | None]]:
    return [(step, loss if math.isfinite(loss) else None) for step, loss in points]


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None or not math.isfinite(amount) else float(amount)
