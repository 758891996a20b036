"""The report as one HTML page, with the traces it shows."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from decompose_distill.cost.pricing import format_usd
from decompose_distill.evaluation.results import Result
from decompose_distill.reporting.charts import (
    Priced,
    accuracy_cost,
    break_even_curve,
    forest_plot,
    loss_chart,
)
from decompose_distill.reporting.conclusion import (
    TestedComparison,
    conclude,
    correct_comparisons,
    p_text,
    points,
)
from decompose_distill.reporting.study import Cell, Study
from decompose_distill.reporting.summary import pareto_cells, priced_cells, study_figures, to_json
from decompose_distill.reporting.tables import WRITERS, study_tables
from decompose_distill.storage.atomic import write_text

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


HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"


def write_report(study: Study, folder: str | Path) -> Path:
    """Write `report.html`, `report.md` and `report.json` into a folder.

    The page holds everything, traces included, and asks for nothing from the network. Its charts
    are also SVG files in `figures/`, and its tables CSV, Markdown and LaTeX files in `tables/`.

    Returns:
        The path of the page.

    Example:
        >>> import tempfile
        >>> from decompose_distill.reporting.study import Cell
        >>> cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
        >>> path = write_report(Study("Demo", (cell,), teacher=cell.place), tempfile.mkdtemp())
        >>> path.name
        'report.html'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tests = correct_comparisons(study)
    answer = conclude(study, tests)
    figures = study_figures(study, tests, str(answer))
    context = {"study": study, "figures": figures, "answer": answer}
    charts = _charts(study, tests)
    texts = {
        JSON: to_json(figures),
        MARKDOWN: _environment(html=False).get_template("report.md.j2").render(context),
        HTML: _page(study, context | charts),
        **_table_files(figures),
        **_figure_files(charts),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        write_text(folder / name, text)
    return folder / HTML


def _charts(study: Study, tests: Sequence[TestedComparison]) -> dict[str, Any]:
    losses = (loss_chart(curve, number) for number, curve in enumerate(study.losses))
    return {
        "forest_plot": forest_plot(tests),
        "cost_chart": accuracy_cost(_priced(study)),
        "pays_chart": break_even_curve(study.pays),
        "loss_charts": [chart for chart in losses if chart],
    }


def _table_files(figures: Mapping[str, Any]) -> dict[str, str]:
    tables = study_tables(figures)
    return {
        f"tables/{name}.{ending}": write(rows)
        for name, rows in tables.items()
        for ending, write in WRITERS.items()
    }


def _figure_files(charts: Mapping[str, Any]) -> dict[str, str]:
    """Each chart as a file of its own."""
    macros: Any = _environment(html=True).get_template("chart.svg.j2").module
    style = Markup(_plain_style(_asset("chart.css")))
    drawn = [chart for name in ("cost_chart", "pays_chart") if (chart := charts[name])]
    files = {chart.id: macros.draw(chart, style) for chart in (*drawn, *charts["loss_charts"])}
    if plot := charts["forest_plot"]:
        files["differences"] = macros.forest(plot, style)
    return {f"figures/{name}.svg": str(text).strip() + "\n" for name, text in files.items()}


def _plain_style(style: str) -> str:
    """A style sheet without variables and queries, which few readers of SVG know; light colours."""
    colors = dict(re.findall(r"(--[\w-]+): (#\w+);", style.partition("@media")[0]))
    rules = (line for line in style.splitlines() if re.match(r"\.(?!chart \{)", line))
    plain = re.sub(r"var\((--[\w-]+)\)", lambda name: colors[name[1]], "\n".join(rules))
    return "svg { font-family: sans-serif; }\n" + plain.replace("font-family: inherit", "")


def _page(study: Study, context: dict[str, Any]) -> str:
    style, script = _asset("chart.css") + _asset("report.css"), _asset("report.js")
    inside = {"style": Markup(style), "script": Markup(script), "cost_rows": _cost_rows(study)}
    inside |= {"data": Markup(embedded(trace_viewer_data(study)))}
    allowed = {"style_hash": _hash(style), "script_hash": _hash(script)}
    template = _environment(html=True).get_template("report.html.j2")
    return template.render(context | inside | allowed)


def _priced(study: Study) -> list[Priced]:
    """The cells of the accuracy-cost chart, numbered from the cheapest."""
    front = pareto_cells(study)
    cells = sorted(priced_cells(study), key=lambda pair: (pair[1], -pair[0].mean))
    return [
        Priced(str(number), float(1000 * price), cell.mean, *cell.interval, cell.place in front)
        for number, (cell, price) in enumerate(cells, start=1)
    ]


def _cost_rows(study: Study) -> list[dict[str, Any]]:
    """The table below the chart: the cells drawn, then those without a price."""
    cells = sorted(priced_cells(study), key=lambda pair: (pair[1], -pair[0].mean))
    drawn = [cell for cell, _ in cells]
    others = [cell for cell in study.cells if cell not in drawn]
    front = pareto_cells(study)
    return [
        {
            "name": cell.name,
            "label": str(number) if cell in drawn else "–",
            "front": cell.place in front,
            "accuracy": cell.mean if cell.n else None,
            **_paid(cell),
        }
        for number, cell in enumerate(drawn + others, start=1)
    ]


def _paid(cell: Cell) -> dict[str, Any]:
    cost = cell.cost
    price = cost.usd_per_question if cost else None
    tokens = {
        role: " + ".join(
            f"{expense.usage.input_tokens:,} in, {expense.usage.output_tokens:,} out"
            for expense in (cost.expenses if cost else ())
            if expense.role == role
        )
        for role in ("decomposer", "solver")
    }
    per_thousand = None if price is None else 1000 * price
    paid = {"per_thousand": per_thousand, "training": cost.training_usd if cost else None}
    return paid | {role: text or "–" for role, text in tokens.items()}


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=html,
        finalize=_shown if html else _cell,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"usd": format_usd, "p": p_text, "percent": _percent}
    environment.filters |= {"points": points, "setting": _setting}
    return environment


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _cell(value: Any) -> Any:
    """Text that neither ends a cell of a Markdown table nor starts markup."""
    if not isinstance(value, str):
        return value
    text = " ".join(visible(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    for sign in "\\|`*_[]#":
        text = text.replace(sign, f"\\{sign}")
    return text


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _setting(value: Any) -> str:
    """Plain data as words: `epochs 2, seed 0`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_setting(part)}" for name, part in value.items())
    return ", ".join(map(_setting, value)) if isinstance(value, list) else str(value)


def _hash(text: str) -> str:
    """What the page's policy lets run: this text and no other."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (
        files("decompose_distill.reporting").joinpath("templates", name).read_text(encoding="utf-8")
    )
