"""What a person sees of an experiment while it works."""

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from decompose_distill import Decomposer, Pipeline, Solver, paper
from decompose_distill.console import display as display_module
from decompose_distill.console import overview, progress_bar
from decompose_distill.cost.pricing import Price
from decompose_distill.experiments import progress as progress_module
from decompose_distill.experiments.progress import ExperimentProgress, cell_kind
from tests.experiments.test_run import PROMPT, TEST, TRAIN, Counting, _student, decompose, solve
from tests.support.screen import Terminal


def test_a_terminal_shows_one_display_and_only_the_table_above_it(
    tiny_dir: Path, tmp_path: Path, open_terminal: Callable[..., Terminal]
) -> None:
    terminal, rows = open_terminal(columns=200), ["none", "S_D-T"]
    seen: list[list[str]] = []

    class Looking(Counting):
        """A solver that looks at the screen before its last answer."""

        def generate(self, requests: Any) -> Any:
            for completion in super().generate(requests):
                if len(self.asked) == len(TRAIN) + 2 * len(TEST):
                    seen.append(terminal.screen().shown)
                yield completion

    paper(
        Pipeline(Decomposer(Counting(decompose), prompt=PROMPT), Solver(Looking(solve))),
        TRAIN,
        TEST,
        student=_student(tiny_dir),
        output_dir=tmp_path,
        rows=rows,
        columns=["solver"],
        budget_usd=10,
        prices={"counting": Price(Decimal(0), Decimal(100))},
    )
    written, shown = terminal.written(), terminal.screen().shown
    plan, table = shown.index("train: S_D-T, from " + str(tiny_dir)), shown.index("")

    assert 0 < plan < table
    assert re.match(r"decomposer +solver ", shown[table + 1])
    assert [line.split(" ")[0] for line in shown[table + 2 : table + 6]] == [
        *("none", "teacher", "S_D-T"),
        "",
    ]
    assert shown[-1] == f"{tmp_path}/report.html"
    assert not any(mark in line for line in shown for mark in ("%|", "left", "⟦", "Warning"))
    assert "collect 1/1: the teacher's traces, $0 of $10.00 spent" in written
    assert "train 1/1: S_D-T, $0.008 of $10.00 spent" in written
    assert "measure 1/3: teacher decomposes, $0.008 of $10.00 spent" in written
    assert "measure 1/3: S_D-T decomposes, $0.01 of $10.00 spent" in written
    assert "none decomposes" not in written
    assert "measure 3/3: S_D-T × solver, $0.0" in written
    assert "collect 1/1, train 1/1, measure 3/3, $0.0" in written
    [last] = seen
    assert last[-3].startswith("none ")
    assert last[-2].startswith("measure 2/3: teacher × solver, $0.0")
    assert last[-1].startswith("solving: ")


def _setup() -> Any:
    """Two trainings, and a cell for a student of each of two seeds."""
    key = ("S_D-T", "solver")
    return SimpleNamespace(
        needs_training_traces=False,
        measures_uplift=False,
        variants=("S_D-T",),
        config=SimpleNamespace(seeds=(0, 1)),
        splits={"": ()},
        places_on=lambda split: [key],
        seeds_of=lambda key: (0, 1),
        budget=SimpleNamespace(budget_usd=Decimal(10), spent_usd=lambda: Decimal(1)),
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is put on by hand."""
    clock = SimpleNamespace(now=0.0)
    for module in (display_module, progress_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_the_time_left_is_forecast_at_first_and_then_measured(clock: SimpleNamespace) -> None:
    key = ("S_D-T", "solver")
    with overview(show=False) as display:
        forecast = {("train",): 600.0, cell_kind(key, ""): 60.0}
        progress = ExperimentProgress(display, _setup(), forecast)
        words = [display.words()]
        with progress.training("S_D-T", 0):
            words.append(display.words())
            with progress_bar("training", 4, "step") as bar:
                clock.now += 300
                bar.update()
                words.append(display.words())
                clock.now += 900
                bar.update(3)
                words.append(display.words())
            words.append(display.words())  # the student is saved
        with progress.training("S_D-T", 1):  # was done before, so that it takes no time
            pass
        for seed in (0, 1):
            with progress.decomposing("S_D-T", "", seed):
                clock.now += 1
            words.append(display.words())
    money = "$1.00 of $10.00 spent"

    assert words == [
        f"train 0/2, measure 0/2, {money}, over 22 minutes left",
        f"train 1/2: S_D-T, seed 0, {money}, over 22 minutes left",
        f"train 1/2: S_D-T, seed 0, {money}, over 37 minutes left",
        *[f"train 1/2: S_D-T, seed 0, {money}, over 22 minutes left"] * 2,
        f"train 2/2, measure 0/2, {money}, over 2 minutes left",
        f"train 2/2, measure 0/2, {money}, 2 minutes left",
    ]
