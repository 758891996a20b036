"""Work on disk under the hash of its inputs: found again when they are the same, else made anew."""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from decompose_distill.collection.collector import Collected, collect
from decompose_distill.cost.budget import SharedBudget
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import seconds_worked
from decompose_distill.errors import DataError
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.storage.atomic import write_text
from decompose_distill.storage.traces import read_traces
from decompose_distill.types import Question, Trace, fingerprint_line

TRACES = "traces.jsonl"
DONE = "done-{samples}-{solves}.json"
"""Written last: what lacks it is unfinished, and goes on where it stopped."""
Inputs = Mapping[str, Any]
"""What a piece of work is made from, as plain data."""


def digest(inputs: Inputs) -> str:
    """A short hash of plain data.

    Example:
        >>> digest({"seed": 0}) == digest({"seed": 1})
        False
    """
    text = json.dumps(inputs, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def place(parent: Path, name: str, inputs: Inputs) -> Path:
    """The folder of a piece of work.

    Example:
        >>> place(Path("cells"), "S_D-R × solver", {}).name
        'S_D-R-solver-44136fa355b3'
    """
    readable = re.sub(r"[^\w.]+", "-", name).strip("-")
    return parent / f"{readable}-{digest(inputs)}"


def hash_questions(questions: Sequence[Question]) -> str:
    """A hash of questions with all that is known of them."""
    return digest({"questions": [fingerprint_line("Question", question) for question in questions]})


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """One pass of a pipeline over questions: a trace each, in their order."""

    traces: tuple[Trace, ...]
    seconds: float | None
    """Of the whole pass; `None` where nobody counted them."""


def run_once(
    folder: Path,
    inputs: Inputs,
    load: Callable[[], Pipeline],
    questions: Sequence[Question],
    purse: SharedBudget,
    *,
    samples: int = 1,
    solves: int = 1,
    progress: bool = True,
) -> PipelineRun:
    """Run a pipeline over questions, or read what it said where it has been run before.

    Nothing is loaded for what is finished. A pass with a question the backend could not serve
    counts as unfinished: the next call asks for that question again. More samples or solves add
    to what is there.

    Raises:
        BackendError: The backend refused for good; what was finished is kept.
        BudgetExceeded: The budget is used up; what was finished is kept.
    """
    done = folder / DONE.format(samples=samples, solves=solves)
    read = partial(_ordered, folder, questions, samples, solves)
    if done.is_file():
        return PipelineRun(read(), json.loads(done.read_text("utf-8"))["seconds"])
    pipeline, path = load(), folder / TRACES
    began = time.perf_counter()
    with purse.saying_the_whole():
        found = collect(
            pipeline,
            questions,
            path,
            samples=samples,
            solves=solves,
            budget_usd=purse.budget_of(path),
            prices=purse.prices,
            progress=progress,
        )
    spent, traces = time.perf_counter() - began, read()
    seconds = _seconds(found, spent, len(traces))
    if not any(trace.failure and trace.failure.is_unavailable for trace in traces):
        write_text(done, json.dumps({"seconds": seconds, "inputs": inputs}, indent=2, default=str))
    return PipelineRun(traces, seconds)


def _seconds(found: Collected, spent: float, wanted: int) -> float | None:
    """Of the whole pass, also where an earlier call made a part of it and was stopped.

    Not what is left times its number: a last question alone takes a local model about as long as
    a whole batch.
    """
    if not found.found:
        return spent
    if worked := seconds_worked(ledger_path(found.path)):
        made = {(each.question.id, each.sample, each.solve) for each in read_traces(found.path)}
        return worked * wanted / len(made)
    return spent / found.asked * wanted if found.asked else None


def _ordered(
    folder: Path, questions: Sequence[Question], samples: int, solves: int
) -> tuple[Trace, ...]:
    """The last trace of each sample and solve, as one that failed may have been asked again."""
    latest = {
        (each.question.id, each.sample, each.solve): each
        for each in read_traces(folder / TRACES)
        if each.sample < samples and each.solve < solves
    }
    order = {question.id: number for number, question in enumerate(questions)}
    if missing := order.keys() - {name for name, *_ in latest}:
        raise DataError(
            f"{folder / TRACES} lacks {len(missing)} questions, {min(missing)} among them: "
            "remove that folder to make it again"
        )
    found = sorted(latest.items(), key=lambda each: (order[each[0][0]], each[0][1:]))
    return tuple(trace for _, trace in found)
