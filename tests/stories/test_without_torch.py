"""Asking, collecting, measuring and a served student need neither torch nor transformers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import decompose_distill as dd
from decompose_distill import DistillConfig, Trace
from tests.support.docs_blocks import write_questions
from tests.support.samples import PROMPT

_PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "tokenizers", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import decompose_distill as dd
from decompose_distill.backends import ScriptedBackend

def speak(text):
    return "The answer is: 42" if "Subquestions:" in text else "1. How old is Ada?"

model = ScriptedBackend(speak, identity="scripted 1")
pipeline = dd.Pipeline(dd.Decomposer(model), dd.Solver(model))
questions = dd.load_questions("train.jsonl")
print(dd.plan(pipeline, questions).missing)
print(dd.collect(pipeline, questions, "traces.jsonl", progress=False).asked)
print(dd.filters.screen(dd.read_traces("traces.jsonl"), dd.filters.correct))
print(dd.export_traces("traces.jsonl", "rows.jsonl").kept)
student = dd.Decomposer.from_pretrained(sys.argv[1], backend=model)
report = dd.evaluate(dd.Pipeline(student, dd.Solver(model)), questions, progress=False)
print(report.n)
try:
    dd.load_backend("hf:model")
except dd.MissingExtraError as error:
    print(error)
"""


def test_all_but_local_models_works_without_torch(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    student = tmp_path / "student"
    config = DistillConfig(epochs=1)
    dd.distill(
        learned, student=tiny_dir, output_dir=student, prompt=PROMPT, config=config, progress=False
    )
    write_questions(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(student)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(dd.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    *figures, last = done.stdout.splitlines()
    assert figures == ["8", "8", "kept 8 of 8 traces", "8", "8"]
    assert last == "'hf:model' needs torch and transformers: pip install decompose-distill"


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_doctor_says_what_is_missing(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "sys.argv[1:] = ['doctor']\nfrom decompose_distill.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(dd.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "decompose-distill" in done.stdout
