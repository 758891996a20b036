"""Filters: which traces to learn from, with the reason for each that is dropped.

A filter is any function `Trace -> str | None`: the reason to drop it, or `None` to keep it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from decompose_distill import scores
from decompose_distill.errors import ConfigError
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


def distinct() -> Filter:
    """Keep the first of the traces that split a question alike; made anew for each use.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> keep, question = distinct(), Question("Why?")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "so"))
        >>> keep(trace), keep(trace)
        (None, 'duplicate')
    """
    seen: set[int] = set()

    def keep(trace: Trace) -> str | None:
        split = trace.decomposition and trace.decomposition.subquestions
        key = hash((trace.question.text, trace.question.context, split))
        if key in seen:
            return "duplicate"
        seen.add(key)
        return None

    return keep


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


@dataclass(frozen=True, slots=True)
class Screened:
    """Traces kept, and how many were dropped for which reason."""

    kept: tuple[Trace, ...]
    dropped: Counter[str]

    def __str__(self) -> str:
        return counts(len(self.kept), self.dropped)


def counts(kept: int, dropped: Counter[str]) -> str:
    """Say how many traces were kept, and why the others were not.

    Example:
        >>> counts(3, Counter({"wrong answer": 1}))
        'kept 3 of 4 traces, dropped 1 wrong answer'
    """
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    told = f", dropped {reasons}" if reasons else ""
    return f"kept {kept} of {kept + dropped.total()} traces{told}"


def screen(traces: Iterable[Trace], keep: Filter) -> Screened:
    """Split traces by a filter; kept and dropped add up to the input.

    Raises:
        ConfigError: The filter returned something else than a reason or `None`.

    Example:
        >>> str(screen([], correct))
        'kept 0 of 0 traces'
    """
    dropped: Counter[str] = Counter()
    return Screened(tuple(sift(traces, keep, dropped)), dropped)


def sift(traces: Iterable[Trace], keep: Filter, dropped: Counter[str]) -> Iterator[Trace]:
    """Yield the traces that a filter keeps, and count the reasons of the others as it goes.

    Raises:
        ConfigError: The filter returned something else than a reason or `None`.

    Example:
        >>> list(sift([], correct, Counter()))
        []
    """
    for trace in traces:
        reason = keep(trace)
        if reason is None:
            yield trace
        elif isinstance(reason, str):
            dropped[reason] += 1
        else:
            raise ConfigError(
                "a filter returns the reason to drop a trace as a string, or None to keep it, "
                f"not {reason!r}"
            )
