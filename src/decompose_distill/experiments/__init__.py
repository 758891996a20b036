"""Every decomposer with every solver, as one resumable study."""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.experiments.run import paper as paper
    from decompose_distill.experiments.student import Student as Student

__getattr__, __dir__ = lazy(
    __name__,
    {
        "run": ("paper",),
        "student": ("Student",),
    },
)
