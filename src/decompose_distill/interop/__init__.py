"""Traces in the forms other tools write and read.

In the order of the data, out and in again:

- `exporting`: `export_traces`, kept traces into a file or folder, and never over another
- `training_formats`: chats of TRL, axolotl, LlamaFactory, ShareGPT and Alpaca, out and in
- `hub_dataset`: folders as the Hugging Face Hub reads them, with the whole trace
- `importing`: `import_traces`, files known by their fields
- `trace_formats`: chats, and rows of GSM8K's two relatives, as traces
- `preferences`: `preference_pairs`, better against worse completions
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
    from decompose_distill.interop.training_formats import Format as Format

__getattr__, __dir__ = lazy(
    __name__,
    {
        "exporting": ("Exported", "export_traces"),
        "importing": ("import_traces",),
        "preferences": ("Paired", "Preference", "preference_pairs"),
        "training_formats": ("Format",),
    },
)
