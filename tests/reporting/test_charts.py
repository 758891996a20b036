"""The report's charts: axes that say what is there, labels that can be read."""

from decimal import Decimal

from decompose_distill.cost.break_even import BreakEven
from decompose_distill.reporting.charts import (
    Chart,
    Priced,
    accuracy_cost,
    break_even_curve,
    loss_chart,
)
from decompose_distill.reporting.study import LossCurve


def _priced(label: str, usd: float, accuracy: float, *, front: bool = False) -> Priced:
    return Priced(label, usd, accuracy, max(0.0, accuracy - 0.1), min(1.0, accuracy + 0.1), front)


def test_no_axis_of_accuracies_goes_beyond_100() -> None:
    chart = accuracy_cost([_priced("1", 1.0, 1.0, front=True)])

    assert chart
    assert [tick.label for tick in chart.y_ticks] == ["0", "50", "100"]


def _labels(chart: Chart | None) -> tuple[list[str], list[str]]:
    assert chart
    return [tick.label for tick in chart.x_ticks], [tick.label for tick in chart.y_ticks]


def test_large_numbers_are_short_enough_to_stand_beside_an_axis() -> None:
    pays = BreakEven(Decimal(2000), Decimal("0.00105"), Decimal("0.00100"))

    assert _labels(break_even_curve(pays)) == (
        ["0", "20M", "40M", "60M", "80M"],
        ["$0", "$50k", "$100k"],
    )


def test_an_axis_over_many_powers_of_ten_names_a_few_of_them() -> None:
    points = [_priced("1", 0.00002, 0.5), _priced("2", 20.0, 0.9, front=True)]

    assert _labels(accuracy_cost(points))[0] == ["$0.00001", "$0.001", "$0.10", "$10"]


def test_questions_and_steps_are_counted_in_whole_numbers() -> None:
    soon = BreakEven(Decimal(1), Decimal(3), Decimal(1))

    assert _labels(break_even_curve(soon))[0] == ["0", "1", "2"]
    assert _labels(loss_chart(LossCurve("brief", ((1, 2.0), (2, 1.0))), 0))[0] == ["0", "1", "2"]


def test_no_number_of_a_cell_stands_on_another_and_the_front_keeps_its_own() -> None:
    crowd = [_priced(str(number), 1 + number / 1000, 0.5) for number in range(40)]
    chart = accuracy_cost([*crowd, _priced("front", 1.0, 0.501, front=True)])

    assert chart
    assert len(chart.marks) == 41
    assert [mark.label for mark in chart.marks if mark.label] == ["front"]
