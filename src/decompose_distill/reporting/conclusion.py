"""The answer on top of the report: which part to distil, and whether it pays."""

from collections.abc import Iterator
from dataclasses import dataclass

from decompose_distill.cost.pricing import format_usd
from decompose_distill.evaluation.results import Comparison
from decompose_distill.evaluation.statistics import LEVEL, holm, smallest_difference
from decompose_distill.reporting.study import Cell, Place, Study


@dataclass(frozen=True, slots=True)
class TestedComparison:
    """A comparison with what its family of comparisons and its sample make of it."""

    comparison: Comparison
    p: float
    p_holm: float
    smallest: float | None
    """Smallest difference the sample could show after Holm; `None` if it does not tell."""

    @property
    def shown(self) -> bool:
        """Whether the difference holds at 5 % after Holm."""
        return self.p_holm < LEVEL

    @property
    def differs(self) -> bool:
        """Whether any question was scored otherwise."""
        return bool(self.comparison.better or self.comparison.worse)

    @property
    def loses(self) -> bool:
        """Whether it is shown to be worse than the baseline."""
        return self.shown and self.comparison.difference < 0


def correct_comparisons(study: Study) -> tuple[TestedComparison, ...]:
    """The study's comparisons, those of the answer first, corrected together."""
    family: dict[tuple[str, str], Comparison] = {}
    for key in (study.decomposer, study.solver):
        if key and (comparison := _against_teacher(study, key)):
            family[comparison.name, comparison.baseline] = comparison
    for comparison in study.comparisons:
        family.setdefault((comparison.name, comparison.baseline), comparison)
    p_values = [comparison.p_value for comparison in family.values()]
    return tuple(
        TestedComparison(comparison, p, adjusted, _smallest(comparison, len(family)))
        for comparison, p, adjusted in zip(family.values(), p_values, holm(p_values), strict=True)
    )


def _smallest(comparison: Comparison, tests: int) -> float | None:
    return smallest_difference([a - b for a, b in comparison.pairs], tests=tests)


def _against_teacher(study: Study, key: Place) -> Comparison | None:
    cell, teacher = study.cell(key), study.cell(study.teacher)
    if not cell or not teacher or not cell.values.keys() & teacher.values.keys():
        return None
    return cell.compare(teacher)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One sentence, and the sentences that bear it out."""

    headline: str
    details: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.headline, *self.details))


def conclude(study: Study, tests: tuple[TestedComparison, ...]) -> Conclusion:
    """Say what the study answers, and no more than its sample can show.

    Example:
        >>> from decompose_distill.evaluation.results import Report
        >>> cell = Cell("teacher", "solver", (Report("teacher", "exact", ()),))
        >>> print(conclude(Study("Demo", (cell,), teacher=cell.place), ()))
        No student was measured against teacher × solver. teacher × solver: nothing was scored.
    """
    by_name = {(test.comparison.name, test.comparison.baseline): test for test in tests}
    teacher = study.cell(study.teacher)
    assert teacher  # Study checks it
    parts = {
        part: by_name.get((" × ".join(key), teacher.name))
        for part, key in (("decomposer", study.decomposer), ("solver", study.solver))
        if key
    }
    tested = {part: test for part, test in parts.items() if test}
    details = [f"{teacher.name}: {_accuracy(teacher)}."]
    details += [_difference(part, test) for part, test in tested.items()]
    if tested.get("decomposer"):
        details.append(_money(study))
    return Conclusion(_headline(study, tested, teacher.name), tuple(details))


def _headline(study: Study, tests: dict[str, TestedComparison], teacher: str) -> str:
    sentences = [_verdict(part, test) for part, test in tests.items()]
    sentences = sentences or [f"No student was measured against {teacher}."]
    return " ".join((*sentences, *_mostly_failed(study)))


def _mostly_failed(study: Study) -> Iterator[str]:
    """A score of cells that gave no answer says nothing of how well they answer."""
    for key in (study.teacher, study.decomposer, study.solver):
        cell = study.cell(key) if key else None
        if cell and 2 * cell.failed >= cell.answers > 0:
            yield f"{cell.name}: {cell.failure_text}, so it says little of the answers."


def _verdict(part: str, test: TestedComparison) -> str:
    """What was shown of a part; a loss that was not shown is not called none."""
    change = f"{100 * abs(test.comparison.difference):.1f} points"
    if test.shown:
        return f"Distilling the {part} {'loses' if test.loses else 'gains'} {change}."
    if not test.differs:
        return f"Distilling the {part} changed the score of no question."
    if test.smallest is None:
        return f"Distilling the {part}: too few questions to show any difference."
    could = f"{100 * test.smallest:.1f} points"
    return f"Distilling the {part}: no loss shown, where one of {could} would mostly show."


def _accuracy(cell: Cell) -> str:
    if not cell.n:
        return "nothing was scored"
    low, high = cell.interval
    return f"{100 * cell.mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {cell.n:,} questions"


def _difference(part: str, test: TestedComparison) -> str:
    comparison = test.comparison
    low, high = (points(bound) for bound in comparison.interval)
    sentence = (
        f"With the {part} distilled ({comparison.name}) the difference is "
        f"{points(comparison.difference)} points [{low}, {high}]{_by_seed(comparison)}, "
        f"{p_text(test.p_holm)} after Holm"
    )
    if test.shown:
        return f"{sentence}."
    if not test.differs:
        return f"{sentence}; no question was answered differently."
    if test.smallest is None:
        return f"{sentence}; so few questions cannot show any."
    return f"{sentence}; below {100 * test.smallest:.1f} points this sample would often miss it."


def _by_seed(comparison: Comparison) -> str:
    differences = ", ".join(map(points, comparison.by_seed))
    return f" (by seed {differences})" if differences else ""


def _money(study: Study) -> str:
    pays = study.pays
    if pays is None:
        return "Whether the distilled decomposer pays is not known: a price is missing."
    prices = (pays.baseline_per_question, pays.student_per_question)
    before, after = (format_usd(1000 * price) for price in prices)
    change = f"{before} to {after} per 1,000 questions"
    if pays.questions is None:
        return f"The distilled decomposer never pays for itself: from {change}."
    return f"The distilled decomposer pays for itself after {pays.questions:,} questions: {change}."


def p_text(p: float) -> str:
    """A p-value as it is printed.

    Example:
        >>> p_text(0.0004)
        'p < 0.001'
    """
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"


def points(difference: float) -> str:
    """A difference of accuracies, in points.

    Example:
        >>> points(-0.041)
        '−4.1'
    """
    return f"{100 * difference:+.1f}".replace("-", "−")
