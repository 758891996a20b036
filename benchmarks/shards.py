"""Shards: merged into one file, and read into training batches, at flat memory.

    python benchmarks/shards.py --json figures.json

Writes generated traces in shards, as collecting leaves them, and then in a fresh process each

- merges them into one file, with their journals of requests and their ledgers if `--journals`;
- reads them through a filter, tokenises and audits them as distill() does, and goes once through
  all training batches. The loader's speed counts from the rows on disk to tensors.

Each with a tenth as many first: memory must not grow but by the index of the rows. Of the files
that are mapped, the system counts the pages that were read, and takes them back when it needs
them; what is a process's own is given apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TEMPLATE = (
    '{"schema": 1, "key": "0123456789abcdef", "sample": 0, "question": {"id": "%08d", "text": '
    '"How old are person %d and person %d together?", "answer": "%d"}, "decomposition": '
    '{"subquestions": ["How old is person %d?", "How old is person %d?", "What is #1 plus #2?"], '
    '"text": "1. How old is person %d?\\n2. How old is person %d?\\n3. What is #1 plus #2?", '
    '"usage": {"input_tokens": 81, "output_tokens": 29}}, "solution": {"answer": "%d", "text": '
    '"1. %d\\n2. %d\\n3. %d\\nThe answer is: %d", '
    '"usage": {"input_tokens": 95, "output_tokens": 24}}}\n'
)
REQUEST = (
    '{"schema": 1, "key": "%064x", "id": "%s/%08d/0/0", "seed": 0, "text": "1. How old is person '
    '%d?\\nThe answer is: %d", "finish": "stop", "input_tokens": 95, "output_tokens": 24}\n'
)
LEDGER = (
    '{"run": "2026-11-29T00:00:00+00:00", "phase": "collect", "budget_usd": null}\n'
    '{"role": "decomposer", "backend": "bench", "price": ["0.1", "0.4"]}\n'
    '{"role": "solver", "backend": "bench", "price": ["0.1", "0.4"]}\n'
)
SENT = '{"sent": %d, "role": "%s", "input_tokens": 500, "output_tokens": 512, "attempts": 1}\n'
DONE = '{"done": %d, "input_tokens": 95, "output_tokens": 24, "seconds": 1.5}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--merged", type=int, default=10_000_000, help="traces to merge")
    parser.add_argument("--examples", type=int, default=1_000_000, help="traces to train on")
    parser.add_argument("--journals", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the files are; default a temporary one")
    parser.add_argument("--child", choices=["merge", "batches"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure = {"merge": _merge, "batches": _batches}[args.child]
        print(json.dumps(measure(args.folder)))
        return 0
    found = {
        name: [_run(name, count, args) for count in (whole // 10, whole)]
        for name, whole in (("merge", args.merged), ("batches", args.examples))
        if whole
    }
    if args.json:
        args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


def _run(name: str, count: int, args: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        size = _write(Path(folder), count, args.shards, journals=args.journals)
        command = [sys.executable, __file__, "--child", name, "--folder", folder]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = {"traces": count, "gigabytes": round(size / 1e9, 2)}
    found |= json.loads(done.stdout.splitlines()[-1])
    print(name, found, flush=True)
    return found


def _write(folder: Path, count: int, shards: int, *, journals: bool) -> int:
    """Shards as they lie beside `traces.jsonl`; gives their bytes."""
    place = folder / "traces.jsonl.shards"
    place.mkdir()
    width = len(str(shards))
    for shard in range(shards):
        numbers = range(count * shard // shards, count * (shard + 1) // shards)
        path = place / f"{shard + 1:0{width}}-of-{shards}.jsonl"
        with path.open("w") as file:
            file.writelines(TEMPLATE % _fields(number) for number in numbers)
        if journals:
            _write_journals(path, numbers)
    return sum(path.stat().st_size for path in place.iterdir())


def _fields(number: int) -> tuple[int, ...]:
    first, second = number, number + 1
    total = first + second
    return (number, first, second, total, *(first, second) * 2, total, first, second, *[total] * 2)


def _write_journals(path: Path, numbers: range) -> None:
    with Path(f"{path}.requests").open("w") as file:
        for number in numbers:
            for place, stage in enumerate(("decompose", "solve")):
                key = 2 * number + place << 192  # the digest is of its beginning
                file.write(REQUEST % (key, stage, number, number, number))
    with Path(f"{path}.ledger").open("w") as file:
        file.write(LEDGER)
        for number in range(2 * len(numbers)):
            file.write(SENT % (number, ("decomposer", "solver")[number % 2]) + DONE % number)


def _merge(folder: Path) -> dict[str, float]:
    from decompose_distill.collection import merge_shards

    before, began = _peak_mb(), time.perf_counter()
    merged = merge_shards(folder / "traces.jsonl")
    seconds = time.perf_counter() - began
    return {"before_mb": before, "peak_mb": _peak_mb(), "merged": merged.traces} | {
        "seconds": round(seconds, 2),
        "traces_a_second": round(merged.traces / seconds),
    }


def _batches(folder: Path) -> dict[str, float]:
    import torch

    import decompose_distill as dd
    from decompose_distill.demo import make_tiny_student
    from decompose_distill.training.data import lay_end_to_end, make_task, plan_batches, prepare

    shards = folder / "traces.jsonl.shards"
    texts = ["How old is person 1?", "What is #1 plus #2?", "0123456789"]
    student = make_tiny_student(texts, folder / "student", hidden_size=64, layers=1)
    before, began = _peak_mb(), time.perf_counter()
    task = make_task(student, "decomposer", prompt=dd.prompts.Prompt("Split.", "{question}"))
    keep = dd.filters.correct
    train = prepare(task, dd.read_traces(shards), keep, 0.0, folder / "rows").train
    prepared, prepared_mb = time.perf_counter() - began, _peak_mb()
    began, tokens = time.perf_counter(), 0
    for places in plan_batches(train.lengths, 32, 1, 0):
        rows = [train[place] for place in places]
        lay_end_to_end(rows, torch.device("cpu"))
        tokens += sum(len(row.ids) for row in rows)
    seconds = time.perf_counter() - began
    return {
        "before_mb": before,
        "prepared_mb": prepared_mb,
        "peak_mb": _peak_mb(),
        "own_mb": _own_mb(),
        "traces_a_second_prepared": round(len(train) / prepared),
        "tokens": tokens,
        "tokens_a_second_loaded": round(tokens / seconds),
    }


def _own_mb() -> float | None:
    """Without mapped files, at this moment; known on Linux only."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if "RssAnon" in line), None)


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    sys.exit(main())
