"""Long work on a terminal, in a notebook and in a log file."""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from decompose_distill.console import above_bars, display, overview, progress_bar, say
from tests.support.screen import Terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is put on by hand."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(display, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def _train(clock: SimpleNamespace) -> None:
    with progress_bar("training", 10, "step", done=2) as bar:
        bar.note("loss 0.125")
        for _ in range(4):
            clock.now += 20
            bar.update()


LINES = [
    "training: 4/10 steps after 40 seconds, 120 seconds left, 0.05 per second, loss 0.125",
    "training: 6/10 steps after 80 seconds, 80 seconds left, 0.05 per second, loss 0.125",
]


def test_long_work_prints_plain_lines_without_a_terminal(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(clock)

    assert capsys.readouterr().err.splitlines() == LINES


@pytest.mark.parametrize(
    ("columns", "name", "value"),
    [(0, "TERM", "xterm"), (80, "TERM", "dumb")],
)
def test_a_terminal_that_writes_no_line_over_gets_plain_lines(
    clock: SimpleNamespace,
    open_terminal: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    name: str,
    value: str,
) -> None:
    terminal = open_terminal(columns)
    monkeypatch.setenv(name, value)
    _train(clock)

    assert terminal.written() == "".join(f"{line}\r\n" for line in LINES)


def test_the_first_of_many_say_nothing_of_the_time_left(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("solving", 200, "trace") as bar:
        clock.now += 60
        bar.update()
        clock.now += 30
        bar.update(9)

    assert capsys.readouterr().err.splitlines() == [
        "solving: 1/200 traces after 60 seconds",
        "solving: 10/200 traces after 90 seconds, 1710 seconds left, 0.111 per second",
    ]


def test_hidden_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with overview(show=False), progress_bar("training", 2, "step", show=False) as bar:
        bar.update()
    say("kept 1", show=False)

    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal_stays_where_it_ended_below_what_was_said(
    clock: SimpleNamespace, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal()
    with progress_bar("collecting", 4, "trace") as bar:
        for number in range(4):
            clock.now += 0.5
            bar.note(f"{number // 2} failed")
            bar.update()
        say("finishing what is under way")
    said, shown = terminal.screen().shown

    assert said == "finishing what is under way"
    assert shown.startswith("collecting: 100%|███")
    assert shown.endswith("| 4/4 [00:00<00:00, 2 traces/s, 1 failed]")


def test_work_of_unknown_length_is_counted_on_a_terminal(
    clock: SimpleNamespace, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal()
    with progress_bar("auditing", None, "trace") as bar:
        clock.now += 8
        bar.update(2)

    assert terminal.screen().shown == ["auditing: 2 traces [00:00, 4 s per trace]"]


def test_a_line_over_all_stays_above_the_bar_and_below_the_rows(
    clock: SimpleNamespace, open_terminal: Callable[..., Terminal]
) -> None:
    terminal = open_terminal(columns=60)
    with overview() as shown:
        for number, name in enumerate(("S_D-T", "S_D-R"), start=1):
            words = f"train {number}/2: {name}, on questions of a very long name, 3 minutes left"
            shown.words = partial(str, words)
            with progress_bar("training", 3, "step") as bar:
                clock.now += 1
                bar.update(2)
                with warnings.catch_warnings(action="always"):
                    warnings.warn("a learning rate of 10", stacklevel=1)
                above_bars(print)(f"row {number}")
                between = terminal.screen().shown
    rows = ["warning: a learning rate of 10", "row 1", "warning: a learning rate of 10", "row 2"]

    assert between[:4] == rows
    assert between[4] == "train 2/2: S_D-R, on questions of a very long name, 3 minut"
    assert between[5].startswith("training:  67%|█")
    assert len(between) == 6
    assert terminal.screen().shown == rows


def test_money_is_counted_over_all_bars_from_where_they_began(clock: SimpleNamespace) -> None:
    with overview(show=False) as shown:
        for _ in range(2):
            with progress_bar("solving", 2, "trace") as bar:
                bar.note("", display.Decimal(5))
                bar.note("", display.Decimal(7))
        assert shown.spent_usd == 4
        with progress_bar("solving", 2, "trace") as bar:
            bar.note("", None)
        assert shown.spent_usd is None


def test_a_log_file_hears_of_the_line_over_all_too(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with overview() as shown:
        shown.words = partial(str, "train 1/2: S_D-T")
        for _ in range(4):  # each shorter than the time between two lines
            with progress_bar("training", 2, "step") as bar:
                clock.now += 20
                bar.update()

    assert capsys.readouterr().err.splitlines() == 2 * [
        "train 1/2: S_D-T; training: 1/2 steps after 20 seconds, 20 seconds left, 0.05 per second"
    ]


class FakeDisplays:
    """The displays of a kernel: by their number, what each shows."""

    def __init__(self) -> None:
        self.shown: list[list[dict[str, str]]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.shown.append(updates := [data])
        return SimpleNamespace(update=lambda data, raw: updates.append(data))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeDisplays:
    """A kernel of IPython, which is not installed."""
    displays, shell = FakeDisplays(), SimpleNamespace(kernel=object())
    package, module = ModuleType("IPython"), ModuleType("IPython.display")
    monkeypatch.setattr(package, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setattr(module, "display", displays.display, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return displays


def test_a_notebook_shows_one_display_that_changes_in_place(
    kernel: FakeDisplays, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("<b>mine</b>", 4, "trace") as bar:
        for _ in range(4):
            clock.now += 0.5
            bar.update()
    [updates] = kernel.shown

    assert [update["text/html"].partition("</progress>")[0] for update in updates] == [
        f'<div><progress value="{done}" max="4">' for done in (0, 1, 2, 3, 4, 4)
    ]
    assert updates[-1]["text/html"].endswith(
        " &lt;b&gt;mine&lt;/b&gt;: 4/4 traces after 2 seconds, 0 seconds left, 2 per second</div>"
    )
    assert "<b>mine</b>: 4/4 traces" in updates[-1]["text/plain"]
    assert capsys.readouterr() == ("", "")


def test_a_notebook_shows_the_line_over_all_in_the_same_display(
    kernel: FakeDisplays, clock: SimpleNamespace
) -> None:
    with overview() as shown:
        shown.words = partial(str, "train 1/2: S_D-T")
        for name, total in (("auditing", None), ("training", 2)):
            with progress_bar(name, total, "step") as bar:
                clock.now += 1
                bar.update()
    [updates] = kernel.shown

    assert updates[0]["text/html"].startswith(
        "<div>train 1/2: S_D-T</div><div><progress></progress> auditing: 0 steps"
    )
    assert updates[-1]["text/html"] == "<div>train 1/2: S_D-T</div>"


def test_a_shell_of_ipython_in_a_terminal_is_a_terminal(
    kernel: FakeDisplays,
    clock: SimpleNamespace,
    open_terminal: Callable[..., Terminal],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = open_terminal()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace())
    with progress_bar("collecting", 1, "trace") as bar:
        bar.update()

    assert kernel.shown == []
    assert terminal.screen().shown[0].startswith("collecting: 100%")
