"""A small controlled world with a scripted teacher and a database as solver, for the demo.

- `world`, `facts`, `names`, `grammar`: who is there, what is true, how it is asked
- `teacher`, `solver`, `scripted_model`: who answers
- `contexts`, `atomic_steps`, `worked_steps`: open book, and the steps of an answer
- `tiny_model`: a small Llama made from nothing
- `run`: the demo itself
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.demo.contexts import open_book as open_book
    from decompose_distill.demo.run import PROMPT as PROMPT
    from decompose_distill.demo.run import SMOLLM2 as SMOLLM2
    from decompose_distill.demo.run import TINY as TINY
    from decompose_distill.demo.run import base_student as base_student
    from decompose_distill.demo.scripted_model import ScriptedModel as ScriptedModel
    from decompose_distill.demo.scripted_model import gold_rationale as gold_rationale
    from decompose_distill.demo.solver import DatabaseSolver as DatabaseSolver
    from decompose_distill.demo.teacher import numbered as numbered
    from decompose_distill.demo.teacher import scripted_teacher as scripted_teacher
    from decompose_distill.demo.tiny_model import make_tiny_student as make_tiny_student
    from decompose_distill.demo.world import World as World
    from decompose_distill.demo.world import build_world as build_world

__getattr__, __dir__ = lazy(
    __name__,
    {
        "contexts": ("open_book",),
        "run": ("PROMPT", "SMOLLM2", "TINY", "base_student"),
        "scripted_model": ("ScriptedModel", "gold_rationale"),
        "solver": ("DatabaseSolver",),
        "teacher": ("numbered", "scripted_teacher"),
        "tiny_model": ("make_tiny_student",),
        "world": ("World", "build_world"),
    },
)
