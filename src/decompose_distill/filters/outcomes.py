"""Filters by what came of a trace, and their composition."""

from collections.abc import Callable
from typing import Literal, get_args

from decompose_distill import scores
from decompose_distill.errors import ConfigError
from decompose_distill.types import Trace

Filter = Callable[[Trace], str | None]
FilterName = Literal["complete", "correct", "decomposed"]
"""Filters that need no argument, by the names they have here."""


def as_filter(keep: Filter | FilterName) -> Filter:
    """A filter, also by its name.

    Raises:
        ConfigError: It is no function, and no known name.

    Example:
        >>> as_filter("correct") is correct
        True
    """
    if isinstance(keep, str) and keep in get_args(FilterName):
        return {"complete": complete, "correct": correct, "decomposed": decomposed}[keep]
    if not callable(keep):
        known = ", ".join(get_args(FilterName))
        raise ConfigError(f"keep must be a filter or one of {known}, not {keep!r}")
    return keep


def complete(trace: Trace) -> str | None:
    """Keep what both stages finished, right or wrong (the paper's S_D-T, S_E-T).

    Example:
        >>> from decompose_distill import Failure, Question
        >>> question = Question("Why?")
        >>> complete(Trace(question, Failure(question, "decompose", "length")))
        'decompose: length'
    """
    return f"{trace.failure.stage}: {trace.failure.reason}" if trace.failure else None


def correct(trace: Trace) -> str | None:
    """Keep what led to the gold answer by `scores.exact` (the paper's S_D-R).

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("What is 6 times 7?", answer="42")
        >>> correct(Trace(question, Solution(Decomposition(question, ()), "41")))
        'wrong answer'
    """
    return correct_by(scores.exact)(trace)


def correct_by(score: scores.Score | scores.ScoreName) -> Filter:
    """Keep what led to a gold answer by another score.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("How many?", answer="... #### 42")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "42 apples"))
        >>> print(correct_by(scores.gsm8k)(trace))
        None
    """

    judge = scores.as_score(score)

    def keep(trace: Trace) -> str | None:
        if trace.answer is None:
            return complete(trace)
        points = judge(trace.answer, trace.question.golds)
        if points is None:
            return "no gold answer"
        return None if points == 1 else "wrong answer"

    return keep


def decomposed(trace: Trace) -> str | None:
    """Keep what has a decomposition, even where solving failed.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("Why?")
        >>> decomposed(Trace(question, Solution(Decomposition(question, ()), "so")))
    """
    return complete(trace) if trace.decomposition is None else None


def all_of(*keeps: Filter | FilterName) -> Filter:
    """Keep what every filter keeps; the first that drops a trace gives the reason.

    Example:
        >>> from decompose_distill import Failure, Question
        >>> question = Question("Why?")
        >>> all_of(complete, correct)(Trace(question, Failure(question, "solve", "length")))
        'solve: length'
    """

    chosen = [as_filter(each) for each in keeps]

    def keep(trace: Trace) -> str | None:
        reasons = (each(trace) for each in chosen)
        return next((reason for reason in reasons if reason is not None), None)

    return keep
