"""The flat example and the library train alike."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from decompose_distill import (
    Decomposition,
    Question,
    Trace,
    distill,
    filters,
    read_traces,
    write_traces,
)
from tests.support.samples import QUESTIONS, make_trace

FLAT = Path(__file__).parents[2] / "examples" / "flat_loop.py"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    good = [make_trace(question, question.answer or "") for question in QUESTIONS]
    hostile = Question("How old is <|end|> Ada?", answer="1", context="Ada is <|start|> 1.")
    declined = make_trace(Question("How old is Bob?", answer="2"), "2")
    outcome = declined.solution
    assert outcome is not None
    unsplit = Decomposition(declined.question, ())
    tricky = [
        make_trace(hostile, "1"),
        make_trace(Question("How old is Dan?", answer="3"), "wrong"),
        Trace(declined.question, type(outcome)(unsplit, "2", outcome.text)),
    ]
    write_traces([*good, *tricky], tmp_path / "traces.jsonl")
    return tmp_path / "traces.jsonl"


def test_the_flat_loop_gives_the_losses_and_weights_of_the_library(
    journal: Path, tiny_dir: Path, tmp_path: Path
) -> None:
    main = runpy.run_path(str(FLAT))["main"]
    flat = main(str(journal), str(tiny_dir), str(tmp_path / "flat"))
    ours = distill(
        read_traces(journal),
        student=tiny_dir,
        output_dir=tmp_path / "ours",
        keep=filters.correct,
        report_to="tensorboard",
        progress=False,
    )
    events = EventAccumulator(str(tmp_path / "ours.logs")).Reload()
    one, other = (load_file(p / "model.safetensors") for p in (tmp_path / "flat", ours))

    assert flat == pytest.approx([event.value for event in events.Scalars("loss")], rel=1e-5)
    for name, weight in one.items():  # sums in another order; AdamW moves a weight by ±1e-4 at most
        assert (weight - other[name]).norm() <= 1e-4 * weight.norm() + 1e-4, name


def test_the_flat_loop_imports_nothing_of_the_library() -> None:
    code = f"import runpy, sys; runpy.run_path({str(FLAT)!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )

    assert "torch" in done.stdout.split()
    assert "decompose_distill" not in done.stdout.split()
    assert len(FLAT.read_text(encoding="utf-8").splitlines()) <= 155
