"""Backends that answer without a model: from a script, and from recorded completions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import ClassVar

from decompose_distill.cost.pricing import FREE, Price
from decompose_distill.errors import DataError
from decompose_distill.storage.traces import read_traces
from decompose_distill.types import Completion, Request, Trace, Usage


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


class ReplayBackend:
    """Gives a `Decomposer` or `Solver` the words recorded for the same question and sample.

    What was not recorded comes back as an error, and so does a solution recorded for other
    subquestions than the request lists.

    Raises:
        DataError: The file is missing, malformed, or holds no trace.

    Example:
        ```python
        recorded = ReplayBackend("traces.jsonl")
        pipeline = dd.Pipeline(dd.Decomposer(recorded), dd.Solver(recorded))
        ```
    """

    price = FREE

    def __init__(self, path: str | Path) -> None:
        self.path: Path = Path(path)
        self._traces: dict[tuple[str, str, int, int], Trace] = {}
        for trace in read_traces(self.path):
            name, sample = trace.question.id, trace.sample
            self._traces.setdefault(("decompose", name, sample, 0), trace)
            self._traces["solve", name, sample, trace.solve] = trace
        if not self._traces:
            raise DataError(f"{self.path}: holds no trace to replay")
        with self.path.open("rb") as file:
            self._digest = file_digest(file, "sha256").hexdigest()[:16]

    def __repr__(self) -> str:
        return f"ReplayBackend({str(self.path)!r})"

    @property
    def identity(self) -> str:
        """The file's name and a hash of what it held, for keys."""
        return f"replay:{self.path} {self._digest}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Look each request up, in order."""
        for request in requests:
            stage, _, rest = request.id.partition("/")
            name = rest.rsplit("/", 2)[0]  # an id may hold slashes of its own
            trace = self._traces.get((stage, name, request.sample, request.solve))
            if trace is None:
                yield _missing(request, f"{self.path} holds no trace of question {name!r}")
            elif trace.question.text not in request.messages[-1].content:
                yield _missing(request, f"question {name!r} had another text in {self.path}")
            else:
                yield (
                    _decomposed(request, trace) if stage == "decompose" else _solved(request, trace)
                )


def _decomposed(request: Request, trace: Trace) -> Completion:
    if trace.decomposition is None:
        return _failed(request, trace)
    decomposition = trace.decomposition
    text, usage = decomposition.text, decomposition.usage
    return Completion(request.id, text, "stop", usage, reasoning=decomposition.reasoning)


def _solved(request: Request, trace: Trace) -> Completion:
    if trace.solution is None:
        return _failed(request, trace)
    subquestions = trace.solution.decomposition.subquestions
    if not all(step.text in request.messages[-1].content for step in subquestions):
        return _missing(request, "the recorded solution is for other subquestions")
    solution = trace.solution
    return Completion(
        request.id, solution.text, "stop", solution.usage, reasoning=solution.reasoning
    )


def _failed(request: Request, trace: Trace) -> Completion:
    """Repeat a recorded failure: the reader fails on the same words again."""
    failure = trace.failure
    assert failure is not None
    if failure.is_cut:
        return Completion(request.id, failure.text, "length", failure.usage)
    if failure.is_unavailable:
        return Completion(request.id, failure.text, "error", failure.usage, failure.message)
    return Completion(request.id, failure.text, "stop", failure.usage)


def _missing(request: Request, message: str) -> Completion:
    return Completion(request.id, "", "error", error=message)
