"""Time `import decompose_distill` beside `import transformers`, each in fresh processes.

    python benchmarks/import_time.py --json figures.json

Alternates bare Python and the imports, and reports medians; the bare start is subtracted. Names
load on first use, so the time until a pipeline can be made stands beside that of the import.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CODES = {
    "bare": "pass",
    "decompose_distill": "import decompose_distill",
    "pipeline": "from decompose_distill import Decomposer, Pipeline, Solver, load_backend",
    "transformers": "from transformers import AutoModelForCausalLM",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CODES}
    for _ in range(args.runs + 1):  # the first round warms the disk's cache
        for name, code in CODES.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    bare = statistics.median(seconds["bare"][1:])
    ours, pipeline, peer = (
        1000 * (statistics.median(seconds[name][1:]) - bare)
        for name in ("decompose_distill", "pipeline", "transformers")
    )
    figures = {"import_ms": ours, "pipeline_ms": pipeline, "transformers_ms": peer}
    figures |= {"ratio": ours / peer, "runs": args.runs}
    figures = {name: round(value, 4) for name, value in figures.items()}
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
