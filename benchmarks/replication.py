"""The paper's matrix in the demo's world, open book and closed book, with a real student.

    python benchmarks/replication.py --json replication.json --output-dir runs/replication

Open book, the facts a question needs stand among distractors in its context; closed book, they
stand nowhere. Teacher and solver are scripted (`demo.scripted_model` in the package), every
student is a real model: SmolLM2-135M, or with `--student tiny` a small Llama made from nothing.
All cells are measured on `unseen` questions, those that tell whether a skill transfers also on
`familiar` and `recombined` ones. The comparisons were chosen before anything was measured, and
are corrected together (Holm). Run again with the same `--output-dir`, it goes on where it stopped.
The table is also printed as Markdown.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import decompose_distill as dd
from decompose_distill.demo import (
    PROMPT,
    SMOLLM2,
    TINY,
    ScriptedModel,
    World,
    base_student,
    build_world,
    gold_rationale,
    open_book,
)
from decompose_distill.evaluation import holm
from decompose_distill.reporting import Cell, Place, Study, p_text, points

BOOKS = ("open", "closed")
SPLITS = ("familiar", "unseen", "recombined")
MAIN = "unseen"
SOLVE = dd.prompts.Prompt(
    "Answer each subquestion, then the question itself. "
    'End with a line "The answer is: " and the answer.'
)
ANSWER = dd.prompts.Prompt('Answer the question with one line, "The answer is: " and the answer.')
TINY_CONFIG = replace(TINY.config, epochs=1)
TEACHER, SOLVER = "teacher", "solver"
ASKED: Mapping[str, tuple[Place, Place]] = {
    "does the decomposer distil": (("S_D-R", SOLVER), (TEACHER, SOLVER)),
    "does the solver distil": ((TEACHER, "S_E-R"), (TEACHER, SOLVER)),
    "does it without working": ((TEACHER, "answer-only"), (TEACHER, SOLVER)),
    "is screening of use to a decomposer": (("S_D-R", SOLVER), ("S_D-T", SOLVER)),
    "is uplift a better screen": (("S_D-uplift", SOLVER), ("S_D-R", SOLVER)),
    "is screening better than gold answers": ((TEACHER, "S_E-R"), (TEACHER, "S_E-A")),
    "is working better than none": ((TEACHER, "S_E-R"), (TEACHER, "answer-only")),
    "does a decomposer still solve": ((TEACHER, "S_D-R as solver"), (TEACHER, "untrained student")),
    "does any student decompose": (("S_D-R", SOLVER), ("untrained student", SOLVER)),
    "do subquestions help at all": ((TEACHER, SOLVER), ("CoT", SOLVER)),
}
"""What is tested in each book, on all questions for which both cells were measured."""
BY_SPLIT = ("does the decomposer distil", "does the solver distil", "does it without working")
"""What is tested on each split apart, to see whether it transfers."""
WORKING = ("S_E-T", "S_E-A", "S_E-R")
"""Students whose steps are set beside the right ones, to see where they go wrong."""
ASKING = ("untrained student", "S_D-R as solver")
"""Solvers whose answers are searched for questions: those of a decomposer that goes on as one."""


class Facts(NamedTuple):
    """How far the working of a student gets."""

    found: float
    """Share of the facts that right workings look up which its own do too."""
    complete: int
    """Answers whose working holds all of them."""
    right: int
    """Right answers among those."""
    n: int
    """Answers."""

    def __str__(self) -> str:
        return (
            f"{100 * self.found:.0f} %, all in {self.complete} of {self.n}, then right {self.right}"
        )


Key = tuple[str, str, Place]
"""Book, split and place."""
Cells = Mapping[Key, Cell]


def main() -> int:
    args = _arguments()
    began = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            place = args.output_dir or Path(folder)
            found = [each for book in args.books for each in measure(book, place, args)]
    except dd.DecomposeDistillError as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 3
    cells = {key: cell for key, cell, _ in found}
    facts = {key: each for key, _, each in found if each}
    tested = compare(cells)
    print(*markdown(cells, facts, tested), sep="\n")
    minutes = round((time.perf_counter() - began) / 60, 1)
    print(f"\n{minutes} minutes")
    if args.json:
        figures = {"settings": settings(args), "minutes": minutes}
        figures |= {"cells": [to_json(*each) for each in found], "comparisons": tested}
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--output-dir", type=Path, help="kept, and continued by the next run")
    parser.add_argument("--student", default="auto", help="auto (SmolLM2-135M), tiny, or a model")
    parser.add_argument("--train", type=int, default=160, help="questions to train on")
    parser.add_argument("--questions", type=int, default=60, help="measured of each split")
    parser.add_argument("--epochs", type=int, help="of every training")
    parser.add_argument("--world", type=int, default=1, help="seed of the world")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the trainings")
    parser.add_argument(
        "--books", nargs="+", choices=("open", "closed"), default=["open", "closed"]
    )
    parser.add_argument("--rows", nargs="+", help="decomposers; by default all")
    parser.add_argument("--columns", nargs="+", help="solvers; by default all")
    return parser.parse_args()


def measure(
    book: str, place: Path, args: argparse.Namespace
) -> Iterator[tuple[Key, Cell, Facts | None]]:
    """The matrix with one book, each cell with what its students made of the facts."""
    size = dict.fromkeys(SPLITS, args.questions)
    world = build_world(args.world, train=args.train, deeper=0, **size)
    student = _student(args, place, world)
    world = open_book(world) if book == "open" else world
    print(f"\n{book} book\n", flush=True)
    model = ScriptedModel(world)
    study = dd.paper(
        dd.Pipeline(dd.Decomposer(model, prompt=PROMPT), dd.Solver(model)),
        world.train,
        world.splits[MAIN],
        student=student,
        output_dir=place / book,
        rows=args.rows,
        columns=args.columns,
        transfer={split: world.splits[split] for split in SPLITS if split != MAIN},
        seeds=args.seed,
        title=f"The controlled replication, {book} book",
        say=lambda line: print(line, flush=True),
        progress=False,
    )
    for where, cell in _cells(study):
        yield (book, *where), cell, looked_up(world, cell) if cell.column in WORKING else None


def _student(args: argparse.Namespace, place: Path, world: World) -> dd.Student:
    return dd.Student(
        base_student(args.student, place, world),
        decompose=PROMPT,
        solve=SOLVE,
        answer=ANSWER,
        sampling=dd.Sampling(max_new_tokens=96),
        config=_config(args),
        batch_size=128,
    )


def _config(args: argparse.Namespace) -> dd.DistillConfig:
    config = TINY_CONFIG if args.student == "tiny" else SMOLLM2.config
    return replace(config, epochs=args.epochs or config.epochs)


def _cells(study: Study) -> Iterator[tuple[tuple[str, Place], Cell]]:
    yield from (((MAIN, cell.place), cell) for cell in study.cells)
    for grid in study.transfers:
        yield from (((grid.name, cell.place), cell) for cell in grid.cells)


def looked_up(world: World, cell: Cell) -> Facts:
    """Set a student's working beside the right one: what it looks up, and what it makes of it."""
    found, complete, right = [], 0, 0
    results = [each for report in cell.reports for each in report.results]
    for result in results:
        trace = result.trace
        said = _lookups(trace.solution.text) if trace.solution else []
        facts = _lookups(gold_rationale(world, trace.question))
        held = [any(step.endswith(fact) for step in said) for fact in facts]
        found += held
        complete += all(held)
        right += all(held) and result.score == 1
    return Facts(sum(found) / len(found), complete, right, len(results))


