"""The batch interface of an OpenAI-compatible server: cheaper, and hours later.

- `backend`: the backend; `scheduler`: what is gathered, submitted, awaited
- `api`: the calls; `file_format`: the files that go up and come down
- `submissions`: what was submitted, on disk before it is sent, so that nothing is paid twice
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.backends.openai.batch.backend import (
        OpenAIBatchBackend as OpenAIBatchBackend,
    )

__getattr__, __dir__ = lazy(
    __name__,
    {
        "backend": ("OpenAIBatchBackend",),
    },
)
