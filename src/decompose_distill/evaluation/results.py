"""What a pipeline scored: results, a report with its interval, and a paired comparison."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from decompose_distill import scores
from decompose_distill.errors import ConfigError
from decompose_distill.evaluation.contamination import Overlap
from decompose_distill.evaluation.statistics import (
    Interval,
    difference_interval,
    mcnemar,
    mean_interval,
    mean_of,
    sign_flip,
)
from decompose_distill.scores.versioning import name_and_version
from decompose_distill.types import Trace, Usage, data_frame, html_table

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("id", "question", "gold", "answer", "score", "failure", "subquestions")
"""Of a report as a data frame, and behind them the tokens."""


@dataclass(frozen=True, slots=True)
class Result:
    """One question's outcome."""

    trace: Trace
    score: float | None
    """Between 0 and 1; `None` if it could not be scored, and is left out of the mean."""


def _row(result: Result) -> tuple[object, ...]:
    """A result as `COLUMNS` has it, with the tokens read and written."""
    trace, question = result.trace, result.trace.question
    failure = f"{trace.failure.stage}: {trace.failure.reason}" if trace.failure else None
    steps = len(trace.decomposition.subquestions) if trace.decomposition else None
    said = (question.id, question.text, question.answer, trace.answer)
    usage = (trace.usage.input_tokens, trace.usage.output_tokens)
    return (*said, result.score, failure, steps, *usage)


