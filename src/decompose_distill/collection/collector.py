"""Collecting traces: durable, resumable, with progress."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

from decompose_distill.backends.caching import CachingBackend, CompletionStore
from decompose_distill.backends.metering import MeteredBackend
from decompose_distill.collection.trace_index import TraceIndex
from decompose_distill.console import deferred_interrupt, progress_bar
from decompose_distill.cost.accounts import Entry
from decompose_distill.cost.ledger import Ledger, find_price, ledger_path, read_budget
from decompose_distill.cost.pricing import Price, add_usd, format_usd
from decompose_distill.data.questions import QuestionSource, as_questions, unique_questions
from decompose_distill.errors import BudgetExceeded
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import check_draws, check_identity
from decompose_distill.storage.jsonl import beside
from decompose_distill.storage.traces import TraceStore, scan_traces
from decompose_distill.types import Decomposition, Question, Trace, Usage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a call of `collect` did, in counts of traces.

    Found and asked add up to questions × samples × solves, where a failed decomposition is one
    trace that stands for all its solves.
    """

    path: Path
    asked: int
    """Traces made by this call."""
    found: int
    """Traces that were in the file already."""
    duplicates: int
    """Questions given more than once, asked once."""
    failed: Counter[str]
    """Failures of this call by `stage: reason`."""
    spend: tuple[Entry, ...] = ()
    """What all calls on this file have used, by role."""
    saved_usd: Decimal | None = Decimal(0)
    """What this call did not pay, as the answers were in the journal of requests."""

    @property
    def spent_usd(self) -> Decimal | None:
        """What the file has cost so far, over all calls; `None` if a price is unknown."""
        return add_usd(entry.total_usd for entry in self.spend)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failed.most_common())
        parts = [f"{self.found} found", f"{self.asked - self.failed.total()} answered"]
        parts += [f"{self.failed.total()} failed ({reasons})"] if reasons else []
        parts += [f"{self.duplicates} duplicate questions"] if self.duplicates else []
        spent = format_usd(self.spent_usd, unknown="an unknown amount")
        parts += [f"{spent} spent"] if self.spent_usd != 0 else []
        parts += [f"{format_usd(self.saved_usd)} saved"] if self.saved_usd else []
        return f"{self.path}: {', '.join(parts)}"


def collect(
    pipeline: Pipeline,
    questions: QuestionSource,
    path: str | Path,
    *,
    samples: int = 1,
    solves: int = 1,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Price] | None = None,
    progress: bool = True,
) -> Collected:
    """Run a pipeline over questions and keep every trace in a file, each as soon as it exists.

    Run again after a kill, it asks only for what is missing; larger `samples` and `solves` add
    to what is there. Questions that failed because the backend was unavailable are asked again.

    Every completion is kept too, in a journal of requests beside the file, before it is used:
    what was answered is never paid for again. At the end the traces are put in the order of the
    questions, so the file does not depend on what finished first, nor on kills in between.

    Args:
        pipeline: Its prompts, sampling and model names are part of the key of a trace, so a
            changed pipeline finds none of another's work.
        questions: Any finite iterable, read once, or the path of a file.
        path: A file of JSON lines; created with its folder, or continued.
        samples: Decompositions a question, drawn with consecutive seeds.
        solves: Solutions a decomposition, each drawn with a seed of its own.
        budget_usd: The most that this file may cost, in US dollars, over all calls that add to
            it. What its roles' backends may use is reserved before it is sent; a role of your own
            says with `backends()` and `with_backends()` what it asks.
        prices: Prices by model, before those of the [table](../how-to/budget.md).
        progress: Show a progress bar on stderr, or plain lines where that is no terminal.

    Raises:
        ConfigError: `samples` or `solves` is below 1, another run writes the file, there is a
            budget and no price, or a role has no identity or hides a backend.
        BudgetExceeded: The budget has no room for another request; what was finished is in the
            file, and a call with a larger budget goes on from there.
        DataError: The file holds something else than traces, or cannot be written, or two
            different questions have one id.
        BackendError: The backend refused for good; what was finished is in the file.
        KeyboardInterrupt: Ctrl-C was pressed, or SIGTERM came, and what was under way is
            finished; at the second time that is left behind.

    Example:
        >>> import tempfile
        >>> from decompose_distill import Solver
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        1
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        0
    """
    return collect_for(
        "collect",
        "collecting",
        pipeline,
        questions,
        path,
        samples=samples,
        solves=solves,
        budget_usd=budget_usd,
        prices=prices,
        progress=progress,
    )


