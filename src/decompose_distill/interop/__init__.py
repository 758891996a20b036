"""Traces in the forms other tools write and read.

- `exporting`, `importing`: to and from files of other tools
- `trace_formats`, `training_formats`: their layouts
- `preferences`: pairs of a better and a worse decomposition
- `hub_dataset`: a folder as a dataset hub takes it
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.interop.exporting import Exported as Exported
    from decompose_distill.interop.exporting import export_traces as export_traces
    from decompose_distill.interop.importing import import_traces as import_traces
    from decompose_distill.interop.preferences import Paired as Paired
    from decompose_distill.interop.preferences import Preference as Preference
    from decompose_distill.interop.preferences import preference_pairs as preference_pairs

__getattr__, __dir__ = lazy(
    __name__,
    {
        "exporting": ("Exported", "export_traces"),
        "importing": ("import_traces",),
        "preferences": ("Paired", "Preference", "preference_pairs"),
    },
)
