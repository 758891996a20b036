"""How often the solver is right with and without a decomposition, and the best by that."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from statistics import fmean

from decompose_distill import scores
from decompose_distill.errors import ConfigError
from decompose_distill.filters.screening import Filter, decomposed
from decompose_distill.types import Decomposition, Trace


@dataclass(frozen=True, slots=True)
class Rates:
    """How often one solver was right, with a decomposition and without.

    Example:
        >>> Rates(3, 4, 1, 4).uplift
        0.5
    """

    right_with: int
    solves_with: int
    right_without: int
    solves_without: int

    @property
    def uplift(self) -> float:
        """Success rate with the decomposition minus that without, from -1 to 1."""
        return self.right_with / self.solves_with - self.right_without / self.solves_without

    def __str__(self) -> str:
        return (
            f"{self.right_with}/{self.solves_with} with, "
            f"{self.right_without}/{self.solves_without} without"
        )


@dataclass(frozen=True, slots=True)
class Uplift:
    """What a decomposition was measured to bring, over one or more solvers.

    Example:
        >>> print(Uplift((Rates(3, 4, 1, 4), Rates(2, 4, 2, 4))))
        +0.25 (3/4 with, 1/4 without; 2/4 with, 2/4 without)
    """

    solvers: tuple[Rates, ...]

    @property
    def value(self) -> float:
        """Mean over the solvers, from -1 to 1."""
        return fmean(rates.uplift for rates in self.solvers)

    @property
    def solves(self) -> int:
        """Fewest solves that a rate in it rests on."""
        return min(min(rates.solves_with, rates.solves_without) for rates in self.solvers)

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({'; '.join(map(str, self.solvers))})"


Measured = Callable[[Trace], Uplift | None]
"""The uplift of a trace's decomposition; `None` if it was not measured."""


def measure_uplift(
    *solvers: tuple[Iterable[Trace], Iterable[Trace]], score: scores.Score = scores.exact
) -> Measured:
    """Count over collected traces how often each decomposition led to the gold answer.

    A decomposition is known by its question and subquestions, so that the solves of several
    files and samples add up. A solver that failed (cut off, nothing to read) was not right; a
    failure with reason `error`, where the backend did not answer, and a question without gold
    count as no solve. Each iterable is read once; some 130 bytes stay for each decomposition
    and each question.

    Args:
        solvers: For each solver two collections of traces: with decompositions, and of the
            same questions without.
        score: How answers are scored; right is 1.

    Raises:
        ConfigError: No solver is given, or one is not a pair.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution, Subquestion
        >>> question = Question("How old are Ada and Bob together?", answer="42")
        >>> split = Decomposition(question, (Subquestion("How old is Ada?"),))
        >>> helped = [Trace(question, Solution(split, "42"), solve=n) for n in range(2)]
        >>> alone = [Trace(question, Solution(Decomposition(question, ()), "7"))]
        >>> print(measure_uplift((helped, alone))(helped[0]))
        +1.00 (2/2 with, 0/1 without)
    """
    if not solvers or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in solvers):
        raise ConfigError(
            "measure_uplift takes a pair for each solver: (traces with decompositions, "
            "traces of the same questions without)"
        )
    counted = [
        (_count(traces, _split_key, score), _count(baseline, _question_key, score))
        for traces, baseline in solvers
    ]

    def measure(trace: Trace) -> Uplift | None:
        rates = []
        for (right, solves), (right_alone, solves_alone) in counted:
            split, question = _split_key(trace), _question_key(trace)
            if split not in solves or question not in solves_alone:
                return None
            rates.append(
                Rates(right[split], solves[split], right_alone[question], solves_alone[question])
            )
        return Uplift(tuple(rates))

    return measure


