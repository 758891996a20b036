"""The report's charts: axes that say what is there, labels that can be read."""

from decompose_distill.evaluation.charts import Priced, accuracy_cost


def _priced(label: str, usd: float, accuracy: float, *, front: bool = False) -> Priced:
    return Priced(label, usd, accuracy, max(0.0, accuracy - 0.1), min(1.0, accuracy + 0.1), front)


def test_no_axis_of_accuracies_goes_beyond_100() -> None:
    chart = accuracy_cost([_priced("1", 1.0, 1.0, front=True)])

    assert chart
    assert [tick.label for tick in chart.y_ticks] == ["0", "50", "100"]
