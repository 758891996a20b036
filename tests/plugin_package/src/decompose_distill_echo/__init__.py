"""A backend that answers with the question's own words: `echo:polite` or `echo:plain`."""

from collections.abc import Iterable, Iterator

from decompose_distill import BackendInfo, Completion, ConfigError, Request, Usage

PREFIXES = {"polite": "Kindly: ", "plain": ""}


class EchoBackend:
    """Answers every chat with its last message, up to `max_new_tokens` words.

    Args:
        model: `polite` or `plain`, as it stands behind the colon in `echo:polite`.

    Raises:
        ConfigError: There is no such model.
    """

    def __init__(self, model: str) -> None:
        if model not in PREFIXES:
            raise ConfigError(f"echo: unknown model {model!r}; known: {', '.join(PREFIXES)}")
        self.prefix = PREFIXES[model]
        self.info = BackendInfo(identity=f"echo 1 {model}", model=model)

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request as soon as it is taken."""
        for request in requests:
            yield self._complete(request)

    def _complete(self, request: Request) -> Completion:
        prompt = request.messages[-1].content
        words = f"{self.prefix}1. {prompt}?\nThe answer is: 42".split(" ")
        limit = request.sampling.max_new_tokens // 4  # a word is a few tokens
        text, cut = " ".join(words[:limit]), len(words) > limit
        usage = Usage(len(prompt.split()), len(text.split()))
        return Completion(request.id, text, "length" if cut else "stop", usage)
