"""Learning rate, batch and number type for SmolLM2-135M on the real traces, one epoch each.

    python benchmarks/sweep.py --json figures.json 1e-4:8:master 2e-4:8:master 2e-4:8:pure

Trains on rows 0-499 of the recorded traces, validates on rows 700-799 and decodes these greedily.
Rows 800-999 stay untouched for real_traces.py.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from real_traces import PROMPT, data_folder, find_student, measure, read_rows

import decompose_distill as dd
from decompose_distill.models import load_model, load_tokenizer, save_model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+", help="learning rate, batch, 'master' or 'pure'")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--train", type=int, default=500)
    parser.add_argument("--output-dir", type=Path, help="keep the students here")
    args = parser.parse_args()
    rows = read_rows(args.data)
    if rows is None:
        return 3
    found = []
    with tempfile.TemporaryDirectory() as folder:
        place = args.output_dir or Path(folder)
        base = place / "base"
        save_model(load_model(find_student()), load_tokenizer(find_student()), base)
        for setting in args.settings:
            found.append(_try(setting, base, rows[: args.train], rows[700:800], place))
            print(json.dumps(found[-1]), flush=True)
            if args.json:
                args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0


def _try(
    setting: str,
    base: Path,
    train: Sequence[dd.Trace],
    dev: Sequence[dd.Trace],
    folder: Path,
) -> dict[str, object]:
    rate, batch, kind = setting.split(":")
    config = dd.DistillConfig(
        epochs=1,
        learning_rate=float(rate),
        batch_size=int(batch),
        master_weights=kind == "master",
    )
    student = dd.distill(
        train,
        student=base,
        output_dir=folder / setting.replace(":", "-"),
        prompt=PROMPT,
        validation=dev,
        config=config,
    )
    figures = json.loads((student / "decompose_distill.json").read_text())["figures"]
    quality = measure(student, dev, 256)
    kept = {name: figures[name] for name in ("validation_loss", "seconds")}
    return {"setting": setting, **kept, **quality}


if __name__ == "__main__":
    sys.exit(main())
