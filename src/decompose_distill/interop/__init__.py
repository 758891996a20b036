"""Traces in the forms other tools write and read.

In the order of the data, out and in again:

- `exporting`: `export_traces`, kept traces into a file or folder, and never over another;
- `training_formats`: chats of TRL, axolotl, LlamaFactory, ShareGPT, Alpaca, out and in;
- `hub_dataset`: folders as the Hugging Face Hub reads them, with the whole trace;
- `importing`: `import_traces`, files known by their fields;
- `trace_formats`: chats, and rows of GSM8K's two relatives, as traces;
- `preferences`: `preference_pairs`, better against worse completions.

Imports no torch; pyarrow only where Parquet is read or written.
"""

from decompose_distill.interop.exporting import Exported, export_traces
from decompose_distill.interop.importing import import_traces
from decompose_distill.interop.preferences import Paired, Preference, preference_pairs
from decompose_distill.interop.training_formats import Format

__all__ = [
    "Exported",
    "Format",
    "Paired",
    "Preference",
    "export_traces",
    "import_traces",
    "preference_pairs",
]
