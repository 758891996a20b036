"""The one seam to a model: a `Backend` turns a stream of requests into completions."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from decompose_distill.errors import BackendError, ConfigError, DecomposeDistillError
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


_BUILT_IN = {
    "hf": "decompose_distill.backends.transformers:TransformersBackend",
    "openai": "decompose_distill.backends.openai:OpenAIBackend",
    "replay": "decompose_distill.backends.replay:ReplayBackend",
}
_BATCH = "decompose_distill.backends.openai.batch.backend:OpenAIBatchBackend"


def load_backend(
    name: str,
    *,
    base_url: str | None = None,
    max_in_flight: int | None = None,
    batches: str | Path | None = None,
) -> Backend:
    """Build a backend from `"scheme:model"`.

    Schemes: `hf:` (hub id, directory or `.gguf` file), `openai:` (any compatible server),
    `replay:` (a file of traces), and every name in the entry-point group
    `decompose_distill.backends`.

    Args:
        name: Scheme and model, such as `openai:gpt-4.1-mini`.
        base_url: Endpoint of an `openai:` server, such as `http://localhost:8000/v1`.
        max_in_flight: Requests that an `openai:` server is to work on at once.
        batches: File of what was submitted, such as `traces.jsonl.batches`; with it an `openai:`
            server is used through its batch interface.

    Raises:
        ConfigError: The scheme is unknown, the model's name is missing, or an option does not
            go with the rest.
        BackendError: The model or the key cannot be had.

    Example:
        >>> load_backend("openai:my-model", base_url="http://localhost:8000/v1").model
        'my-model'
    """
    scheme, _, model = name.partition(":")
    if not model:
        raise ConfigError(f"backend {name!r} must be written 'scheme:model', as 'openai:gpt-4.1'")
    options = {"base_url": base_url, "max_in_flight": max_in_flight, "batches": batches}
    given = {option: value for option, value in options.items() if value is not None}
    if given and scheme != "openai":
        raise ConfigError(f"{next(iter(given))} goes with 'openai:' backends, not with {name!r}")
    if batches is not None and max_in_flight is not None:
        raise ConfigError("max_in_flight does not go with batches, which take all there is")
    factory = _factory(scheme) if batches is None else _imported(_BATCH)
    try:
        return factory(model, **given)
    except DecomposeDistillError as error:
        refused = error.with_traceback(None)
    del base_url, options, given  # out of the reports that show local variables
    raise refused


def _factory(scheme: str) -> Callable[..., Backend]:
    if target := _BUILT_IN.get(scheme):
        return _imported(target)
    from importlib.metadata import entry_points  # a third of this package's import time

    plugins = {point.name: point for point in entry_points(group="decompose_distill.backends")}
    if scheme not in plugins:
        known = ", ".join(sorted({*_BUILT_IN, *plugins}))
        raise ConfigError(f"unknown backend scheme {scheme!r}; known: {known}")
    loaded: Callable[..., Backend] = plugins[scheme].load()
    return loaded


def _imported(target: str) -> Callable[..., Backend]:
    module, _, attribute = target.partition(":")
    factory: Callable[..., Backend] = getattr(importlib.import_module(module), attribute)
    return factory