def _lookups(working: str) -> list[str]:
    """Its numbered steps, but for those that calculate or compare."""
    steps = re.findall(r"^\d+\. (.+)$", working, re.MULTILINE)
    return [step.strip() for step in steps if "=" not in step and ":" not in step]


def questions(cell: Cell) -> tuple[int, int]:
    """How many of a cell's answers end as questions do, and how many there are."""
    traces = (each.trace for report in cell.reports for each in report.results)
    answers = [trace.solution.text.rstrip() for trace in traces if trace.solution]
    return sum(answer.endswith("?") for answer in answers), len(answers)


def compare(cells: Cells) -> list[dict[str, Any]]:
    """Every test of `ASKED` that can be made, with p-values corrected over all of them."""
    rows = []
    for book in dict.fromkeys(book for book, _, _ in cells):
        for asked, (first, baseline) in ASKED.items():
            for splits in [[split] for split in SPLITS] if asked in BY_SPLIT else [SPLITS]:
                found = {
                    split: one.compare(other)
                    for split in splits
                    if (one := cells.get((book, split, first)))
                    and (other := cells.get((book, split, baseline)))
                }
                if found:
                    place = {"book": book, "splits": [*found], "asked": asked}
                    rows.append(place | _tested([*found.values()]))
    adjusted = holm([row["p"] for row in rows])
    return [row | {"p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def _tested(found: Sequence[dd.Comparison]) -> dict[str, Any]:
    pairs = tuple(pair for test in found for pair in test.pairs)
    test = dd.Comparison(found[0].name, found[0].baseline, pairs)
    low, high = test.interval
    row = {"first": test.name, "baseline": test.baseline, "difference": test.difference}
    row |= {"ci_low": low, "ci_high": high, "by_seed": _by_seed(found)}
    row |= {"n": len(pairs), "better": test.better, "worse": test.worse}
    return row | {"p": test.p_value}


def _by_seed(found: Sequence[dd.Comparison]) -> list[float]:
    """The difference over all splits with each seed alone; none where there is one seed."""
    n = sum(len(test.pairs) for test in found)
    by_split = zip(*(test.by_seed for test in found), strict=True)
    return [
        sum(len(test.pairs) * each for test, each in zip(found, seed, strict=True)) / n
        for seed in by_split
    ]


def markdown(
    cells: Cells, facts: Mapping[Key, Facts], tested: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """A table a book, the facts that were looked up, the answers that ask, then the tests."""
    for book in dict.fromkeys(book for book, _, _ in cells):
        yield f"\n| {book} book: decomposer | solver | {' | '.join(SPLITS)} |"
        yield "|---" * (2 + len(SPLITS)) + "|"
        for where in dict.fromkeys(place for key, _, place in cells if key == book):
            measured = (cells.get((book, split, where)) for split in SPLITS)
            yield f"| {' | '.join((*where, *map(_percent, measured)))} |"
    if facts:
        yield f"\n| facts looked up: book | decomposer | solver | {' | '.join(SPLITS)} |"
        yield "|---" * (3 + len(SPLITS)) + "|"
    for book, where in dict.fromkeys((book, where) for book, _, where in facts):
        found = (str(facts.get((book, split, where), "–")) for split in SPLITS)
        yield f"| {' | '.join((book, *where, *found))} |"
    asking = {key: questions(cell) for key, cell in cells.items() if cell.column in ASKING}
    if asking:
        yield "\n| answers that are questions: book | decomposer | solver | |"
        yield "|---" * 4 + "|"
    for (book, _, where), (count, n) in asking.items():
        yield f"| {' | '.join((book, *where))} | {count} of {n} |"
    yield "\n| asked | book, questions | points, 95 % | each seed | better : worse | p, Holm |"
    yield "|---|---|---|---|---|---|"
    for row in tested:
        asked = f"{row['asked']}: {row['first']} − {row['baseline']}"
        place = f"{row['book']}, {row['n']} {' '.join(row['splits'])}"
        change, low, high = (points(row[name]) for name in ("difference", "ci_low", "ci_high"))
        seeds = ", ".join(map(points, row["by_seed"])) or "–"
        counts, p = f"{row['better']} : {row['worse']}", p_text(row["p_holm"])
        yield f"| {asked} | {place} | {change} [{low}, {high}] | {seeds} | {counts} | {p} |"


def _percent(cell: Cell | None) -> str:
    if cell is None or not cell.n:
        return "–"
    low, high = (100 * bound for bound in cell.interval)
    spread = "" if cell.spread is None else f" ±{100 * cell.spread:.1f}"
    return f"{100 * cell.mean:.1f} % [{low:.0f}, {high:.0f}]{spread}"


def to_json(key: Key, cell: Cell, facts: Facts | None) -> dict[str, Any]:
    """One cell as plain data."""
    book, split, (row, column) = key
    low, high = cell.interval
    figures = {"book": book, "split": split, "row": row, "column": column, "n": cell.n}
    figures |= {"accuracy": cell.mean, "ci_low": low, "ci_high": high, "spread": cell.spread}
    failures = [dict(report.failures) for report in cell.reports]
    return (
        figures
        | {"unscored": cell.unscored, "failures": failures}
        | ({"facts": facts._asdict()} if facts else {})
        | ({"questions": questions(cell)} if column in ASKING else {})
    )


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What the figures were measured with."""
    names = ("student", "train", "questions", "world", "seed")
    return {name: getattr(args, name) for name in names} | {"config": asdict(_config(args))}


if __name__ == "__main__":
    sys.exit(main())
