"""Request → Completion: one chat as a model is asked it, and what it wrote."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar, Literal

from decompose_distill.errors import ConfigError
from decompose_distill.types.kinds import check_kinds_of

Finish = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more completions; add two with `+`.

    Example:
        >>> Usage(10, 5) + Usage(1, 2, reasoning_tokens=1)
        Usage(input_tokens=11, output_tokens=7, cached_tokens=0, reasoning_tokens=1)
    """

    input_tokens: int = 0
    """Of the prompt, those read from a cache among them."""
    output_tokens: int = 0
    """All that is billed as output, thinking among it."""
    cached_tokens: int = field(default=0, kw_only=True)
    """How many of the input were read from the provider's cache."""
    reasoning_tokens: int = field(default=0, kw_only=True)
    """How many of the output were thinking."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    Example:
        >>> Message("user", "Hello").role
        'user'
    """

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model is sampled. Temperature 0 is greedy.

    `None` leaves a setting to the backend: a server is not sent it, a local model takes its own
    default (greedy, `top_p` 1, seed 0).

    Raises:
        ConfigError: A value is of another type or out of range; the message names the field.

    Example:
        >>> Sampling(temperature=0.7, seed=3).max_new_tokens
        512
    """

    temperature: float | None = 0.0
    top_p: float | None = 1.0
    max_new_tokens: int = 512
    """Longest completion, thinking included, in tokens; one that reaches it is a failure, not an
    answer."""
    seed: int | None = 0
    """Sample i of a question is drawn with `seed + i`."""
    reasoning_effort: str | None = None
    """How much a thinking model is to think, in its provider's words: `none`, `low`, `high`."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("temperature", "top_p", "max_new_tokens", "seed")

    def __post_init__(self) -> None:
        check_kinds_of(self)
        for name in ("temperature", "top_p"):  # 1 and 1.0 are to be one key
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))
        if self.temperature is not None and not self.temperature >= 0:
            raise ConfigError(f"temperature must be 0 or more, not {self.temperature}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be 1 or more, not {self.max_new_tokens}")

    def for_sample(self, number: int) -> "Sampling":
        """The same with the seed of the sample of this number; without a seed, the same."""
        return self if self.seed is None else replace(self, seed=self.seed + number)


@dataclass(frozen=True, slots=True)
class Request:
    """One chat to complete; the completion carries the same id.

    Example:
        >>> Request("0", (Message("user", "Hello"),)).sampling.temperature
        0.0
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    sample: int = 0
    """Which of the k samples of its question this is for, from 0."""
    solve: int = 0
    """Which of the m solves of its decomposition this is for, from 0."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote for one request.

    Example:
        >>> Completion("0", "Hi!").finish
        'stop'
    """

    id: str
    """The request's id."""
    text: str
    finish: Finish = "stop"
    """`length` if the text was cut off, `error` if the request failed for good."""
    usage: Usage = Usage()
    error: str = ""
    """Why, where `finish` is `error`."""
    unanswered: int = 0
    """Attempts that were sent and never answered, which a provider may bill all the same."""
    reasoning: str = field(default="", kw_only=True)
    """What the model thought before it wrote `text`, if it is shown."""
    billed_usd: Decimal | None = field(default=None, kw_only=True)
    """What the provider itself says it bills, if it does."""
