"""What answers in a file of traces used, from which the use of further ones is foretold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from decompose_distill.types import Message, Usage

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
