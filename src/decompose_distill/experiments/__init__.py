"""Every decomposer with every solver, as one resumable study.

- `config`, `student`: what a user sets; `setup`: the same checked, before anything is paid
- `variants`: names of rows and columns; `values`: what an experiment makes, and its keys
- `forecast`: what it will take
- `result_cache`: pipelines run once; what is on disk is read
- `components`, `measurement`: rows and columns, students trained for them, cells
- `study_builder`: from the cells to the study; `run`: `paper`, all of it
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.experiments.config import PaperConfig as PaperConfig
    from decompose_distill.experiments.run import paper as paper
    from decompose_distill.experiments.student import Student as Student
    from decompose_distill.experiments.variants import COLUMNS as COLUMNS
    from decompose_distill.experiments.variants import ROWS as ROWS

__getattr__, __dir__ = lazy(
    __name__,
    {
        "config": ("PaperConfig",),
        "run": ("paper",),
        "student": ("Student",),
        "variants": ("COLUMNS", "ROWS"),
    },
)
