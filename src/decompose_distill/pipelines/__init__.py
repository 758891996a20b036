"""Decomposer, solver, and the pipeline that runs one after the other."""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.pipelines.decomposer import Decomposer as Decomposer
    from decompose_distill.pipelines.pipeline import Decomposing as Decomposing
    from decompose_distill.pipelines.pipeline import Pipeline as Pipeline
    from decompose_distill.pipelines.pipeline import Solving as Solving
    from decompose_distill.pipelines.solver import Solver as Solver

__getattr__, __dir__ = lazy(
    __name__,
    {
        "decomposer": ("Decomposer",),
        "pipeline": ("Decomposing", "Pipeline", "Solving"),
        "solver": ("Solver",),
    },
)
