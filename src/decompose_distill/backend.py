"""The one seam to a model: a `Backend` turns a stream of requests into completions."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from decompose_distill.errors import BackendError
from decompose_distill.types import Completion, Request

Item = TypeVar("Item")


@runtime_checkable
class Backend(Protocol):
    """Anything with this one method.

    Requests stream in, completions stream out in any order, each with its request's id and
    each id once. A request that fails for good comes back with `finish="error"`; the method
    raises only for what would fail every request (key, model name, endpoint). It takes only
    as many requests as it can work on, so a stream of any length runs in bounded memory.

    A backend may also have an attribute `identity: str` that names all that its answers depend
    on beside the request: model, revision, endpoint, settings of its own. It is part of the keys
    under which `collect` finds traces and completions again. An attribute `batch = True` says
    that it answers in hours, so that as much as possible is asked at once. For a budget it may
    have its `price: Price` and, where it repeats attempts, `max_attempts: int`.

    Example:
        >>> from decompose_distill import Completion, Usage
        >>> class Echo:
        ...     def generate(self, requests):
        ...         for request in requests:
        ...             text = request.messages[-1].content
        ...             yield Completion(request.id, text, usage=Usage(1, len(text.split())))
        >>> isinstance(Echo(), Backend)
        True
    """

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once, in any order."""
        ...


def identity(backend: object) -> str:
    """Name a backend, decomposer or solver: its `identity` if it has one, else its class."""
    kind = type(backend)
    return str(getattr(backend, "identity", f"{kind.__module__}.{kind.__qualname__}"))


def complete(
    backend: Backend, items: Iterable[Item], request: Callable[[str, Item], Request]
) -> Iterator[tuple[Item, Completion]]:
    """Send one request an item, and pair each completion with its item as it comes.

    Roles name their requests `stage/question id/sample/number`, the number given to `request`.

    Raises:
        BackendError: The backend answered an unknown id, or left a request unanswered.
    """
    waiting: dict[str, Item] = {}

    def requests() -> Iterator[Request]:
        for number, item in enumerate(items):
            made = request(str(number), item)
            waiting[made.id] = item
            yield made

    for completion in backend.generate(requests()):
        if completion.id not in waiting:
            raise BackendError(f"{identity(backend)} answered an unknown id {completion.id!r}")
        yield waiting.pop(completion.id), completion
    if waiting:
        raise BackendError(f"{identity(backend)} left {len(waiting)} requests unanswered")
