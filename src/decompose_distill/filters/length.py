"""Filters by size: how many subquestions, how long."""

from collections.abc import Callable
from typing import Literal

from decompose_distill.errors import ConfigError
from decompose_distill.filters.outcomes import Filter, decomposed
from decompose_distill.parsing import format_subquestions
from decompose_distill.types import Trace


def subquestion_count(minimum: int = 1, maximum: int | None = None) -> Filter:
    """Keep decompositions with a number of subquestions in a range, both ends included.

    Raises:
        ConfigError: The range is empty.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("Why?")
        >>> declined = Trace(question, Solution(Decomposition(question, ()), "so"))
        >>> subquestion_count(1, 3)(declined)
        '0 subquestions'
    """
    if minimum < 0 or (maximum is not None and maximum < minimum):
        raise ConfigError(f"no number of subquestions is from {minimum} to {maximum}")

    def keep(trace: Trace) -> str | None:
        if trace.decomposition is None:
            return decomposed(trace)
        count = len(trace.decomposition.subquestions)
        if count >= minimum and (maximum is None or count <= maximum):
            return None
        return f"{count} subquestion{'s' * (count != 1)}"

    return keep


def length_cap(
    maximum: int,
    *,
    role: Literal["decomposer", "solver"] = "decomposer",
    measure: Callable[[str], int] = len,
) -> Filter:
    """Keep traces whose texts are at most so long together, in characters or in tokens.

    Args:
        maximum: Longest sum over the texts, in the unit of `measure`.
        role: Whose texts: a decomposer sees question, context and subquestions, a solver also
            the text of the solution. The prompt around them is not counted.
        measure: Length of a text; characters by default. For tokens give
            `lambda text: len(tokenizer.encode(text))`.

    Raises:
        ConfigError: `maximum` is below 1, or the role is unknown.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("Why?")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "so", "Because." * 9))
        >>> length_cap(50)(trace), length_cap(50, role="solver")(trace)
        (None, 'longer than 50')
    """
    if maximum < 1:
        raise ConfigError(f"maximum must be 1 or more, not {maximum}")
    if role not in ("decomposer", "solver"):
        raise ConfigError(f"role must be decomposer or solver, not {role!r}")

    def keep(trace: Trace) -> str | None:
        if trace.decomposition is None:
            return decomposed(trace)
        texts = [trace.question.text, trace.question.context or ""]
        texts.append(format_subquestions(trace.decomposition.subquestions))
        if role == "solver":
            texts.append(trace.outcome.text)
        total = sum(measure(text) for text in texts)
        return f"longer than {maximum}" if total > maximum else None

    return keep
