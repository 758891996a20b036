"""Backends that come with the library; `load_backend` finds them by scheme.

- `registry`: `load_backend("scheme:model")`, built in or from entry points of other packages
- `openai`: any OpenAI-compatible server, one request at a time or by its batch interface
- `transformers`, `vllm`: a local Hugging Face model, in this process or on vLLM's engine
- `scripted`, `replay`: answers from a function, or from traces that were collected
- `caching`: answers from a journal what was asked before
- `metering`: reserves in a ledger before a request is sent, and settles when it came back
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.backends.caching import CachingBackend as CachingBackend
    from decompose_distill.backends.caching import CompletionStore as CompletionStore
    from decompose_distill.backends.metering import MeteredBackend as MeteredBackend
    from decompose_distill.backends.registry import load_backend as load_backend
    from decompose_distill.backends.replay import ReplayBackend as ReplayBackend
    from decompose_distill.backends.replay import ScriptedBackend as ScriptedBackend
    from decompose_distill.backends.transformers import TransformersBackend as TransformersBackend
    from decompose_distill.backends.vllm import VLLMBackend as VLLMBackend

__getattr__, __dir__ = lazy(
    __name__,
    {
        "caching": ("CachingBackend", "CompletionStore"),
        "metering": ("MeteredBackend",),
        "registry": ("load_backend",),
        "replay": ("ReplayBackend", "ScriptedBackend"),
        "transformers": ("TransformersBackend",),
        "vllm": ("VLLMBackend",),
    },
)
