"""Collecting traces: durable, resumable, within a budget.

- `collector`: `collect`, questions through a pipeline into a file of traces
- `one_process`: the same without the public face
- `planning`: `plan`, what a collection will use and cost before anything is asked
- `trace_index`: which slots of a file are filled, missing or out of order
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.collection.collector import collect as collect
    from decompose_distill.collection.one_process import Collected as Collected
    from decompose_distill.collection.planning import plan as plan

__getattr__, __dir__ = lazy(
    __name__,
    {
        "collector": ("collect",),
        "one_process": ("Collected",),
        "planning": ("plan",),
    },
)