def uplift(measured: Measured, *, minimum: float, solves: int = 1) -> Filter:
    """Keep decompositions that help the solver by at least `minimum`, over no decomposition.

    A question that the solver always answers without has an uplift of 0 at most: with a
    `minimum` above 0 it is dropped, as splitting it teaches nothing that helps.

    Args:
        measured: From `measure_uplift`.
        minimum: Least uplift, from -1 to 1: success rate with the decomposition minus that
            without, as a mean over the solvers.
        solves: Least number of solves that each rate must rest on.

    Raises:
        ConfigError: `minimum` or `solves` is out of range.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution
        >>> question = Question("Why?")
        >>> trace = Trace(question, Solution(Decomposition(question, ()), "so"))
        >>> rates = Uplift((Rates(2, 4, 1, 4),))
        >>> uplift(lambda trace: rates, minimum=0.5)(trace)
        'uplift +0.25 below 0.5'
        >>> uplift(lambda trace: rates, minimum=0.2, solves=8)(trace)
        'uplift of 4 solves, 8 needed'
    """
    if not -1 <= minimum <= 1:
        raise ConfigError(f"minimum must be from -1 to 1, not {minimum}")
    if solves < 1:
        raise ConfigError(f"solves must be 1 or more, not {solves}")

    def keep(trace: Trace) -> str | None:
        if trace.decomposition is None:
            return decomposed(trace)
        gain = measured(trace)
        if gain is None:
            return "uplift not measured"
        if gain.solves < solves:
            return f"uplift of {gain.solves} solve{'s' * (gain.solves != 1)}, {solves} needed"
        if gain.value < minimum - 1e-9:  # 0.6 - 0.4 is a little less than 0.2
            return f"uplift {gain.value:+.2f} below {minimum:g}"
        return None

    return keep


def _split_key(trace: Trace) -> int:
    split = trace.decomposition and trace.decomposition.subquestions
    return hash((trace.question.id, split))


def _question_key(trace: Trace) -> int:
    return hash(trace.question.id)


def _count(
    traces: Iterable[Trace], key: Callable[[Trace], Hashable], score: scores.Score
) -> tuple[Counter[Hashable], Counter[Hashable]]:
    """Right solves, and all solves, by key."""
    right: Counter[Hashable] = Counter()
    solves: Counter[Hashable] = Counter()
    for trace in traces:
        points = points_of(trace, score)
        if points is not None:
            solves[key(trace)] += 1
            right[key(trace)] += points == 1
    return right, solves


def points_of(trace: Trace, score: scores.Score) -> float | None:
    """1 or less for an answer, 0 for none; `None` if nothing was measured."""
    if trace.failure and (trace.failure.is_unavailable or trace.decomposition is None):
        return None
    return score(trace.answer or "", trace.question.golds)


Rank = tuple[int, float, int, int, int, int, bytes]


def best_per_question(
    traces: Iterable[Trace],
    most: int = 1,
    *,
    score: scores.Score = scores.exact,
    measured: Measured | None = None,
) -> Filter:
    """Keep at most N traces per question: the best, each with another decomposition.

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
                _parts(trace.decomposition),
                _rank(trace, trace.decomposition, score, measured),
                most,
            )

    def keep(trace: Trace) -> str | None:
        if trace.decomposition is None:
            return decomposed(trace)
        best = chosen.get(trace.question.id, {}).get(_parts(trace.decomposition))
        if best is not None and best == _rank(trace, trace.decomposition, score, measured):
            return None
        return f"not among the best {most} of its question"

    return keep


def _admit(best: dict[bytes, Rank], split: bytes, rank: Rank, most: int) -> None:
    """Put a trace among the best of its question, and the worst out if they are too many."""
    best[split] = min(rank, best.get(split, rank))
    if len(best) > most:
        del best[max(best, key=lambda other: (best[other], other))]  # alike but for the split


def _rank(
    trace: Trace, split: Decomposition, score: scores.Score, measured: Measured | None
) -> Rank:
    """Less is better; the digest at the end decides between what is equal in all else."""
    gain = measured(trace) if measured else None
    answered = None if trace.answer is None else score(trace.answer, trace.question.golds)
    grade = 2 if trace.answer is None else int(answered != 1)
    return (
        grade,
        -gain.value if gain else 0.0,
        sum(len(step.text) for step in split.subquestions),
        len(trace.outcome.text),
        trace.sample,
        trace.solve,
        _digest(trace.key, trace.answer or "", trace.outcome.text),
    )


def _parts(decomposition: Decomposition) -> bytes:
    return _digest(*(step.text for step in decomposition.subquestions))


def _digest(*texts: str) -> bytes:
    joined = "\x1f".join(texts).encode("utf-8", "surrogatepass")
    return blake2b(joined, digest_size=12).digest()
