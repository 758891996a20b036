"""Files that survive a kill.

- `atomic`: whole or absent
- `jsonl`: appended durably, one writer, torn last lines repaired
- `traces`: the traces in them
"""

from decompose_distill.storage.traces import TraceStore, read_traces, write_traces

__all__ = ["TraceStore", "read_traces", "write_traces"]
