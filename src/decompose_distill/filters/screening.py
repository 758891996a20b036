"""Which traces to learn from, by what became of them and how long they are."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from decompose_distill import scores
from decompose_distill.errors import ConfigError, did_you_mean
from decompose_distill.parsing import format_subquestions
from decompose_distill.storage.traces import TraceSource, as_traces
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
        known = get_args(FilterName)
        hint = did_you_mean(str(keep), known)
        raise ConfigError(
            f"keep cannot be {keep!r}; {hint}it must be a filter or one of {', '.join(known)}"
        )
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

    chosen = [as_filter(rule) for rule in keeps]

    def keep(trace: Trace) -> str | None:
        reasons = (rule(trace) for rule in chosen)
        return next((reason for reason in reasons if reason is not None), None)

    return keep


@dataclass(frozen=True, slots=True, repr=False)
class Screened:
    """Traces kept, and how many were dropped for which reason.

    Example:
        >>> print(Screened((), Counter({"wrong answer": 2})))
        kept 0 of 2 traces, dropped 2 wrong answer
    """

    kept: tuple[Trace, ...]
    dropped: Counter[str]

    def __str__(self) -> str:
        return counts(len(self.kept), self.dropped)

    def __repr__(self) -> str:
        return f"<Screened {self}>"


def counts(kept: int, dropped: Counter[str]) -> str:
    """Say how many traces were kept, and why the others were not.

    Example:
        >>> counts(3, Counter({"wrong answer": 1}))
        'kept 3 of 4 traces, dropped 1 wrong answer'
    """
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    told = f", dropped {reasons}" if reasons else ""
    return f"kept {kept} of {kept + dropped.total()} traces{told}"


def screen(traces: TraceSource, keep: Filter | FilterName) -> Screened:
    """Split traces, or those of a file, by a filter; kept and dropped add up to the input.

    Raises:
        ConfigError: The filter is none, or returned something else than a reason or `None`.

    Example:
        >>> from decompose_distill.filters import correct
        >>> str(screen([], correct))
        'kept 0 of 0 traces'
    """
    dropped: Counter[str] = Counter()
    kept = sift(as_traces(traces), as_filter(keep), dropped)
    return Screened(tuple(kept), dropped)


def sift(traces: Iterable[Trace], keep: Filter, dropped: Counter[str]) -> Iterator[Trace]:
    """Yield the traces that a filter keeps, and count the reasons of the others as it goes.

    Raises:
        ConfigError: The filter returned something else than a reason or `None`.

    Example:
        >>> from decompose_distill.filters import correct
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
    """Keep traces whose texts are at most this long together, in characters or in tokens.

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
