"""What a collection is expected to take, as values that print."""

from dataclasses import KW_ONLY, dataclass
from decimal import Decimal

from decompose_distill.cost.estimates import NOTHING, Estimate, TokenStats
from decompose_distill.cost.pricing import Price, add_usd, format_usd
from decompose_distill.types import Usage


@dataclass(frozen=True, slots=True)
class RoleForecast:
    """What one role is expected to use."""

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


@dataclass(frozen=True, slots=True)
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
        lines.append(f"time: {_duration(self.seconds)}")
        return "\n".join(lines)


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
        return "an unknown amount, as no price is known; give it in prices, or with --prices"
    return usd_range(usd)


def _duration(seconds: Estimate | None) -> str:
    if seconds is None:
        return "unknown"
    unit, name = next(
        (unit, name)
        for unit, name in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if seconds.expected >= unit or unit == 1
    )
    low, expected, high = (bound / unit for bound in (seconds.low, seconds.expected, seconds.high))
    return f"{expected:.1f} {name} ({low:.1f}–{high:.1f})"
