"""A filter that keeps the best few traces of each question."""

from collections.abc import Iterable
from hashlib import blake2b

from decompose_distill import scores
from decompose_distill.errors import ConfigError
from decompose_distill.filters.outcomes import Filter, decomposed
from decompose_distill.filters.solve_rates import Measured
from decompose_distill.types import Decomposition, Trace

Rank = tuple[int, float, int, int, int, int, bytes]


def best_per_question(
    traces: Iterable[Trace],
    most: int = 1,
    *,
    score: scores.Score = scores.exact,
    measured: Measured | None = None,
) -> Filter:
    """Keep at most so many traces of a question: the best, each with another decomposition.

    Right answers come before wrong ones, then the higher uplift, the shorter subquestions, the
    shorter solution, the lower sample and solve. The choice does not depend on the order of
    the traces. They are read once here, to choose, and the filter then picks the chosen ones
    from a second reading; about 500 bytes stay for each trace chosen. Copies of a chosen trace
    are kept with it; `distinct` drops them.

    Args:
        traces: Those to choose from. Leave out here what other filters drop, as in
            `(t for t in read_traces(path) if keep(t) is None)`, so that they take no place.
        most: Traces to keep of a question.
        score: How answers are scored; right is 1.
        measured: From `measure_uplift`; without it uplift plays no part.

    Raises:
        ConfigError: `most` is below 1.

    Example:
        >>> from decompose_distill import Question, Solution, Subquestion
        >>> question = Question("How old are Ada and Bob together?", answer="42")
        >>> def trace(answer, *steps):
        ...     split = Decomposition(question, tuple(map(Subquestion, steps)))
        ...     return Trace(question, Solution(split, answer))
        >>> both = [trace("41", "How old are they?"), trace("42", "How old is Ada, and Bob?")]
        >>> keep = best_per_question(both)
        >>> [keep(each) for each in both]
        ['not among the best 1 of its question', None]
    """
    if most < 1:
        raise ConfigError(f"most must be 1 or more, not {most}")
    chosen: dict[str, dict[bytes, Rank]] = {}
    for trace in traces:
        if trace.decomposition is not None:
            _admit(
                chosen.setdefault(trace.question.id, {}),
                _split(trace.decomposition),
                _rank(trace, trace.decomposition, score, measured),
                most,
            )

    def keep(trace: Trace) -> str | None:
        if trace.decomposition is None:
            return decomposed(trace)
        best = chosen.get(trace.question.id, {}).get(_split(trace.decomposition))
        if best is not None and best == _rank(trace, trace.decomposition, score, measured):
            return None
        return f"not among the best {most} of its question"

    return keep


def _admit(best: dict[bytes, Rank], split: bytes, rank: Rank, most: int) -> None:
    """Put a trace among the best of its question, and the worst out if they are too many."""
    best[split] = min(rank, best.get(split, rank))
    if len(best) > most:
        del best[max(best, key=lambda each: (best[each], each))]  # alike but for the split


def _rank(
    trace: Trace, split: Decomposition, score: scores.Score, measured: Measured | None
) -> Rank:
    """Less is better; the digest at the end decides between what is equal in all else."""
    found = measured(trace) if measured else None
    answered = None if trace.answer is None else score(trace.answer, trace.question.golds)
    grade = 2 if trace.answer is None else int(answered != 1)
    return (
        grade,
        -found.value if found else 0.0,
        sum(len(step.text) for step in split.subquestions),
        len(trace.outcome.text),
        trace.sample,
        trace.solve,
        _digest(trace.key, trace.answer or "", trace.outcome.text),
    )


def _split(decomposition: Decomposition) -> bytes:
    return _digest(*(step.text for step in decomposition.subquestions))


def _digest(*texts: str) -> bytes:
    joined = "\x1f".join(texts).encode("utf-8", "surrogatepass")
    return blake2b(joined, digest_size=12).digest()
