"""Decomposer, solver, and the pipeline that runs one after the other.

- `roles`: what a role must have, and what it may have so that budgets and journals see it
- `decomposer`, `solver`: the two roles over a backend and a prompt
- `pipeline`: one role after the other, a stream of questions in, traces out
- `dry_run`: the requests that a role would make, sent to nobody
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.pipelines.decomposer import Decomposer as Decomposer
    from decompose_distill.pipelines.pipeline import Pipeline as Pipeline
    from decompose_distill.pipelines.roles import Decomposing as Decomposing
    from decompose_distill.pipelines.roles import Solving as Solving
    from decompose_distill.pipelines.roles import UsesBackends as UsesBackends
    from decompose_distill.pipelines.solver import Solver as Solver

__getattr__, __dir__ = lazy(
    __name__,
    {
        "decomposer": ("Decomposer",),
        "pipeline": ("Pipeline",),
        "roles": ("Decomposing", "Solving", "UsesBackends"),
        "solver": ("Solver",),
    },
)
