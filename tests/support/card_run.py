# ruff: noqa: E402
"""The public `distill()` and a local backend on a simulated card, in a process of their own.

python -m tests.support.card_run FOLDER → a line of JSON: figures by case.
"""

import json
import sys
from pathlib import Path

from tests.support.simulated_card import CARD, Kernels, on_card  # before torch

on_card()

import decompose_distill as dd
from decompose_distill.demo.tiny_model import make_tiny_student
from decompose_distill.training.engine.loop import TrainStep
from tests.support.samples import PROMPT, QUESTIONS, make_trace

COMMON = {"epochs": 1, "batch_size": 2, "learning_rate": 5e-3}
CASES = {
    "packed, two passes, no masters": {
        "packing": True,
        "micro_batch_size": 1,
        "master_weights": False,
    },
    "LoRA": {"lora_rank": 4},
    "masters, validated, resumed": {"save_steps": 1},
}


def main(folder: Path) -> None:
    student = make_tiny_student(
        [question.text for question in QUESTIONS], folder / "base", hidden_size=64, layers=1
    )
    with CARD, Kernels():
        found = {case: _train(case, student, folder / case) for case in CASES}
        found["generation"] = _generate(student, 0.0)
        found["sampling"] = _generate(student, 0.7)
    print("RESULT " + json.dumps(found))


def _train(case: str, student: Path, place: Path) -> dict[str, float]:
    """Figures of the last step; all that comes before it has been done once."""
    CARD.marks.clear()
    traces = [make_trace(question, question.answer or "") for question in QUESTIONS]
    options = {"config": dd.DistillConfig(**COMMON, **CASES[case]), "prompt": PROMPT}
    if "validated" in case:
        traces, options["validation"] = traces[:6], traces[6:]
    if "resumed" in case:
        _stop_at(1, traces, student, place, options)
    dd.distill(traces, student=student, output_dir=place, progress=False, **options)
    return _between(*CARD.marks[-2:], 1)


def _stop_at(step: int, traces: list[dd.Trace], student: Path, place: Path, options: dict) -> None:
    figures = TrainStep.figures

    def stop(trained: object) -> dict[str, float]:
        if trained.number > step:
            raise KeyboardInterrupt
        return figures.fget(trained)

    TrainStep.figures = property(stop)
    try:
        dd.distill(traces, student=student, output_dir=place, progress=False, **options)
    except KeyboardInterrupt:
        TrainStep.figures = figures


def _generate(student: Path, temperature: float) -> dict[str, float]:
    """Figures of a token of a batch: of 24 less 8, so that the prompts' own pass drops out."""
    backend = dd.load_backend(f"hf:{student}")
    backend._ends = frozenset()  # go on to the last token
    CARD.marks.clear()
    for tokens in (8, 8, 24):
        sampling = dd.Sampling(temperature=temperature, max_new_tokens=tokens)
        requests = [
            dd.Request(str(number), (dd.Message("user", question.text),), sampling)
            for number, question in enumerate(QUESTIONS)
        ]
        list(backend.generate(requests))
        CARD.mark()
    before, short, long = CARD.marks
    ops, where = long.ops - short.ops, long.where - short.where
    ops.subtract(short.ops - before.ops)
    where.subtract(short.where - before.where)
    return {name: ops[name] / 16 for name in ("mismatch", "syncs", "uploads")} | {
        "where": {site: n / 16 for site, n in where.items() if n}
    }


def _between(before, after, steps: int) -> dict[str, object]:
    """Counts of a step or token, and where it waited."""
    ops = after.ops - before.ops
    counts = {name: ops[name] / steps for name in ("mismatch", "syncs", "uploads")}
    counts |= {f"attention {kind}": n for kind, n in (after.attention - before.attention).items()}
    return counts | {"where": dict(after.where - before.where)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
