"""Filters by what came of a trace, and their composition."""

from collections.abc import Callable

from decompose_distill import scores
from decompose_distill.types import Trace

Filter = Callable[[Trace], str | None]


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


def correct_by(score: scores.Score) -> Filter:
    """Keep what led to a gold answer by another score.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("How many?", answer="... #### 42")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "42 apples"))
        >>> print(correct_by(scores.gsm8k)(trace))
        None
    """

    def keep(trace: Trace) -> str | None:
        if trace.answer is None:
            return complete(trace)
        points = score(trace.answer, trace.question.golds)
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


def all_of(*keeps: Filter) -> Filter:
    """Keep what every filter keeps; the first that drops a trace gives the reason.

    Example:
        >>> from decompose_distill import Failure, Question
        >>> question = Question("Why?")
        >>> all_of(complete, correct)(Trace(question, Failure(question, "solve", "length")))
        'solve: length'
    """

    def keep(trace: Trace) -> str | None:
        reasons = (each(trace) for each in keeps)
        return next((reason for reason in reasons if reason is not None), None)

    return keep
