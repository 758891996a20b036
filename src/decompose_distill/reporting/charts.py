"""Where the lines and points of the report's charts go; the page's template draws them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import pairwise

from decompose_distill.cost.break_even import BreakEven
from decompose_distill.cost.pricing import format_usd
from decompose_distill.reporting.conclusion import TestedComparison
from decompose_distill.reporting.conclusion import points as signed_points
from decompose_distill.reporting.study import LossCurve

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 90, 600, 18, 300
LOG_FROM = 20.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A value on an axis, and where it stands."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """Points as an SVG polyline takes them; `index` picks its colour and dashes."""

    name: str
    points: str
    index: int


RADIUS = 14
"""Of a point with its number inside; the template draws it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered point with its interval; those on the front are filled."""

    x: float
    y: float
    _: KW_ONLY
    low: float
    high: float
    label: str
    front: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart ready to be drawn, with the words a screen reader says for it."""

    id: str
    title: str
    _: KW_ONLY
    description: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return round(self.start + (self.end - self.start) * (at - low) / (high - low), 2)


def _round_step(size: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(size))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= size * 0.999)


def _axis(
    values: Sequence[float], start: float, end: float, *, whole: bool = False
) -> tuple[_Axis, tuple[float, ...]]:
    """An axis over values of 0 or more, and its ticks: few enough for their labels' width."""
    least, most = min(values), max(values)
    if least > 0 and most / least >= LOG_FROM:
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        axis = _Axis(10.0 ** powers[0], 10.0 ** powers[-1], start, end, log=True)
        return axis, tuple(10.0**power for power in powers[:: math.ceil(len(powers) / 5)])
    step = _round_step((most or 1.0) / 4)
    step = max(1.0, step) if whole else step
    count = max(1, math.ceil(most / step * 0.9999))  # a sum just above its tick is its tick
    return _Axis(0, step * count, start, end), tuple(step * index for index in range(count + 1))


def _short(number: float) -> str:
    """A number as it fits below an axis, such as 2,000 or 40M."""
    for least, size, sign in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if number >= least:
            return f"{number / size:,g}{sign}"
    return f"{number:,g}"


def _dollars(amount: float) -> str:
    return f"${_short(amount)}" if amount >= 1000 else format_usd(amount).removesuffix(".00")


