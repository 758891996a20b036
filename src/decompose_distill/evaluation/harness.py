"""evaluate(): a pipeline over held-out questions, as a report with intervals."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decompose_distill import scores
from decompose_distill.collection.collector import collect_job
from decompose_distill.collection.one_process import Job, PipelineSource, as_pipeline
from decompose_distill.collection.trace_index import TraceIndex
from decompose_distill.console import progress_bar
from decompose_distill.cost.ledger import read_budget
from decompose_distill.cost.pricing import Price
from decompose_distill.data.questions import QuestionSource, unique_questions
from decompose_distill.errors import ConfigError
from decompose_distill.evaluation.contamination import find_overlap
from decompose_distill.evaluation.results import Report, score_traces
from decompose_distill.storage.traces import read_traces
from decompose_distill.types import Question, Trace

if TYPE_CHECKING:
    from decompose_distill.collection.workers import Engine


def evaluate(
    pipeline: PipelineSource,
    questions: QuestionSource,
    path: str | Path | None = None,
    *,
    score: scores.Score | scores.ScoreName | str = scores.exact,
    name: str = "pipeline",
    trained_on: Iterable[Question | Trace] | None = None,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Price] | None = None,
    shards: int = 1,
    engine: "Engine | None" = None,
    progress: bool = True,
) -> Report:
    """Run a pipeline over questions with gold answers and score what it says.

    With a path, the answers are collected into a file of traces, as by `collect`: a call that was
    stopped is gone on with by the same call, and what was answered is not asked, nor paid, again.

    Args:
        pipeline: Such as a student decomposer with the teacher as solver.
        questions: Held-out ones, or the path of their file; a repeated question counts once.
        path: File of traces with the answer to each question, created or continued, with its
            journal of requests and its ledger beside it; `None` keeps nothing.
        score: `scores.exact`, `scores.f1`, `scores.gsm8k`, the name of one of them, or any
            function like them.
        name: Of the row in tables.
        trained_on: Questions or traces the student learned from. Where questions measured are
            among them, or nearly, this warns and marks the report.
        budget_usd: As for `collect`; it needs a path.
        prices: As for `collect`.
        shards: As for `collect`, and so is `engine`; they need a path.
        progress: Show a progress bar, as `collect` does.

    Raises:
        BackendError: The backend permanently refused; what was answered is in the file.
        BudgetExceeded: The budget has no room for another request; a call with a larger one goes
            on from there.
        ConfigError: The score gave something else than a number from 0 to 1 or `None`, or as for
            `collect`.
        DataError: Two different questions have one id, or as for `collect`.
        KeyboardInterrupt: As for `collect`.

    Example:
        >>> from decompose_distill import Solver
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> questions = [Question("What is 6 times 7?", answer="42")]
        >>> print(evaluate(pipeline, questions, progress=False))
        pipeline: exact 100.0 % [20.7, 100.0] (n = 1)
    """
    score = scores.as_score(score)
    unique = unique_questions(questions)
    overlap = None if trained_on is None else find_overlap(trained_on, unique)
    if overlap:
        warnings.warn(f"{name}: overlap: {overlap}", stacklevel=2)
    if path is not None:
        job = Job("evaluate", pipeline, budget_usd=read_budget(budget_usd), prices=prices or {})
        options: Any = {"shards": shards, "engine": engine, "title": name, "progress": progress}
        done = collect_job(job, unique, path, **options)
        traces = _kept(path, done.key, unique)
    elif budget_usd is not None or prices is not None:
        raise ConfigError("budget_usd and prices need a path: the file that keeps what was paid")
    elif shards != 1 or engine is not None:
        raise ConfigError("shards and engine need a path: the file that the shards become")
    else:
        traces = _shown(as_pipeline(pipeline).run(unique), unique, name, progress=progress)
    return score_traces(name, traces, score, overlap)


def _shown(
    traces: Iterable[Trace], questions: Sequence[Question], name: str, *, progress: bool
) -> Iterator[Trace]:
    with progress_bar(name, len(questions), "question", show=progress) as bar:
        for trace in traces:
            yield trace
            bar.update()


def _kept(path: str | Path, key: str, questions: Sequence[Question]) -> Iterator[Trace]:
    """The traces of the questions, in their order, each with the gold answers of today."""
    index = TraceIndex(questions, 1, 1, key)
    traces = {trace.question.id: trace for trace in read_traces(path) if index.has_slot(trace)}
    return (replace(traces[question.id], question=question) for question in questions)
