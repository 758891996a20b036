"""The values that flow through the library, in the order the data flows.

Question → Decomposition → Solution → Trace, with Request → Completion below them.
All are frozen. A failed item is a value (`Failure`), never an exception.
"""

import hashlib
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar, Literal

from decompose_distill.errors import ConfigError, DataError, wrong_kind

Finish = Literal["stop", "length", "error"]
Stage = Literal["decompose", "solve"]
Role = Literal["decomposer", "solver"]


@dataclass(frozen=True, slots=True)
class Question:
    """One question to answer, with its gold answer if it is known.

    Raises:
        DataError: The text is empty.

    Example:
        >>> Question("What is 48 + 24?", answer="72").golds
        ('72',)
    """

    text: str
    """The question itself."""
    answer: str | None = None
    """Gold answer; `None` if it is not known."""
    context: str | None = None
    """Passage the question is about, as in DROP; rendered before the question."""
    aliases: tuple[str, ...] = ()
    """Other answers that count as right."""
    id: str = ""
    """Stable name; by default a hash of text and context."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("text", "answer", "context", "aliases", "id")

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise DataError("question text is empty: give the question in 'text'")
        if not self.id:
            words = f"{self.context or ''}\x1f{self.text}".encode("utf-8", "surrogatepass")
            object.__setattr__(self, "id", hashlib.sha256(words).hexdigest()[:16])

    @property
    def golds(self) -> tuple[str, ...]:
        """Every accepted answer; empty if none is known."""
        return () if self.answer is None else (self.answer, *self.aliases)


def as_question(question: object) -> Question:
    """A question, also one that is given as its text.

    Raises:
        ConfigError: It is of another type.

    Example:
        >>> as_question("Who is older?").text
        'Who is older?'
    """
    if isinstance(question, str):
        return Question(question)
    if not isinstance(question, Question):
        advice = "Question values or texts, as load_questions reads them from a file"
        raise wrong_kind("questions", question, advice)
    return question


@dataclass(frozen=True, slots=True)
class Subquestion:
    """One step of a decomposition; `#1` in it stands for the answer to the first step.

    Example:
        >>> Subquestion("How old is #1?").references
        (1,)
    """

    text: str

    @property
    def references(self) -> tuple[int, ...]:
        """Numbers (from 1) of the earlier subquestions this one builds on."""
        return tuple(int(number) for number in re.findall(r"#(\d{1,6})\b", self.text))


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
class Decomposition:
    """A question with its subquestions; none means the model declined to decompose.

    Example:
        >>> question = Question("Who is older, Ada or Bob?")
        >>> Decomposition(question, (Subquestion("How old is Ada?"),)).declined
        False
    """

    question: Question
    subquestions: tuple[Subquestion, ...]
    text: str = ""
    """The model's own words."""
    sample: int = 0
    """Which of the k samples of this question this is, from 0."""
    usage: Usage = Usage()
    reasoning: str = field(default="", kw_only=True)
    """What the model thought before it wrote `text`."""
    leftover: str = field(default="", kw_only=True)
    """Part of `text` that is neither a subquestion nor an opening or closing remark."""

    @property
    def declined(self) -> bool:
        """Whether the model said "No decomposition"."""
        return not self.subquestions


@dataclass(frozen=True, slots=True)
class Solution:
    """The final answer to a decomposed question.

    Example:
        >>> question = Question("What is 6 times 7?")
        >>> Solution(Decomposition(question, ()), answer="42").answer
        '42'
    """

    decomposition: Decomposition
    answer: str
    """The final answer, extracted from `text`."""
    text: str = ""
    """The solver's own words."""
    usage: Usage = Usage()
    reasoning: str = field(default="", kw_only=True)
    """What the solver thought before it wrote `text`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be finished: which stage, why, and the model's words.

    Example:
        >>> question = Question("Why?")
        >>> Failure(question, "decompose", "length", "stopped at 512 tokens").reason
        'length'
    """

    question: Question
    stage: Stage
    reason: str
    """Short and stable, for counting: `length`, `error`, `no subquestions`, …"""
    message: str = ""
    """What happened, for a person."""
    text: str = ""
    """The model's own words, if there are any."""
    decomposition: Decomposition | None = None
    """What was decomposed before solving failed."""
    sample: int = 0
    usage: Usage = Usage()

    @property
    def is_unavailable(self) -> bool:
        """Whether the backend failed; the same question may be answered another time."""
        return self.reason == "error"

    @property
    def is_cut(self) -> bool:
        """Whether the model ran into `max_new_tokens`."""
        return self.reason == "length"


@dataclass(frozen=True, slots=True)
class Trace:
    """One pass of one question through a pipeline: a solution or a failure.

    Example:
        >>> question = Question("What is 6 times 7?", answer="42")
        >>> solution = Solution(Decomposition(question, ()), "42")
        >>> Trace(question, solution).answer
        '42'
    """

    question: Question
    outcome: Solution | Failure
    sample: int = 0
    solve: int = 0
    """Which of the m solves of this decomposition this is, from 0."""
    key: str = ""
    """Identity of the pipeline that made it; empty outside `collect`."""

    @property
    def decomposition(self) -> Decomposition | None:
        """The decomposition, also where only solving failed."""
        return self.outcome.decomposition

    @property
    def failure(self) -> Failure | None:
        """The failure, or `None` if the question was answered."""
        return self.outcome if isinstance(self.outcome, Failure) else None

    @property
    def solution(self) -> Solution | None:
        """The solution, or `None` if a stage failed."""
        return self.outcome if isinstance(self.outcome, Solution) else None

    @property
    def answer(self) -> str | None:
        """The final answer, or `None` if a stage failed."""
        return self.outcome.answer if isinstance(self.outcome, Solution) else None

    @property
    def usage(self) -> Usage:
        """Tokens of both stages."""
        if isinstance(self.outcome, Failure) and self.outcome.stage == "decompose":
            return self.outcome.usage
        before = self.decomposition.usage if self.decomposition else Usage()
        return before + self.outcome.usage


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
        ConfigError: A value is out of range; the message names the field.

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
