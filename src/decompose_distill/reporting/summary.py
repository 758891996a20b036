"""The figures of a study as plain data: `report.json`, and what both texts are filled from."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from decompose_distill.cost.break_even import Cost, pareto_front
from decompose_distill.evaluation.results import Report
from decompose_distill.reporting.conclusion import TestedComparison
from decompose_distill.reporting.study import Cell, Place, Study
from decompose_distill.types import Question

FORMAT = 2
"""Of `report.json`; the first one had no number, text for every setting, and no questions."""


def study_figures(study: Study, tests: Sequence[TestedComparison], answer: str) -> dict[str, Any]:
    """Everything in the report that is a figure; unknown ones are `None`."""
    front = pareto_cells(study)
    figures: dict[str, Any] = {"format": FORMAT, "title": study.title, "answer": answer}
    figures |= {"warnings": list(study.warnings), "settings": dict(study.settings)}
    figures["cells"] = [_cell(cell, front) for cell in study.cells]
    figures["transfers"] = [
        {"name": part.name, "cells": [_cell(cell, frozenset()) for cell in part.cells]}
        for part in study.transfers
    ]
    figures["comparisons"] = [_comparison(test) for test in tests]
    figures["break_even"] = _break_even(study)
    figures["flows"] = [
        {"name": part.name, "given": part.given, "kept": part.kept, "dropped": dict(part.dropped)}
        for part in study.flows
    ]
    figures["losses"] = [
        {"name": part.name, "train": _loss(part.train), "validation": _loss(part.validation)}
        for part in study.losses
    ]
    figures["questions"] = [*_questions(study)]
    return figures


def to_json(figures: Mapping[str, Any]) -> str:
    """Figures as text, indented, with a line for each question."""
    head = {name: value for name, value in figures.items() if name != "questions"}
    text = json.dumps(head, indent=2, allow_nan=False).removesuffix("\n}")
    rows = ",\n    ".join(json.dumps(row, allow_nan=False) for row in figures["questions"])
    return f'{text},\n  "questions": [\n    {rows}\n  ]\n}}\n'


def _questions(study: Study) -> Iterator[dict[str, Any]]:
    """Each question of each split, with its scores by cell, one for each seed."""
    for split, cells in (("test", study.cells), *((t.name, t.cells) for t in study.transfers)):
        rows: dict[str, dict[str, Any]] = {}
        for cell in cells:
            for seed, report in enumerate(cell.reports):
                for result in report.results:
                    question = result.trace.question
                    row = rows.setdefault(question.id, _question(split, question))
                    missing = [None] * (seed - len(row["scores"].setdefault(cell.name, [])))
                    row["scores"][cell.name] += [*missing, result.score]
        yield from rows.values()


def _question(split: str, question: Question) -> dict[str, Any]:
    golds = list(question.golds)
    row = {"split": split, "id": question.id, "question": question.text, "golds": golds}
    return row | {"scores": {}}


def priced_cells(study: Study) -> list[tuple[Cell, Decimal]]:
    """Cells with an accuracy and a price, and that price for one question."""
    prices = ((cell, cell.cost.usd_per_question if cell.cost else None) for cell in study.cells)
    return [(cell, price) for cell, price in prices if price is not None and cell.n]


def pareto_cells(study: Study) -> frozenset[Place]:
    """Places of the cells that no other beats in price and accuracy."""
    cells = priced_cells(study)
    front = pareto_front([(price, cell.mean) for cell, price in cells])
    return frozenset(cells[index][0].place for index in front)


def _cell(cell: Cell, front: frozenset[Place]) -> dict[str, Any]:
    low, high = cell.interval
    figures: dict[str, Any] = {"row": cell.row, "column": cell.column}
    figures |= {"score": cell.reports[0].score_name}
    figures |= {"score_version": cell.reports[0].score_version}
    figures |= {"accuracy": cell.mean if cell.n else None}
    figures |= {"ci_low": low, "ci_high": high, "n": cell.n, "unscored": cell.unscored}
    figures |= {"seeds": len(cell.reports), "spread": cell.spread}
    figures |= {"answers": cell.answers, "failed": cell.failed, "failures": dict(cell.failures)}
    figures["by_seed"] = [_seed(report) for report in cell.reports]
    return figures | {"cost": _cost(cell.cost), "pareto": cell.place in front}


def _seed(report: Report) -> dict[str, Any]:
    low, high = report.interval
    figures = {"accuracy": report.mean if report.n else None, "ci_low": low, "ci_high": high}
    return figures | {"n": report.n, "unscored": report.unscored, "failed": report.failed}


def _cost(cost: Cost | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    roles = [
        {
            "role": part.role,
            "input_tokens": part.usage.input_tokens,
            "output_tokens": part.usage.output_tokens,
            "usd": _number(part.usd),
        }
        for part in cost.expenses
    ]
    figures: dict[str, Any] = {"questions": cost.questions, "roles": roles}
    for name in ("usd", "usd_per_question", "training_usd", "total_usd"):
        figures[name] = _number(getattr(cost, name))
    return figures


def _comparison(test: TestedComparison) -> dict[str, Any]:
    pair = test.comparison
    figures: dict[str, Any] = {"name": pair.name, "baseline": pair.baseline}
    low, high = pair.interval
    figures |= {"difference": pair.difference, "ci_low": low, "ci_high": high}
    figures |= {"by_seed": list(pair.by_seed), "better": pair.better, "worse": pair.worse}
    figures |= {"n": len(pair.pairs), "p": test.p, "p_holm": test.p_holm}
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