@dataclass(frozen=True, repr=False)
class Report:
    """What a pipeline scored on a set of questions.

    A failure of the model (cut off, unreadable) counts as wrong and is shown apart; a question
    without gold answer, or one the backend could not serve, is left out and counted.

    Example:
        >>> print(Report("teacher", "exact", ()))
        teacher: no question could be scored (n = 0)
    """

    name: str
    score_name: str
    results: tuple[Result, ...]
    score_version: str | None = None
    """Version of the score; `None` for a function that has none."""
    overlap: Overlap | None = None
    """Questions measured and trained on; `None` if nobody said what was trained on."""

    @cached_property
    def values(self) -> Mapping[str, float]:
        """Score by question id, of the questions that could be scored."""
        return {
            result.trace.question.id: result.score
            for result in self.results
            if result.score is not None
        }

    @property
    def n(self) -> int:
        """Number of questions scored."""
        return len(self.values)

    @property
    def unscored(self) -> int:
        """Number of questions left out."""
        return len(self.results) - self.n

    @property
    def mean(self) -> float:
        """Mean score; with scores of 0 and 1, the accuracy. NaN if nothing was scored."""
        return mean_of(self.values.values())

    @cached_property
    def interval(self) -> Interval:
        """95 % interval of the mean over questions; see `statistics.mean_interval`."""
        return mean_interval([*self.values.values()])

    @property
    def failures(self) -> Counter[str]:
        """Questions without an answer, by `stage: reason`."""
        failed = (result.trace.failure for result in self.results)
        return Counter(f"{failure.stage}: {failure.reason}" for failure in failed if failure)

    @property
    def failed(self) -> int:
        """Number of questions that count as wrong because the model gave no answer."""
        scored = (result.trace for result in self.results if result.score is not None)
        return sum(trace.failure is not None for trace in scored)

    @property
    def usage(self) -> Usage:
        """Tokens of all questions."""
        return sum((result.trace.usage for result in self.results), Usage())

    def compare(self, baseline: "Report") -> "Comparison":
        """Test this report against another on the same questions.

        Raises:
            ConfigError: The two have no scored question in common, or other scores.
        """
        if self.scored_by != baseline.scored_by:
            raise ConfigError(f"cannot compare {self.scored_by} with {baseline.scored_by} scores")
        common = self.values.keys() & baseline.values.keys()
        if not common:
            raise ConfigError(f"{self.name} and {baseline.name} have no scored question in common")
        pairs = [(self.values[name], baseline.values[name]) for name in sorted(common)]
        return Comparison(self.name, baseline.name, tuple(pairs))

    @property
    def scored_by(self) -> str:
        """Name and version of the score, as tables show them: `exact/2`."""
        return _label(self.score_name, self.score_version)

    def rescore(self, score: scores.Score | scores.ScoreName | str) -> "Report":
        """The same answers by another score: strict and flexible side by side, asked once.

        Raises:
            ConfigError: The score gave something else than a number from 0 to 1 or `None`.
        """
        score = scores.as_score(score)
        traces = (result.trace for result in self.results)
        return score_traces(self.name, traces, score, self.overlap)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data; without a scored question, the accuracy is `None`."""
        low, high = self.interval
        figures: dict[str, Any] = {"name": self.name, "score": self.score_name}
        figures["score_version"] = self.score_version
        figures["contamination"] = None if self.overlap is None else self.overlap.to_json()
        figures["accuracy"] = self.mean if self.n else None
        figures |= {"ci_low": low, "ci_high": high, "n": self.n, "unscored": self.unscored}
        return figures | {"failures": dict(self.failures)}

    def to_pandas(self) -> "DataFrame":
        """One row per question: its answer, its score, why it failed, and its tokens.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return data_frame((*COLUMNS, "input_tokens", "output_tokens"), map(_row, self.results))

    def __str__(self) -> str:
        if not self.n:
            return f"{self.name}: no question could be scored (n = 0){self._first_error()}"
        low, high = (100 * bound for bound in self.interval)
        line = f"{self.name}: {self.score_name} {100 * self.mean:.1f} % [{low:.1f}, {high:.1f}]"
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failures.most_common())
        return (
            f"{line} (n = {self.n}"
            + (f", failed: {reasons}" if reasons else "")
            + (f", left out: {self.unscored}" if self.unscored else "")
            + ")"
            + (f" CONTAMINATED: {self.overlap}" if self.overlap else "")
        )

    def __repr__(self) -> str:
        return f"<Report {self}>"

    def _repr_html_(self) -> str:
        low, high = (f"{100 * bound:.1f}" for bound in self.interval)
        mean = f"{100 * self.mean:.1f} [{low}, {high}]" if self.n else "nothing scored"
        head = ("", f"{self.scored_by}, %, 95 %", "n", "failed", "left out")
        row = (self.name, mean, str(self.n), str(self.failed), str(self.unscored))
        return html_table([head, row])

    def _first_error(self) -> str:
        failures = (result.trace.failure for result in self.results)
        messages = (failure.message for failure in failures if failure)
        return next((f"; the first failure: {message}" for message in messages), "")


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Two reports on the same questions, tested in pairs.

    Example:
        >>> print(Comparison("a", "b", ((1.0, 0.0),) * 6))
        a − b: +100.0 points [+29.2, +100.0], 6 against 0 questions, p = 0.031 (n = 6)
    """

    name: str
    baseline: str
    pairs: tuple[tuple[float, float], ...]
    by_seed: tuple[float, ...] = ()
    """The difference with each training seed alone, if there are several."""

    @property
    def difference(self) -> float:
        """Mean of the differences, first minus baseline."""
        return sum(first - second for first, second in self.pairs) / len(self.pairs)

    @property
    def better(self) -> int:
        """Questions on which the first scored higher."""
        return sum(first > second for first, second in self.pairs)

    @property
    def worse(self) -> int:
        """Questions on which the baseline scored higher."""
        return sum(first < second for first, second in self.pairs)

    @property
    def interval(self) -> Interval:
        """95 % interval of the difference; see `statistics.difference_interval`."""
        return difference_interval([first - second for first, second in self.pairs])

    @property
    def p_value(self) -> float:
        """Exact McNemar test for right and wrong, a test by signs for partial scores."""
        if self._all_or_nothing:
            return mcnemar(self.better, self.worse)
        return sign_flip([first - second for first, second in self.pairs])

    @property
    def _all_or_nothing(self) -> bool:
        return all(value in (0, 1) for pair in self.pairs for value in pair)

    def __repr__(self) -> str:
        return f"<Comparison {self}>"

    def __str__(self) -> str:
        low, high = self.interval
        p = f"p = {self.p_value:.3f}" if self.p_value >= 0.001 else "p < 0.001"
        return (
            f"{self.name} − {self.baseline}: {100 * self.difference:+.1f} points "
            f"[{100 * low:+.1f}, {100 * high:+.1f}], "
            f"{self.better} against {self.worse} questions, {p} (n = {len(self.pairs)})"
        )


def score_traces(
    name: str, traces: Iterable[Trace], score: scores.Score, overlap: Overlap | None = None
) -> Report:
    """A report of traces, by the name of who made them.

    Raises:
        ConfigError: The score gave something else than a number from 0 to 1 or `None`.
    """
    results = tuple(Result(trace, score_trace(trace, score)) for trace in traces)
    score_name, version = name_and_version(score)
    return Report(name, score_name, results, version, overlap)


def score_label(score: scores.Score) -> str:
    """Name and version of a score, as tables show them.

    Example:
        >>> score_label(scores.f1).partition("/")[0]
        'f1'
    """
    return _label(*name_and_version(score))


def _label(name: str, version: str | None) -> str:
    return f"{name}/{version}" if version else name


def score_trace(trace: Trace, score: scores.Score) -> float | None:
    if trace.failure is None:
        points = score(trace.answer or "", trace.question.golds)
        if points is None or 0 <= points <= 1:
            return points
        name = name_and_version(score)[0]
        raise ConfigError(f"score {name} gave {points}; it must be between 0 and 1, or None")
    if trace.failure.is_unavailable or score("", trace.question.golds) is None:
        return None
    return 0.0
