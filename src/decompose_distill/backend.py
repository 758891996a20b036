"""The one seam to a model: a `Backend` turns a stream of requests into completions."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args, runtime_checkable

from decompose_distill.errors import BackendError, ConfigError, wrong_kind
from decompose_distill.keys import fingerprint_line
from decompose_distill.types import Completion, Finish, Request, Sampling, Usage

if TYPE_CHECKING:
    from decompose_distill.cost.pricing import Price

Item = TypeVar("Item")
FIRST_LIMIT = 512
"""`max_new_tokens` of every backend when keys were first written."""


@runtime_checkable
class Backend(Protocol):
    """Anything with this one method.

    Requests stream in, completions stream out in any order, each with its request's id and
    each id once. A request that fails for good comes back with `finish="error"`; the method
    raises only for what would fail every request (key, model name, endpoint). It takes only
    as many requests as it can work on, so a stream of any length runs in bounded memory.

    What else is to be known of a backend stands in its attribute `info`, a `BackendInfo`: above
    all its `identity`, which is part of the keys under which `collect` finds traces and
    completions again.

    Example:
        >>> from decompose_distill import Completion, Usage
        >>> class Echo:
        ...     info = BackendInfo(identity="echo 1")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendInfo:
    """What keys, budgets and forecasts need to know of a backend; each field may be left out.

    Raises:
        ConfigError: A count is below 1; the message names the field.

    Example:
        >>> BackendInfo(identity="my-service 2", max_attempts=3).max_new_tokens
        512
    """

    identity: str = ""
    """All that answers depend on beside the request: model, revision, endpoint, settings of its
    own. By default the path of the backend's class."""
    model: str = ""
    """Name under which a price may be given."""
    base_url: str = ""
    """Endpoints, parted by spaces; the price table is searched for `model` at their hosts."""
    price: "Price | None" = None
    """What its tokens cost; `None` if it does not know."""
    batch: bool = False
    """Whether it answers in hours, at the batch price, so that as much as possible is asked at
    once, and goes on when this process is killed."""
    max_attempts: int = 1
    """How often it sends one request at most, all of which a budget reserves."""
    max_in_flight: int | None = None
    """Requests under way at once, from which the time is forecast; `None` if unknown."""
    max_new_tokens: int = FIRST_LIMIT
    """Longest completion where a role is given no `Sampling`."""
    tokenizer: Any = None
    """Of a local model: counts the prompts of a forecast."""

    def __post_init__(self) -> None:
        for name in ("max_attempts", "max_in_flight", "max_new_tokens"):
            count = getattr(self, name)
            if count is not None and not _is_count(count):
                raise ConfigError(f"BackendInfo {name} must be 1 or more, not {count!r}")


def info_of(backend: object) -> BackendInfo:
    """What is to be known of a backend: its `info`, else its attributes of the same names.

    Wrappers pass on the `info` of what they wrap. An attribute of another type than the field's
    means something else, and is left alone.

    Example:
        >>> class Old:
        ...     identity, model = "old 1", object()
        >>> info_of(Old()) == BackendInfo(identity="old 1")
        True
    """
    info = getattr(backend, "info", None)
    if not isinstance(info, BackendInfo):
        info = BackendInfo(**dict(_attributes(backend)))
    return info if info.identity else replace(info, identity=identity(backend))


def _attributes(backend: object) -> Iterator[tuple[str, Any]]:
    for field in fields(BackendInfo):
        value = getattr(backend, field.name, None)
        if value is not None and _FITS[field.name](value):
            yield field.name, value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_count(value: object) -> bool:
    return _is_number(value) and value != 0


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_FITS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("identity", "model", "base_url"), _is_text),
    **dict.fromkeys(("max_attempts", "max_in_flight", "max_new_tokens"), _is_count),
    "batch": lambda value: isinstance(value, bool),
    "price": lambda value: hasattr(value, "input_per_million"),
    "tokenizer": callable,
}


def own_identity(named: object) -> str | None:
    """What a backend or role calls itself; `None` if it does not say."""
    info = getattr(named, "info", None)
    if isinstance(info, BackendInfo) and info.identity:
        return info.identity
    own = getattr(named, "identity", None)
    return None if own is None or callable(own) else str(own)


def identity(named: object) -> str:
    """Name a backend, decomposer or solver: its own identity, else the path of its class."""
    own = own_identity(named)
    return class_path(type(named)) if own is None else own


def class_path(kind: type) -> str:
    """Module and name of a class, as keys hold it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def sampling_for(
    backend: object, *, temperature: float | None = 0.0, max_new_tokens: int | None = None
) -> Sampling:
    """Sampling with the backend's own limit if none is given."""
    limit = info_of(backend).max_new_tokens if max_new_tokens is None else max_new_tokens
    return Sampling(temperature=temperature, max_new_tokens=limit)


