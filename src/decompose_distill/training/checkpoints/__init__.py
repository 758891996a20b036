"""A student on disk.

- `checkpoint`: saving with a manifest; `resume`: the state of an unfinished run
- `reload_check`: what was saved behaves as what was trained
- `model_card`, `hub_upload`: publishing
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.training.checkpoints.manifest import load_losses as load_losses
    from decompose_distill.training.checkpoints.manifest import load_manifest as load_manifest

__getattr__, __dir__ = lazy(
    __name__,
    {"manifest": ("load_losses", "load_manifest")},
)
