"""A small controlled world with a scripted teacher and a database as solver, for the demo.

- `facts`, `grammar`: who is there, what is true, how it is asked
- `world`: questions of one seed, and their contexts
- `solver`: a database that answers atomic subquestions
- `scripted_model`: a large model, scripted, as teacher and as solver
- `tiny_model`: a small Llama made from nothing
- `run`: the demo itself
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.demo.run import PROMPT as PROMPT
    from decompose_distill.demo.run import SMOLLM2 as SMOLLM2
    from decompose_distill.demo.run import TINY as TINY
    from decompose_distill.demo.run import base_student as base_student
    from decompose_distill.demo.scripted_model import ScriptedModel as ScriptedModel
    from decompose_distill.demo.scripted_model import gold_rationale as gold_rationale
    from decompose_distill.demo.scripted_model import numbered as numbered
    from decompose_distill.demo.scripted_model import scripted_teacher as scripted_teacher
    from decompose_distill.demo.solver import DatabaseSolver as DatabaseSolver
    from decompose_distill.demo.tiny_model import make_tiny_student as make_tiny_student
    from decompose_distill.demo.world import World as World
    from decompose_distill.demo.world import build_world as build_world
    from decompose_distill.demo.world import open_book as open_book

__getattr__, __dir__ = lazy(
    __name__,
    {
        "run": ("PROMPT", "SMOLLM2", "TINY", "base_student"),
        "scripted_model": ("ScriptedModel", "gold_rationale", "numbered", "scripted_teacher"),
        "solver": ("DatabaseSolver",),
        "tiny_model": ("make_tiny_student",),
        "world": ("World", "build_world", "open_book"),
    },
)
