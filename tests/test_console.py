"""Where there is no terminal, progress is a line now and then."""

import pytest

from decompose_distill.console import display as progress


def test_long_work_prints_plain_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress_bar("training", 10, "step", done=2) as bar:
        bar.set_postfix_str("loss 0.125")
        for _ in range(4):
            bar.update()
    lines = capsys.readouterr().err.splitlines()

    assert lines == [
        "training: 4/10 steps after 40 seconds, 120 left, 0.05 per second, loss 0.125",
        "training: 6/10 steps after 80 seconds, 80 left, 0.05 per second, loss 0.125",
    ]


def test_hidden_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("training", 2, "step", show=False) as bar:
        bar.update()
    progress.say("kept 1", show=False)

    assert capsys.readouterr().err == ""
