"""A study as values, and as an HTML page, Markdown and JSON.

- `study`: what was measured; `study_file`: the same on disk
- `summary`, `conclusion`, `tables`: figures, sentences and text tables drawn from it
- `charts`, `trace_viewer`, `render`, `templates`: the page
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.reporting.conclusion import p_text as p_text
    from decompose_distill.reporting.conclusion import points as points
    from decompose_distill.reporting.render import write_report as write_report
    from decompose_distill.reporting.study import Cell as Cell
    from decompose_distill.reporting.study import Flow as Flow
    from decompose_distill.reporting.study import Grid as Grid
    from decompose_distill.reporting.study import LossCurve as LossCurve
    from decompose_distill.reporting.study import MaskedRow as MaskedRow
    from decompose_distill.reporting.study import Place as Place
    from decompose_distill.reporting.study import Study as Study
    from decompose_distill.reporting.study_file import load_study as load_study
    from decompose_distill.reporting.study_file import save_study as save_study

__getattr__, __dir__ = lazy(
    __name__,
    {
        "conclusion": ("p_text", "points"),
        "render": ("write_report",),
        "study": ("Cell", "Flow", "Grid", "LossCurve", "MaskedRow", "Place", "Study"),
        "study_file": ("load_study", "save_study"),
    },
)
