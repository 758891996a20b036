"""The batch interface of an OpenAI-compatible server: cheaper, and hours later."""

from decompose_distill.backends.openai.batch.backend import OpenAIBatchBackend as OpenAIBatchBackend
