"""What is still to come: token statistics of what was answered, and what the rest will cost."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from decimal import Decimal
from math import sqrt

from decompose_distill.cost.pricing import Price, add_usd, format_usd
from decompose_distill.types import Message, Request, Usage

FEWEST = 10
"""Answers that say something of the others."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure that is not known: the least and the most to be reckoned with, and the expected.

    Example:
        >>> print(Estimate(1, 2, 4) + Estimate(10, 20, 40))
        22 (11–44)
    """

    low: float
    expected: float
    high: float

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.low + other.low, self.expected + other.expected, self.high + other.high
        )

    def __mul__(self, factor: "float | Estimate") -> "Estimate":
        by = factor if isinstance(factor, Estimate) else Estimate(factor, factor, factor)
        return Estimate(self.low * by.low, self.expected * by.expected, self.high * by.high)

    def __str__(self) -> str:
        low, expected, high = (f"{figure:,.0f}" for figure in (self.low, self.expected, self.high))
        return expected if low == high else f"{expected} ({low}–{high})"


NOTHING = Estimate(0, 0, 0)


@dataclass(frozen=True, slots=True)
class TokenStats:
    """Sums over the answers of one role.

    Example:
        >>> chat = (Message("user", "x" * 40),)
        >>> seen = TokenStats()
        >>> for written in (10, 20) * 10:
        ...     seen = seen.add(chat, Usage(10, written), cut=False)
        >>> seen.tokens_per_character
        0.25
        >>> print(seen.written)
        15 (13–17)
    """

    answers: int = 0
    cut: int = 0
    """Answers that reached `max_new_tokens`."""
    characters: int = 0
    read: int = 0
    sum: int = 0
    squares: int = 0
    """Tokens written, summed, and their squares."""
    reasoning: int = 0
    """Of the tokens written, those of thinking."""

    def add(self, messages: Sequence[Message], usage: Usage, *, cut: bool) -> "TokenStats":
        """Take in an answer and the chat it answers."""
        written = usage.output_tokens
        return replace(
            self,
            answers=self.answers + 1,
            cut=self.cut + cut,
            characters=self.characters + count_characters(messages),
            read=self.read + usage.input_tokens,
            sum=self.sum + written,
            squares=self.squares + written * written,
            reasoning=self.reasoning + usage.reasoning_tokens,
        )

    @property
    def suffices(self) -> bool:
        """Whether there are enough to go by."""
        return self.answers >= FEWEST and self.read > 0

    @property
    def tokens_per_character(self) -> float:
        """Of the prompts, chat template included."""
        return self.read / self.characters

    @property
    def reasoning_share(self) -> float:
        """Of the tokens written, from 0 to 1."""
        return self.reasoning / self.sum if self.sum else 0.0

    @property
    def written(self) -> Estimate:
        """Mean length of an answer in tokens, and two standard errors to both sides."""
        mean = self.sum / self.answers
        error = sqrt(max(0.0, self.squares / self.answers - mean * mean) / self.answers)
        return Estimate(max(0.0, mean - 2 * error), mean, mean + 2 * error)


def count_characters(messages: Sequence[Message]) -> int:
    """Length of a chat's texts."""
    return sum(len(message.content) for message in messages)


