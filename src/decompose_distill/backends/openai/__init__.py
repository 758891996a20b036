"""Any OpenAI-compatible server as a backend.

- `backend`: the backend itself, and what becomes of each kind of reply
- `client`: one request until it is settled, by tenacity's retries
- `endpoints`: which address a request goes to; `connections`: the sockets
- `rate_control`, `retry_after`, `circuit_breaker`: when a request may go
- `providers`: how providers differ, as data; `dialect`: bodies out, less what a server refuses
- `replies`, `server_errors`: what comes back, read alike of all; `secrets`: what is never shown
- `event_loop`: all of it on a loop in a thread of its own
- `batch`: the same server by its batch interface
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.backends.openai.backend import OpenAIBackend as OpenAIBackend
    from decompose_distill.backends.openai.batch.backend import (
        OpenAIBatchBackend as OpenAIBatchBackend,
    )

__getattr__, __dir__ = lazy(
    __name__,
    {
        "backend": ("OpenAIBackend",),
        "batch.backend": ("OpenAIBatchBackend",),
    },
)
