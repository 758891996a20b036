"""Peak memory of preparing a training set, by the number of traces.

    python benchmarks/training_memory.py --json figures.json

Writes that many generated traces to disk, then, in a fresh process each, reads, screens,
tokenises and audits them as distill() does, and goes once through all batches. Peak resident
memory must not grow with the number of traces, but for the index of 48 bytes per row.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--traces", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(_measure(args.child, args.traces[0])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = [_run(Path(folder), number) for number in args.traces]
    ratio = found[-1]["peak_mb"] / found[0]["peak_mb"]
    result = {"runs": found, "peak_memory_ratio": round(ratio, 3)}
    if args.json:
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"peak memory of {args.traces[-1]} traces over that of {args.traces[0]}: {ratio:.2f}")
    return 0


def _run(folder: Path, number: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(folder), "--traces", str(number)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(found, flush=True)
    return found


def _measure(folder: Path, number: int) -> dict[str, float]:
    import torch

    import decompose_distill as dd
    from decompose_distill.demo import make_tiny_student
    from decompose_distill.training.data import lay_end_to_end, make_task, plan_batches, prepare

    student = make_tiny_student(["How old is Ada?"], folder / "student", hidden_size=64, layers=1)
    dd.write_traces((_trace(dd, each) for each in range(number)), folder / "traces.jsonl")
    before, began = _peak_mb(), time.perf_counter()
    task = make_task(student, "decomposer", prompt=dd.prompts.Prompt("Split.", "{question}"))
    traces = dd.read_traces(folder / "traces.jsonl")
    train = prepare(task, traces, dd.filters.correct, 0.0, folder / f"rows-{number}").train
    prepared = time.perf_counter() - began
    for places in plan_batches(train.lengths, 8, 1, 0):
        lay_end_to_end([train[place] for place in places], torch.device("cpu"))
    return {
        "traces": number,
        "before_mb": before,
        "peak_mb": _peak_mb(),
        "milliseconds_a_trace": round(1e3 * prepared / number, 3),
    }


def _trace(dd, number: int):  # type: ignore[no-untyped-def]
    question = dd.Question(f"How old are {number} and {number + 1} together?", answer="1")
    steps = tuple(dd.Subquestion(f"How old is {number + place}?") for place in range(3))
    return dd.Trace(question, dd.Solution(dd.Decomposition(question, steps, "text"), "1", "text"))


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
