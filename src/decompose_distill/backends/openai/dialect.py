"""The body of a request, as a server wants it."""

from decompose_distill.types import Request


def encode(model: str, request: Request, *, official: bool) -> dict[str, object]:
    """The body of a request; the official endpoint has a newer name for the token limit."""
    sampling = request.sampling
    return {
        "model": model,
        "messages": [{"role": each.role, "content": each.content} for each in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_completion_tokens" if official else "max_tokens": sampling.max_new_tokens,
        "seed": sampling.seed,
    }