def collect_for(
    phase: str,
    title: str,
    pipeline: Pipeline,
    questions: QuestionSource,
    path: str | Path,
    *,
    samples: int = 1,
    solves: int = 1,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Price] | None = None,
    progress: bool = True,
) -> Collected:
    """What `collect` and `evaluate` do, booked under the name of a phase; see `collect`.

    Args:
        phase: `collect` or `evaluate`, for the ledger.
        title: Of the progress bar.
    """
    budget = read_budget(budget_usd)
    _check(pipeline, solves, prices or {}, budgeted=budget is not None)
    listed = list(as_questions(questions))
    unique = unique_questions(listed)
    layout = TraceIndex(unique, samples, solves, pipeline.key)
    new, failed = 0, Counter[str]()
    with TraceStore(path) as journal:
        for begins, trace in scan_traces(path):
            layout.note(trace, begins)
        stored = layout.answered
        logger.info("%s: %d of %d traces are there", path, stored, len(layout))
        bar = progress_bar(title, len(layout), "trace", done=layout.settled, show=progress)
        with (
            CompletionStore(beside(path, ".requests")) as requests,
            Ledger(ledger_path(path), budget_usd=budget, prices=prices, phase=phase) as ledger,
            _interruptible(path) as stopped,
            _saying_what_is_left(path, layout),
            bar,
        ):
            paying = _paying(pipeline, requests, ledger)
            paid = pipeline.with_backends(paying)
            for trace in _missing(paid, journal, layout, ledger, stopped):
                kept = replace(trace, key=layout.key)
                layout.note(kept, journal.add(kept))
                new += 1
                if trace.failure:
                    failed[f"{trace.failure.stage}: {trace.failure.reason}"] += 1
                bar.set_postfix_str(_note(failed, ledger), refresh=False)
                bar.update(solves if trace.decomposition is None else 1)
        if not layout.is_in_order:
            journal.put_last(layout.order, layout.superseded)
    duplicates = len(listed) - len(unique)
    saved = _saved(paying, ledger)
    return Collected(Path(path), new, stored, duplicates, failed, ledger.entries, saved)


def _check(pipeline: Pipeline, solves: int, prices: Mapping[str, Price], *, budgeted: bool) -> None:
    """Refuse before a file is made."""
    for role in (pipeline.decomposer, pipeline.solver):
        check_identity(role)
    check_draws(pipeline.solver, solves)
    for name, backend in pipeline.backends().items():
        find_price(name, backend, prices, budgeted=budgeted)


def _paying(
    pipeline: Pipeline, requests: CompletionStore, ledger: Ledger
) -> dict[str, CachingBackend]:
    """The pipeline's backends, asked only for what is not in the journal."""
    return {
        name: CachingBackend(MeteredBackend(backend, ledger, name), requests)
        for name, backend in pipeline.backends().items()
    }


def _saved(paying: Mapping[str, CachingBackend], ledger: Ledger) -> Decimal | None:
    parts: list[Decimal | None] = []
    for name, backend in paying.items():
        price, reused = ledger.price(name), backend.found
        parts.append(price.usd(reused) if price else None if reused != Usage() else Decimal(0))
    return add_usd(parts)


def _note(failed: Counter[str], ledger: Ledger) -> str:
    spent = ledger.spent_usd
    return f"{failed.total()} failed" + (f", {format_usd(spent)} spent" if spent else "")


def _missing(
    pipeline: Pipeline,
    journal: TraceStore,
    layout: TraceIndex,
    ledger: Ledger,
    stopped: Callable[[], bool],
) -> Iterator[Trace]:
    """Make the traces that are not in the file, until told to stop or nothing more can be paid.

    A role that finds no room in the budget ends the stream; what the other one had reserved is
    free by then, so it is begun again as long as this gets anything done.
    """
    failed: set[tuple[str, int, int]] = set()

    def wanted(decomposition: Decomposition) -> list[int]:
        name = decomposition.question.id, decomposition.sample
        return [solve for solve in layout.wanted(decomposition) if (*name, solve) not in failed]

    def undecomposed() -> Iterator[tuple[Question, int]]:
        items = takewhile(lambda _: not stopped(), layout.undecomposed())
        return (item for item in items if (item[0].id, item[1], 0) not in failed)

    settled = -1
    while settled != ledger.settled:
        settled = ledger.settled
        decomposed = takewhile(lambda _: not stopped(), layout.decomposed(journal.trace))
        try:
            for trace in pipeline.draw(undecomposed(), decomposed, solves=wanted):
                if trace.failure and trace.failure.is_unavailable:
                    failed.add((trace.question.id, trace.sample, trace.solve))
                yield trace
        except BudgetExceeded as error:
            exceeded = error
        else:
            return
    raise exceeded


@contextmanager
def _saying_what_is_left(path: str | Path, layout: TraceIndex) -> Iterator[None]:
    """Add to an exceeded budget what it leaves undone, and how to go on."""
    try:
        yield
    except BudgetExceeded as error:
        left = f"{len(layout) - layout.settled} of {len(layout)} traces are missing in {path}"
        advice = "run again with a larger budget_usd to go on"
        raise BudgetExceeded(f"{error}; {left}: {advice}") from None


@contextmanager
def _interruptible(path: str | Path) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish what is under way, and say how to go on."""
    try:
        with deferred_interrupt("finishing what is under way") as stopped:
            yield stopped
            stopped.check()
    except KeyboardInterrupt as interrupt:
        words = f"{path} keeps what was collected; the same call goes on from there"
        raise type(interrupt)(words) from None
