"""Files that survive a kill.

- `atomic`: whole or absent
- `jsonl`: appended durably, one writer, torn last lines repaired
- `traces`: the traces in them
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.storage.traces import TraceStore as TraceStore
    from decompose_distill.storage.traces import read_traces as read_traces
    from decompose_distill.storage.traces import write_traces as write_traces

__getattr__, __dir__ = lazy(
    __name__,
    {
        "traces": ("TraceStore", "read_traces", "write_traces"),
    },
)
