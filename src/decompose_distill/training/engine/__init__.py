"""Batches to optimizer steps.

- `loop`: `train`, which yields a step at a time
- `forward`: the cheapest way through a model, proven equal; `attention`, `compiling`: its means
- `loss`: cross-entropy of the target tokens
- `optimizer`, `lora`: what is updated, and how
- `student`: what it is done to; `ranks`, `sharding`: by several processes
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.training.engine.forward import choose_forward as choose_forward
    from decompose_distill.training.engine.loop import train as train
    from decompose_distill.training.engine.lora import attach as attach
    from decompose_distill.training.engine.optimizer import Optimizer as Optimizer
    from decompose_distill.training.engine.optimizer import lr_factor as lr_factor
    from decompose_distill.training.engine.ranks import Ranks as Ranks
    from decompose_distill.training.engine.sharding import load_split as load_split

__getattr__, __dir__ = lazy(
    __name__,
    {
        "forward": ("choose_forward",),
        "loop": ("train",),
        "lora": ("attach",),
        "optimizer": ("Optimizer", "lr_factor"),
        "ranks": ("Ranks",),
        "sharding": ("load_split",),
    },
)
