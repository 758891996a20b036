"""Collecting traces: durable, resumable, within a budget."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from decompose_distill.data.questions import as_questions, unique_questions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from decompose_distill.collection.one_process import Collected, Job, PipelineSource
    from decompose_distill.collection.workers import Engine
    from decompose_distill.cost.pricing import Price
    from decompose_distill.data.questions import QuestionSource


def collect(
    pipeline: "PipelineSource",
    questions: "QuestionSource",
    path: str | Path,
    *,
    samples: int = 1,
    solves: int = 1,
    budget_usd: "Decimal | float | None" = None,
    prices: "Mapping[str, Price] | None" = None,
    shards: int = 1,
    engine: "Engine | None" = None,
    progress: bool = True,
) -> "Collected":
    """Run a pipeline over questions and keep every trace in a file, each as soon as it exists.

    Run again after a kill, it asks only for what is missing; larger `samples` and `solves` add
    to what is there. Questions that failed because the backend was unavailable are asked again.

    Every completion is kept too, in a journal of requests beside the file, before it is used:
    what was answered is never paid for again. At the end the traces are put in the order of the
    questions, so the file does not depend on what finished first, nor on kills in between.

    Args:
        pipeline: Its prompts, sampling and model names are part of the key of a trace, so a
            changed pipeline finds none of another's work. A function that makes one is called
            where the work is done.
        questions: Any finite iterable, read once, or the path of a file.
        path: A file of JSON lines; created with its folder, or continued.
        samples: Decompositions per question, drawn with consecutive seeds.
        solves: Solutions a decomposition, each drawn with a seed of its own.
        budget_usd: The most that this file may cost, in US dollars, over all calls that add to
            it. What its roles' backends may use is reserved before it is sent; a role of your own
            says with `backends()` and `with_backends()` what it asks.
        prices: Prices by model, before those of the [table](../how-to/budget.md).
        shards: Parts of the questions, each with its own files in a folder beside `path` and its
            part of the budget. At the end they are merged into the same file, and removed.
        engine: Where they are collected: `"processes"` of this machine, all at once, `"ray"` or
            a [`RayEngine`](../how-to/many-workers.md), or by default in this process one by one.
            Where a worker dies, its shard goes on in another from what is in its files.
        progress: Show a progress bar: on stderr, in a notebook as HTML, and plain lines where
            stderr is no terminal.

    Raises:
        ConfigError: `samples` or `solves` is below 1, another run writes the file, there is a
            budget and no price, or a role has no identity or hides a backend.
        BudgetExceeded: The budget has no room for another request; what was finished is in the
            file, and a call with a larger budget goes on from there.
        DataError: The file holds something else than traces, or cannot be written, or two
            different questions have one id.
        BackendError: The backend permanently refused; what was finished is in the file.
        KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM came, and what was under way is
            finished; at the second time that is left behind.

    Example:
        >>> import tempfile
        >>> from decompose_distill import Question, Solver
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        1
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        0
    """
    from decompose_distill.collection.one_process import Job
    from decompose_distill.cost.ledger import read_budget

    job = Job("collect", pipeline, samples, solves, read_budget(budget_usd), prices or {})
    return collect_job(
        job, questions, path, shards=shards, engine=engine, title="collecting", progress=progress
    )


def collect_job(
    job: "Job",
    questions: "QuestionSource",
    path: str | Path,
    *,
    shards: int,
    engine: "Engine | None",
    title: str,
    progress: bool,
) -> "Collected":
    """What `collect` and `evaluate` do; see `collect`."""
    from decompose_distill.errors import check_path

    check_path("path", path)
    from decompose_distill.collection.driver import collect_in_shards
    from decompose_distill.collection.merging import merge_leftovers
    from decompose_distill.collection.one_process import collect_here

    listed = list(as_questions(questions))
    unique = unique_questions(listed)
    if type(shards) is int and shards == 1 and engine is None:
        merge_leftovers(Path(path))
        done = collect_here(job, unique, path, title=title, progress=progress)
    else:
        done = collect_in_shards(
            job, unique, Path(path), shards, engine, title=title, progress=progress
        )
    return replace(done, duplicates=len(listed) - len(unique))
