"""A function as a backend: for tools, tests and demonstrations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from decompose_distill.cost.pricing import FREE, Price
from decompose_distill.types import Completion, Request, Usage


@dataclass(frozen=True, slots=True)
class ScriptedBackend:
    """Answers each request with `function(text of the last message)`.

    Usage counts words, as a function has no tokenizer.

    Example:
        >>> from decompose_distill.types import Message
        >>> backend = ScriptedBackend(str.upper)
        >>> next(backend.generate([Request("0", (Message("user", "hi"),))])).text
        'HI'
    """

    function: Callable[[str], str]
    identity: str = "scripted"
    """Name of the function's version; change it when its answers change."""
    price: ClassVar[Price] = FREE

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Call the function once a request, in order."""
        for request in requests:
            prompt = request.messages[-1].content
            text = self.function(prompt)
            yield Completion(
                request.id, text, "stop", Usage(len(prompt.split()), len(text.split()))
            )
