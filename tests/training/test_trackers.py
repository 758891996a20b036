"""Figures go where they were asked to go, and nothing is imported that was not asked for."""

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from decompose_distill import BackendError, ConfigError, MissingExtraError
from decompose_distill.training.trackers import ReportTo, check_report_to, reporting

TRACKERS: tuple[ReportTo, ...] = ("tensorboard", "wandb", "trackio")
SETTINGS = {"epochs": 2, "student": "org/base"}


class FakeTracker(ModuleType):
    """The part of wandb and trackio that is used, keeping what it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.opened: list[dict[str, Any]] = []
        self.logged: list[tuple[int | None, dict[str, float]]] = []
        self.closed: list[int | None] = []

    def init(self, **options: Any) -> "FakeTracker":
        self.opened.append(options)
        return self

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        self.logged.append((step, values))

    def finish(self, exit_code: int | None = None) -> None:
        self.closed.append(exit_code)


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeTracker:
    module = FakeTracker(request.param)
    monkeypatch.setitem(sys.modules, request.param, module)
    return module


def test_tensorboard_shows_the_figures_of_each_step_and_the_settings(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    check_report_to("tensorboard")
    with reporting("tensorboard", tmp_path / "run", SETTINGS) as report:
        report(1, {"loss": 2.5, "learning_rate": 0.5})
        report(2, {"loss": 1.5})
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    [settings] = events.Tensors("settings/text_summary")

    assert [(each.step, each.value) for each in events.Scalars("loss")] == [(1, 2.5), (2, 1.5)]
    assert [each.value for each in events.Scalars("learning_rate")] == [0.5]
    assert b'"student": "org/base"' in settings.tensor_proto.string_val[0]


def test_a_tracker_gets_settings_figures_and_its_end(tracker: FakeTracker, tmp_path: Path) -> None:
    with reporting(tracker.__name__, tmp_path / "student", SETTINGS) as report:  # type: ignore[arg-type]
        report(1, {"loss": 2.5})
        report(2, {"loss": 1.5})
    [options] = tracker.opened

    assert options["project"] == "decompose-distill"
    assert options["config"] == SETTINGS
    assert options["name"].startswith("student")
    assert tracker.logged == [(1, {"loss": 2.5}), (2, {"loss": 1.5})]
    assert len(tracker.closed) == 1


def test_a_resumed_training_continues_its_run_and_a_namesake_does_not(
    tracker: FakeTracker, tmp_path: Path
) -> None:
    for place in ("a", "a", "b"):
        with reporting(tracker.__name__, tmp_path / place / "student", {}):  # type: ignore[arg-type]
            pass
    first, again, other = ((each.get("id"), each["name"]) for each in tracker.opened)

    assert first == again != other
    assert {each["resume"] for each in tracker.opened} == {"allow"}


def test_a_training_that_fails_closes_the_run(tracker: FakeTracker, tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        reporting(tracker.__name__, tmp_path, {}),  # type: ignore[arg-type]
    ):
        raise KeyboardInterrupt

    assert tracker.closed == [1 if tracker.__name__ == "wandb" else None]


def test_a_tracker_that_cannot_start_is_our_error(
    tracker: FakeTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no key: run `wandb login`")

    monkeypatch.setattr(tracker, "init", refuse)

    with (
        pytest.raises(BackendError, match=r"cannot start: no key: run `wandb login`"),
        reporting(tracker.__name__, tmp_path, {}),  # type: ignore[arg-type]
    ):
        pytest.fail("training began")


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_names_the_pip_command(
    name: ReportTo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]

    with pytest.raises(MissingExtraError, match=f"pip install {name}$"):
        check_report_to(name)
    with (
        pytest.raises(MissingExtraError, match=f"pip install {name}$"),
        reporting(name, tmp_path / "run", {}),
    ):
        pytest.fail("training began")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mlflow", "", "os"])
def test_an_unknown_tracker_names_the_known_ones(name: Any) -> None:
    with pytest.raises(ConfigError, match="one of tensorboard, wandb, trackio, not"):
        check_report_to(name)


def test_no_tracker_takes_figures_and_leaves_no_trace(tmp_path: Path) -> None:
    check_report_to(None)
    with reporting(None, tmp_path / "run", {}) as report:
        report(1, {"loss": 2.5})

    assert not (tmp_path / "run").exists()


def test_checking_imports_no_tracker() -> None:
    code = (
        "import sys\n"
        "from decompose_distill.training.trackers import check_report_to\n"
        "check_report_to('tensorboard')\n"
        "sys.exit(str({'tensorboard', 'wandb', 'trackio', 'torch'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == ""
