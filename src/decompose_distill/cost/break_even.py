"""What answering costs, by role, and when a distilled part has paid for itself.

An unknown price stays unknown: it is `None` and makes every sum it enters `None`, never 0.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from decompose_distill.cost.pricing import add_usd
from decompose_distill.errors import ConfigError
from decompose_distill.types import Failure, Trace, Usage

SECONDS_AN_HOUR = 3600


def machine_usd(seconds: float, usd_per_hour: Decimal | float | None) -> Decimal | None:
    """Price of a machine of one's own for some seconds; `None` if its hourly rate is unknown.

    Raises:
        ConfigError: Seconds or rate are negative, or the rate is no finite number.

    Example:
        >>> machine_usd(1800, Decimal("2.50"))
        Decimal('1.25')
    """
    if seconds < 0:
        raise ConfigError(f"seconds must be 0 or more, not {seconds}")
    if usd_per_hour is None:
        return None
    rate = Decimal(str(usd_per_hour))
    if not rate.is_finite() or rate < 0:
        raise ConfigError(f"usd_per_hour must be 0 or more, not {usd_per_hour}")
    return Decimal(str(seconds)) * rate / SECONDS_AN_HOUR


@dataclass(frozen=True, slots=True)
class Expense:
    """What one role used, and what that cost.

    Example:
        >>> Expense("solver", Usage(812, 64)).usd is None  # no price is known
        True
    """

    role: str
    """`decomposer` or `solver`."""
    usage: Usage
    """As the backends counted them, with the models' own tokenizers."""
    usd: Decimal | None = None
    """`None` if the price is unknown."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a row of a table: answering N questions, and training before that.

    Example:
        >>> cost = Cost(100, (Expense("solver", Usage(9, 9), Decimal("0.5")),), Decimal(2))
        >>> cost.usd_per_question, cost.total_usd
        (Decimal('0.005'), Decimal('2.5'))
    """

    questions: int
    expenses: tuple[Expense, ...]
    training_usd: Decimal | None = Decimal(0)
    """Paid once: the teacher's traces and the training; 0 if nothing was trained."""

    @property
    def usd(self) -> Decimal | None:
        """Price of answering the questions; `None` if a role's price is unknown."""
        return add_usd(expense.usd for expense in self.expenses)

    @property
    def total_usd(self) -> Decimal | None:
        """The same with the training."""
        return add_usd((self.usd, self.training_usd))

    @property
    def usd_per_question(self) -> Decimal | None:
        """Price of answering one question, without the training."""
        return None if self.usd is None or not self.questions else self.usd / self.questions


def usage_by_role(traces: Iterable[Trace]) -> tuple[Usage, Usage]:
    """Tokens of the decomposer and of the solver, failures included.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> split = Decomposition(Question("Why?"), (), usage=Usage(10, 5))
        >>> usage_by_role([Trace(split.question, Solution(split, "so", usage=Usage(20, 1)))])
        (Usage(input_tokens=10, output_tokens=5, ...), Usage(input_tokens=20, output_tokens=1, ...))
    """
    decomposer = solver = Usage()
    for trace in traces:
        outcome = trace.outcome
        if isinstance(outcome, Failure) and outcome.stage == "decompose":
            decomposer += outcome.usage
            continue
        decomposer += outcome.decomposition.usage if outcome.decomposition else Usage()
        solver += outcome.usage
    return decomposer, solver


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What was paid for training against what is saved with each question.

    Example:
        >>> BreakEven(Decimal(10), Decimal("0.004"), Decimal("0.0015")).questions
        4000
        >>> BreakEven(Decimal(10), Decimal("0.001"), Decimal("0.002")).questions is None  # never
        True
    """

    training_usd: Decimal
    baseline_per_question: Decimal
    student_per_question: Decimal

    @property
    def saving(self) -> Decimal:
        """US dollars saved with each question; negative if the student costs more."""
        return self.baseline_per_question - self.student_per_question

    @property
    def questions(self) -> int | None:
        """Questions after which the training has paid for itself; `None` if it never does."""
        if self.training_usd <= 0 and self.saving >= 0:
            return 0
        return math.ceil(self.training_usd / self.saving) if self.saving > 0 else None


def break_even(baseline: Cost, student: Cost) -> BreakEven | None:
    """Set a student's training against what it saves; `None` if a price is unknown.

    Example:
        >>> teacher = Cost(10, (Expense("decomposer", Usage(9, 9), Decimal("0.04")),))
        >>> student = Cost(10, (Expense("decomposer", Usage(9, 9), Decimal(0)),), Decimal(2))
        >>> break_even(teacher, student).questions
        500
    """
    paid = (student.training_usd, baseline.usd_per_question, student.usd_per_question)
    training, before, after = paid
    if training is None or before is None or after is None:
        return None
    return BreakEven(training, before, after)


def pareto_front(points: Sequence[tuple[Decimal, float]]) -> tuple[int, ...]:
    """Places of the points (price, accuracy) that no other beats in one and matches in the other.

    Cheapest first; equal points are all on the front.

    Example:
        >>> pareto_front([(Decimal(1), 0.5), (Decimal(2), 0.4), (Decimal(3), 0.9)])
        (0, 2)
    """

    def beaten(price: Decimal, accuracy: float) -> bool:
        return any(
            other <= price and better >= accuracy and (other, better) != (price, accuracy)
            for other, better in points
        )

    front = [index for index, point in enumerate(points) if not beaten(*point)]
    return tuple(sorted(front, key=lambda index: points[index]))
