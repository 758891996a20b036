"""Any OpenAI-compatible server as a backend."""

from decompose_distill.backends.openai.backend import OpenAIBackend as OpenAIBackend
