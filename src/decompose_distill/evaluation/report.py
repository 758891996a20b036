"""write_report(): a study as one HTML page, as Markdown and as JSON."""

from pathlib import Path

from decompose_distill.evaluation.study import Study


def write_report(study: Study, folder: str | Path) -> Path:
    """Write `report.html`, `report.md` and `report.json` into a folder; return the first's path."""
    raise NotImplementedError
