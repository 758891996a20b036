"""The traces for the page's browser: plain data, safe to embed, each question once."""

import json
import re
from collections.abc import Iterator
from typing import Any

from decompose_distill.evaluation.results import Result
from decompose_distill.reporting.study import Cell, Study

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Show the characters that a page would hide or obey: controls, escapes, text direction.

    Example:
        >>> visible("red: " + chr(27) + "[31m, " + chr(0x202E) + "turned")
        'red: ␛[31m, ⟨U+202E⟩turned'
    """
    return _UNSEEN.sub(lambda sign: _name(ord(sign[0])), text)


def _name(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def embedded(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end that element.

    Example:
        >>> embedded("</script>")
        '"\\\\u003c/script>"'
    """
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def trace_viewer_data(study: Study) -> dict[str, Any]:
    """Every trace of every cell, those of transfers too, by question.

    Keys are short because there are many: of a question `t` text, `c` context, `g` golds, and
    `a` its answers; of an answer `r` row, `s` score, `a` answer, `d` subquestions, `w` the
    solver's words, `f` failure, `n` tokens read and written.
    """
    rows: list[dict[str, Any]] = []
    questions: dict[tuple[str, str], dict[str, Any]] = {}
    chosen = _chosen(study)
    for split, cell in _cells(study):
        for name, results in _repeats(split, cell):
            rows.append({"name": name, "shown": cell.place in chosen})
            for result in results:
                key = split, result.trace.question.id
                entry = questions.setdefault(key, _question(result))
                entry["a"].append(_answer(result, len(rows) - 1))
    return {"rows": rows, "questions": list(questions.values())}


def _cells(study: Study) -> Iterator[tuple[str, Cell]]:
    yield from (("", cell) for cell in study.cells)
    yield from ((f" ({grid.name})", cell) for grid in study.transfers for cell in grid.cells)


def _chosen(study: Study) -> set[tuple[str, str] | None]:
    chosen: set[tuple[str, str] | None] = {study.teacher, study.decomposer, study.solver} - {None}
    more = (cell.place for cell in study.cells)
    while len(chosen) < min(3, len(study.cells)):
        chosen.add(next(more))
    return chosen


def _repeats(split: str, cell: Cell) -> Iterator[tuple[str, tuple[Result, ...]]]:
    for number, report in enumerate(cell.reports, start=1):
        several = f", repeat {number}" if len(cell.reports) > 1 else ""
        yield visible(cell.name + split + several), report.results


def _question(result: Result) -> dict[str, Any]:
    question = result.trace.question
    entry: dict[str, Any] = {"t": visible(question.text), "a": []}
    if question.context:
        entry["c"] = visible(question.context)
    if question.golds:
        entry["g"] = [visible(gold) for gold in question.golds]
    return entry


def _answer(result: Result, row: int) -> dict[str, Any]:
    trace, usage = result.trace, result.trace.usage
    entry: dict[str, Any] = {"r": row, "s": result.score}
    entry["n"] = [usage.input_tokens, usage.output_tokens]
    if trace.answer is not None:
        entry["a"] = visible(trace.answer)
    if trace.decomposition and trace.decomposition.subquestions:
        entry["d"] = [visible(subquestion.text) for subquestion in trace.decomposition.subquestions]
    if trace.failure:
        failure = f"{trace.failure.stage}: {trace.failure.reason}"
        detail = f" ({trace.failure.message})" if trace.failure.message else ""
        entry["f"] = visible(failure + detail)
    if trace.outcome.text:
        entry["w"] = visible(trace.outcome.text)
    return entry