@dataclass(frozen=True, slots=True)
class RoleForecast:
    """What one role is expected to use.

    Example:
        >>> one, price = Estimate(1, 1, 1), Price(Decimal("0.4"), Decimal("1.6"))
        >>> RoleForecast(
        ...     "solver", 2, input_tokens=one * 1e6, output_tokens=one * 0, most=Usage(2_000_000),
        ...     price=price, answer=one, limit=512, measured=TokenStats(),
        ... ).usd.expected
        0.4
    """

    role: str
    """`decomposer`, `solver`, or a part of one, as `solver.judge`."""
    requests: int
    _: KW_ONLY
    input_tokens: Estimate
    output_tokens: Estimate
    most: Usage
    """Tokens if each prompt is as long as it can be and each answer reaches its limit."""
    price: Price | None
    """`None` if it is unknown."""
    answer: Estimate
    """Tokens of one answer."""
    limit: int
    """`max_new_tokens`: a longer answer is cut off, which is a failure."""
    measured: TokenStats
    """The answers in the file; if these are too few, the figures are assumptions."""

    @property
    def stage(self) -> str:
        """`decomposer` or `solver`."""
        return self.role.partition(".")[0]

    @property
    def usd(self) -> Estimate | None:
        """Price of the tokens, in US dollars; `None` if it is unknown."""
        if self.price is None:
            return None
        read = self.input_tokens * (float(self.price.input_per_million) / 1e6)
        return read + self.output_tokens * self._usd_per_token

    @property
    def reasoning_tokens(self) -> Estimate:
        """Thinking among the tokens written, once it is measured."""
        known = self.measured.suffices
        return self.output_tokens * (self.measured.reasoning_share if known else 0.0)

    @property
    def _usd_per_token(self) -> float:
        return float(self.price.output_per_million) / 1e6 if self.price else 0.0

    @property
    def most_usd(self) -> Decimal | None:
        """Price of `most`."""
        return None if self.price is None else self.price.usd(self.most)

    def __str__(self) -> str:
        return (
            f"{self.role}: {self.requests:,} requests, {self.input_tokens} tokens read, "
            f"{self.output_tokens} written: {_role_usd(self.usd)}{self._thinking}\n  {self._basis}"
        )

    @property
    def _thinking(self) -> str:
        if not self.reasoning_tokens.high:
            return ""
        usd = None if self.price is None else self.reasoning_tokens * self._usd_per_token
        return f"\n  thinking: {self.reasoning_tokens} of the tokens written: {_role_usd(usd)}"

    @property
    def _basis(self) -> str:
        if self.measured.suffices:
            cut = f"max_new_tokens={self.limit} cut off {self.measured.cut}"
            return f"as {self.measured.answers} answers in the file did, of which {cut}"
        doubt = ", which would cut off long ones" if self.answer.high > self.limit else ""
        return f"assuming answers of {self.answer} tokens; max_new_tokens={self.limit}{doubt}"


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """What a call of `collect` is expected to take; print it to read it.

    Example:
        >>> print(Plan(0, 8, (), None))
        0 of 8 traces are to be made
        cost: $0, $0 if each answer reaches its limit
        time: unknown
    """

    missing: int
    """Traces to make."""
    total: int
    """Traces the file is to hold."""
    roles: tuple[RoleForecast, ...]
    seconds: Estimate | None
    """`None` if nothing says how fast the backends are."""

    @property
    def usd(self) -> Estimate | None:
        """Price of all of it, in US dollars; `None` if one is unknown."""
        known = [role.usd for role in self.roles if role.usd is not None]
        return sum(known, NOTHING) if len(known) == len(self.roles) else None

    @property
    def most_usd(self) -> Decimal | None:
        """The same if each answer reaches its limit; attempts that fail come on top."""
        return add_usd(role.most_usd for role in self.roles)

    def __str__(self) -> str:
        lines = [f"{self.missing:,} of {self.total:,} traces are to be made", *map(str, self.roles)]
        most = f", {format_usd(self.most_usd)} if each answer reaches its limit"
        lines.append(f"cost: {_role_usd(self.usd)}{most if self.usd else ''}")
        known = "unknown" if self.seconds is None else duration(self.seconds)
        lines.append(f"time: {known}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        cost = "cost unknown" if self.usd is None else usd_range(self.usd)
        return f"<Plan {self.missing:,} of {self.total:,} traces: {cost}>"


def usd_range(usd: Estimate) -> str:
    """An estimated amount with its low and high bound.

    Example:
        >>> usd_range(Estimate(0.5, 1, 2)), usd_range(Estimate(1, 1, 1))
        ('$1.00 ($0.50–$2.00)', '$1.00')
    """
    low, expected, high = map(format_usd, (usd.low, usd.expected, usd.high))
    return expected if low == high else f"{expected} ({low}–{high})"


def _role_usd(usd: Estimate | None) -> str:
    if usd is None:
        return "unknown, as no price is known: pass one in prices, or with --prices"
    return usd_range(usd)


def duration(seconds: Estimate) -> str:
    """An estimated time in its largest unit.

    Example:
        >>> duration(Estimate(30, 60, 90))
        '1.0 minutes (0.5–1.5)'
    """
    unit, name = next(
        (unit, name)
        for unit, name in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if seconds.expected >= unit or unit == 1
    )
    low, expected, high = (bound / unit for bound in (seconds.low, seconds.expected, seconds.high))
    return f"{expected:.1f} {name} ({low:.1f}–{high:.1f})"


MESSAGE_TOKENS, TEMPLATE_TOKENS = 16, 128
"""More than chat templates are known to add to each message, and to a chat."""


def most_tokens(request: Request) -> Usage:
    """The most that one attempt may use, without knowing the model's tokenizer.

    A token stands for at least one byte of the text: so it is with byte-level vocabularies and
    with those that fall back to bytes, which is what models have today. The answer is bounded by
    `max_new_tokens`, thinking included where the server counts it in, as the official one does.

    Example:
        >>> from decompose_distill.types import Message
        >>> most_tokens(Request("0", (Message("user", "Hi"),)))
        Usage(input_tokens=146, output_tokens=512, ...)
    """
    texts = (message.content.encode("utf-8", "surrogatepass") for message in request.messages)
    read = sum(len(text) + MESSAGE_TOKENS for text in texts) + TEMPLATE_TOKENS
    return Usage(read, request.sampling.max_new_tokens)