def _path(pairs: Iterable[tuple[float, float]], x: _Axis, y: _Axis) -> str:
    return " ".join(f"{x(a)},{y(b)}" for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Priced:
    """A cell's accuracy with its interval, and its US dollars per 1,000 questions."""

    label: str
    usd: float
    accuracy: float
    low: float
    high: float
    front: bool


def accuracy_cost(points: Sequence[Priced]) -> Chart | None:
    """Accuracy against price; `None` without a point."""
    if not points:
        return None
    x, x_ticks = _axis([point.usd for point in points], LEFT, RIGHT)
    y, y_ticks = _axis([0, 100 * max(point.high for point in points)], BOTTOM, TOP)
    marks = tuple(_mark(point, x, y) for point in points)
    front = sorted((mark for mark in marks if mark.front), key=lambda mark: mark.x)
    names = ", ".join(mark.label for mark in front)
    return Chart(
        "accuracy-cost",
        "Accuracy against cost",
        description=f"{len(points)} cells by price and accuracy. "
        f"On the Pareto front: numbers {names}.",
        x_label="US dollars per 1,000 questions" + (" (logarithmic)" if x.log else ""),
        y_label="Accuracy, %",
        x_ticks=tuple(Tick(x(tick), _dollars(tick)) for tick in x_ticks),
        y_ticks=tuple(Tick(y(tick), f"{tick:g}") for tick in y_ticks),
        lines=(Line("Pareto front", _stairs(front), 0),),
        marks=_legible(marks),
    )


def _mark(point: Priced, x: _Axis, y: _Axis) -> Mark:
    middle, low, high = (y(100 * value) for value in (point.accuracy, point.low, point.high))
    return Mark(x(point.usd), middle, low=low, high=high, label=point.label, front=point.front)


def _legible(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Marks as they are drawn one over the other; one too near to another loses its number."""
    numbered: list[Mark] = []
    dots: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: not mark.front):
        gaps = (math.hypot(mark.x - other.x, mark.y - other.y) for other in numbered)
        if min(gaps, default=math.inf) >= 2 * RADIUS:
            numbered.append(mark)
        else:
            dots.append(replace(mark, label=""))
    return (*reversed(dots), *reversed(numbered))


def _stairs(marks: Sequence[Mark]) -> str:
    """A front rises only where the next price is paid."""
    corners = [(mark.x, mark.y) for mark in marks]
    steps = [(after[0], before[1]) for before, after in pairwise(corners)]
    path = [point for pair in zip(corners, [*steps, corners[-1]], strict=True) for point in pair]
    return " ".join(f"{x},{y}" for x, y in path)


def break_even_curve(pays: BreakEven | None) -> Chart | None:
    """Dollars paid after N questions, with and without the student."""
    if pays is None:
        return None
    training, before, after = map(
        float, (pays.training_usd, pays.baseline_per_question, pays.student_per_question)
    )
    most = _shown_questions(pays)
    ends = (before * most, training + after * most)
    x, x_ticks = _axis([0, most], LEFT, RIGHT, whole=True)
    y, y_ticks = _axis([0, max(ends)], BOTTOM, TOP)
    lines = (
        Line("Teacher decomposes", _path([(0, 0), (most, ends[0])], x, y), 0),
        Line("Student decomposes", _path([(0, training), (most, ends[1])], x, y), 1),
    )
    crossing, marks = pays.questions, tuple[Mark, ...]()
    if crossing is not None:
        height = y(before * crossing)
        marks = (Mark(x(crossing), height, low=height, high=height, label="", front=True),)
    outcome = (
        "never pays for itself"
        if crossing is None
        else f"has paid for itself after {crossing:,} questions"
    )
    return Chart(
        "break-even",
        "Money paid by number of questions",
        description=f"The student starts {format_usd(pays.training_usd)} behind and {outcome}.",
        x_label="Questions answered",
        y_label="US dollars, training included",
        x_ticks=tuple(Tick(x(tick), _short(tick)) for tick in x_ticks),
        y_ticks=tuple(Tick(y(tick), _dollars(tick)) for tick in y_ticks),
        lines=lines,
        marks=marks,
    )


def _shown_questions(pays: BreakEven) -> int:
    """Twice the break-even; where it never comes, as many as cost the training once more."""
    if pays.questions:
        return 2 * pays.questions
    dearest = max(pays.baseline_per_question, pays.student_per_question)
    return math.ceil(pays.training_usd / dearest) or 1000 if dearest else 1000


def loss_chart(curve: LossCurve, index: int) -> Chart | None:
    """Loss by optimizer step; `None` without a step."""
    series = (("Training", curve.train), ("Validation", curve.validation))
    drawn = [(name, steps) for name, steps in series if steps]
    points = [point for _, steps in drawn for point in steps if math.isfinite(point[1])]
    if not points:
        return None
    x, x_ticks = _axis([0, max(step for step, _ in points)], LEFT, RIGHT, whole=True)
    y, y_ticks = _axis([0, max(loss for _, loss in points)], BOTTOM, TOP)
    ends = "; ".join(
        f"{name.lower()} from {steps[0][1]:.3g} to {steps[-1][1]:.3g}" for name, steps in drawn
    )
    lines = tuple(
        Line(name, _path([step for step in steps if math.isfinite(step[1])], x, y), number)
        for number, (name, steps) in enumerate(drawn)
    )
    return Chart(
        f"loss-{index}",
        f"Loss of {curve.name}",
        description=f"Loss over {max(step for step, _ in points):,} steps: {ends}.",
        x_label="Optimizer step",
        y_label="Nats a target token",
        x_ticks=tuple(Tick(x(tick), _short(tick)) for tick in x_ticks),
        y_ticks=tuple(Tick(y(tick), f"{tick:g}") for tick in y_ticks),
        lines=lines,
    )


ROW = 52
"""Height of a row of the forest plot: its name, and below it the interval."""


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A difference with its interval, and what is shown of it."""

    name: str
    _: KW_ONLY
    y: float
    x: float
    low: float
    high: float
    verdict: str
    """`better`, `worse` or `open`."""
    text: str


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest plot ready to be drawn: differences below each other on one axis."""

    ticks: tuple[Tick, ...]
    zero: float
    bottom: float
    rows: tuple[ForestRow, ...]
    description: str


def forest_plot(tests: Sequence[TestedComparison]) -> Forest | None:
    """The differences of a study in points; `None` without a comparison."""
    if not tests:
        return None
    bounds = [100 * abs(bound) for test in tests for bound in test.comparison.interval]
    end = 2 * _round_step(max(*bounds, 1.0) / 2)
    x = _Axis(-end, end, 20, WIDTH - 20)
    rows = tuple(_forest_row(test, index, x) for index, test in enumerate(tests))
    marks = (-end, -end / 2, 0, end / 2, end)
    ticks = tuple(Tick(x(tick), f"{tick:+g}".replace("-", "−") if tick else "0") for tick in marks)
    shown = sum(test.shown for test in tests)
    description = f"{len(tests)} differences with 95 % intervals; {shown} hold after Holm."
    return Forest(ticks, x(0), TOP + ROW * len(rows), rows, description)


def _forest_row(test: TestedComparison, index: int, x: _Axis) -> ForestRow:
    pair = test.comparison
    low, high = pair.interval
    verdict = ("worse" if test.loses else "better") if test.shown else "open"
    return ForestRow(
        f"{pair.name} − {pair.baseline}",
        y=TOP + ROW * index,
        x=x(100 * pair.difference),
        low=x(100 * low),
        high=x(100 * high),
        verdict=verdict,
        text=f"{signed_points(pair.difference)} [{signed_points(low)}, {signed_points(high)}]",
    )