def sampling_key(sampling: Sampling, own_limit: int) -> str:
    """Sampling as durable keys hold it.

    A backend's own limit stands there as 512, as it was for all backends when keys were first
    written. So one that raises it, because thinking needs more, finds what was collected before.

    Args:
        sampling: Of a role or a request.
        own_limit: `max_new_tokens` of the backend's `info`.

    Example:
        >>> sampling_key(Sampling(max_new_tokens=8192), 8192) == sampling_key(Sampling(), 512)
        True
    """
    if sampling.max_new_tokens == own_limit:
        sampling = replace(sampling, max_new_tokens=FIRST_LIMIT)
    return fingerprint_line("Sampling", sampling)


def check_kinds(backend: object, sampling: object) -> None:
    """Refuse what is no backend or no sampling, before it fails inside.

    Raises:
        ConfigError: One is of another type; the message names it.
    """
    if isinstance(backend, type) or not isinstance(backend, Backend):
        advice = "an object with the method generate, as load_backend('scheme:model') gives it"
        raise wrong_kind("backend", backend, advice)
    if not isinstance(sampling, Sampling):
        raise wrong_kind("sampling", sampling, "a Sampling, as Sampling(temperature=0.7)")


FINISHES = get_args(Finish)


class ContractError(BackendError):
    """A backend answered, and not as its contract says."""


def completions(backend: Backend, requests: Iterable[Request]) -> Iterator[Completion]:
    """What a backend answers, refused where it breaks the contract before anybody uses it.

    Raises:
        ContractError: Something else than an iterator of completions came, or a field of one has
            a value that it must not have; the message names backend and field.
    """
    answers = backend.generate(requests)
    if fault := fault_of_answers(answers):
        raise _breach(backend, fault)
    for completion in answers:
        if fault := fault_of(completion):
            raise _breach(backend, fault)
        yield completion


def fault_of_answers(answers: object) -> str:
    """What is wrong with the result of `generate` as a whole; empty if nothing is."""
    if isinstance(answers, Iterable):
        return ""
    if inspect.iscoroutine(answers):
        answers.close()  # or Python warns that nobody awaited it
    what = "async" if inspect.iscoroutine(answers) or inspect.isasyncgen(answers) else ""
    return f"generate must be a generator of completions, not {what or _kind(answers)}"


def fault_of(completion: object) -> str:
    """The field of a completion with a value that it must not have; empty if there is none.

    Example:
        >>> fault_of(Completion("7", None))
        "text of the completion of request '7' must be a text, not None"
    """
    if not isinstance(completion, Completion):
        return f"generate must yield Completion, not {_kind(completion)}"
    for name, (is_right, wanted) in _CONTRACT.items():
        value = getattr(completion, name)
        if not is_right(value):
            where = f"{name} of the completion of request {completion.id!r}"
            return f"{where} must be {wanted}, not {value!r:.100}"
    return ""


def _is_usage(value: object) -> bool:
    return isinstance(value, Usage) and all(map(_is_number, _COUNTS(value)))


_COUNTS = attrgetter(*(part.name for part in fields(Usage)))


def _is_bill(value: object) -> bool:
    is_amount = isinstance(value, Decimal) and value.is_finite() and value >= 0
    return value is None or is_amount


_CONTRACT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (_is_text, "a text"),
    "text": (_is_text, "a text"),
    "reasoning": (_is_text, "a text"),
    "error": (_is_text, "a text"),
    "finish": (lambda value: value in FINISHES, f"one of {', '.join(FINISHES)}"),
    "usage": (_is_usage, "a Usage of whole numbers"),
    "unanswered": (_is_number, "a whole number"),
    "billed_usd": (_is_bill, "a Decimal of 0 or more, or None"),
}


def _breach(backend: Backend, fault: str) -> ContractError:
    checked_by = "decompose_distill.testing.check_backend checks it"
    return ContractError(f"{identity(backend)}: {fault}; {checked_by}")


def _kind(value: object) -> str:
    return type(value).__name__


def complete(
    backend: Backend, items: Iterable[Item], request: Callable[[str, Item], Request]
) -> Iterator[tuple[Item, Completion]]:
    """Send one request an item, and pair each completion with its item as it comes.

    Roles name their requests `stage/question id/sample/number`, the number given to `request`.

    Raises:
        BackendError: The backend answered an unknown id, left a request unanswered, or broke the
            contract.
    """
    waiting: dict[str, Item] = {}

    def requests() -> Iterator[Request]:
        for number, item in enumerate(items):
            numbered = request(str(number), item)
            waiting[numbered.id] = item
            yield numbered

    for completion in completions(backend, requests()):
        if completion.id not in waiting:
            raise BackendError(f"{identity(backend)} answered an unknown id {completion.id!r}")
        yield waiting.pop(completion.id), completion
    if waiting:
        raise BackendError(f"{identity(backend)} left {len(waiting)} requests unanswered")
