"""Collecting traces: durable, resumable, within a budget, in one process or many.

- `collector`: `collect`, questions through a pipeline into a file of traces
- `one_process`: the same in one process, which is also how each shard is collected
- `trace_index`: which slots of a file are filled, missing or out of order
- `shards`: equal parts of the questions, each with its own files; `collect_shard`
- `workers`, `ray_engine`: where shards are collected; `driver`: all of them, until the last ended
- `merging`: `merge_shards`, shards into one file
- `planning`: `plan`, what a collection will use and cost before anything is asked
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.collection.collector import collect as collect
    from decompose_distill.collection.merging import Merged as Merged
    from decompose_distill.collection.merging import merge_shards as merge_shards
    from decompose_distill.collection.one_process import Collected as Collected
    from decompose_distill.collection.planning import plan as plan
    from decompose_distill.collection.ray_engine import RayEngine as RayEngine
    from decompose_distill.collection.shards import collect_shard as collect_shard

__getattr__, __dir__ = lazy(
    __name__,
    {
        "collector": ("collect",),
        "merging": ("Merged", "merge_shards"),
        "one_process": ("Collected",),
        "planning": ("plan",),
        "ray_engine": ("RayEngine",),
        "shards": ("collect_shard",),
    },
)
