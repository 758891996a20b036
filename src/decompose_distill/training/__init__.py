"""From kept traces to a student checkpoint.

- `recipe`: `distill`, the whole path from top to bottom
- `config`: its settings
- `data`: traces to batches of token ids, audited
- `engine`: batches to optimizer steps
- `checkpoints`: the student on disk: saving, resuming, verifying, publishing
- `serving`: the student for vLLM, llama.cpp and Ollama
- `trackers`: figures to TensorBoard and the like
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.training.config import DistillConfig as DistillConfig
    from decompose_distill.training.recipe import distill as distill

__getattr__, __dir__ = lazy(
    __name__,
    {
        "config": ("DistillConfig",),
        "recipe": ("distill",),
    },
)
