"""What a card would do: no crash, one read per step, nothing uploaded that it waits for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Counts of the last step of each case, and of a token of a batch."""
    if not shutil.which("g++"):
        pytest.skip("the simulated card needs g++")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.card_run", str(tmp_path_factory.mktemp("card"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        encoding="utf-8",
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


def test_nothing_computes_with_tensors_of_both_devices(figures: dict[str, dict[str, Any]]) -> None:
    assert {
        case: counts["mismatch"] for case, counts in figures.items() if counts["mismatch"]
    } == {}


@pytest.mark.parametrize("case", ["packed, two passes, no masters", "LoRA"])
def test_a_step_is_read_once_and_waits_for_no_upload(
    case: str, figures: dict[str, dict[str, Any]]
) -> None:
    assert figures[case]["uploads"] == 0, figures[case]["where"]
    assert figures[case]["syncs"] == 1, figures[case]["where"]


def test_saving_and_validating_read_no_more_of_a_step(figures: dict[str, dict[str, Any]]) -> None:
    where = figures["masters, validated, resumed"]["where"]
    trained = {site.split(":")[0]: n for site, n in where.items() if "engine/" in site}

    # A state that is loaded back, as the best one at the end, is outside any step.
    trained = {site: n for site, n in trained.items() if site != "uploads engine/optimizer.py"}
    assert trained.keys() <= {"syncs engine/loop.py", "syncs engine/validation.py"}
    assert trained["syncs engine/loop.py"] == max(trained.values()) == 1


def test_attention_needs_no_mask(figures: dict[str, dict[str, Any]]) -> None:
    for case in ("packed, two passes, no masters", "LoRA"):
        kinds = {name for name in figures[case] if name.startswith("attention")}
        assert kinds == {"attention varlen"}, case


@pytest.mark.parametrize("case", ["generation", "sampling"])
def test_a_token_of_a_whole_batch_is_read_once(
    case: str, figures: dict[str, dict[str, Any]]
) -> None:
    assert figures[case]["syncs"] <= 1, figures[case]["where"]
    assert figures[case]["uploads"] <= 1, figures[case]["where"]
