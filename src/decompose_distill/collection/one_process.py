"""Collecting in one process: durable, resumable, with progress."""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

from decompose_distill.backend import info_of
from decompose_distill.backends.caching import CachingBackend, CompletionStore
from decompose_distill.backends.metering import MeteredBackend
from decompose_distill.collection.trace_index import TraceIndex
from decompose_distill.console import deferred_interrupt, progress_bar
from decompose_distill.cost.accounts import Entry
from decompose_distill.cost.ledger import Ledger, find_price, ledger_path
from decompose_distill.cost.pricing import Price, add_usd, check_prices, format_usd
from decompose_distill.cost.shares import BudgetShares
from decompose_distill.errors import BudgetExceeded, ConfigError, wrong_kind
from decompose_distill.pipelines.dry_run import (
    decomposing_requests,
    is_greedy,
    solving_requests,
)
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import check_draws, check_identity
from decompose_distill.storage.jsonl import beside
from decompose_distill.storage.traces import TraceStore, read_traces, scan_traces
from decompose_distill.types import Decomposition, Question, Trace, Usage, check_kinds_of

logger = logging.getLogger(__name__)
PipelineSource = Pipeline | Callable[[], Pipeline]
"""What is taken for a pipeline: the value, or a function that makes it where the work is done."""


@dataclass(frozen=True, slots=True, repr=False)
class Collected:
    """What a call of `collect` did, in counts of traces.

    Found and asked add up to questions × samples × solves, where a failed decomposition is one
    trace that stands for all its solves.

    Example:
        >>> print(Collected(Path("traces.jsonl"), 8, 2, 0, Counter({"solve: length": 1})))
        traces.jsonl: 7 new traces, 2 already there, 1 failed (1 solve: length)
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
    key: str = ""
    """Of the pipeline, under which its traces stand in the file."""

    @property
    def spent_usd(self) -> Decimal | None:
        """What the file has cost so far, over all calls; `None` if a price is unknown."""
        return add_usd(entry.total_usd for entry in self.spend)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failed.most_common())
        parts = [f"{self.asked - self.failed.total()} new traces", f"{self.found} already there"]
        parts += [f"{self.failed.total()} failed ({reasons})"] if reasons else []
        parts += [f"{self.duplicates} duplicate questions"] if self.duplicates else []
        spent = "cost unknown" if self.spent_usd is None else f"{format_usd(self.spent_usd)} spent"
        parts += [spent] if self.spent_usd != 0 else []
        parts += [f"{format_usd(self.saved_usd)} saved"] if self.saved_usd else []
        return f"{self.path}: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"<Collected {self}>"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be collected, wherever that is done."""

    phase: str
    """`collect` or `evaluate`, for the ledger."""
    pipeline: PipelineSource
    samples: int = 1
    solves: int = 1
    budget_usd: Decimal | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_kinds_of(self)


def as_pipeline(source: PipelineSource) -> Pipeline:
    """A pipeline, or what a function makes.

    Raises:
        ConfigError: It is something else.
    """
    pipeline = source() if callable(source) and not isinstance(source, Pipeline) else source
    if not isinstance(pipeline, Pipeline):
        raise wrong_kind("pipeline", pipeline, "a Pipeline, or a function that makes one")
    return pipeline


def collect_here(
    job: Job,
    questions: Sequence[Question],
    path: str | Path,
    *,
    title: str = "collecting",
    older: Path | None = None,
    shares: BudgetShares | None = None,
    progress: bool = True,
) -> Collected:
    """Collect in this process; see `collect`.

    Args:
        questions: Each once.
        title: Of the progress bar.
        older: Another file of traces whose work is found too, with its journal of requests.
        shares: Where the budget is shared with others.
    """
    pipeline = as_pipeline(job.pipeline)
    check(job, pipeline)
    if older is not None:
        _refuse_batches(pipeline)
    _warn_of_repeats(pipeline, questions[:1], samples=job.samples, solves=job.solves)
    layout = TraceIndex(questions, job.samples, job.solves, pipeline.key)
    new, failed = 0, Counter[str]()
    with TraceStore(path) as journal:
        for begins, trace in scan_traces(path):
            layout.note(trace, begins)
        _take_over(older, layout, journal)
        stored = layout.answered
        logger.info("%s: %d of %d traces are there", path, stored, len(layout))
        bar = progress_bar(title, len(layout), "trace", done=layout.settled, show=progress)
        with (
            CompletionStore(
                beside(path, ".requests"), older and beside(older, ".requests"), guarded=True
            ) as kept,
            shares.claimed() if shares else nullcontext(job.budget_usd) as budget,
            Ledger(
                ledger_path(path),
                budget_usd=budget,
                prices=job.prices,
                phase=job.phase,
                more=shares.more if shares else None,
                guarded=True,
            ) as ledger,
            _interruptible(path) as stopped,
            _saying_what_is_left(path, layout),
            bar,
        ):
            bar.note(_note(failed, ledger), ledger.spent_usd)
            paying = _paying(pipeline, kept, ledger)
            paid = pipeline.with_backends(paying)
            for trace in _missing(paid, journal, layout, ledger, stopped):
                named = replace(trace, key=layout.key)
                layout.note(named, journal.add(named))
                new += 1
                if trace.failure:
                    failed[f"{trace.failure.stage}: {trace.failure.reason}"] += 1
                bar.note(_note(failed, ledger), ledger.spent_usd)
                bar.update(job.solves if trace.decomposition is None else 1)
        if not layout.is_in_order:
            journal.put_last(layout.order, layout.superseded)
    saved = _saved(paying, ledger)
    return Collected(Path(path), new, stored, 0, failed, ledger.entries, saved, pipeline.key)


def _take_over(older: Path | None, layout: TraceIndex, journal: TraceStore) -> None:
    """Copy the traces of another file that are missing in this one."""
    if older is None or not older.is_file():
        return
    for trace in read_traces(older):
        if layout.lacks(trace):
            layout.note(trace, journal.add(trace))


def _refuse_batches(pipeline: Pipeline) -> None:
    for name, backend in pipeline.backends().items():
        if info_of(backend).batch:
            raise ConfigError(
                f"the {name} answers by a batch interface, which takes all questions at once: "
                "leave out either the batches or the shards"
            )


def _warn_of_repeats(
    pipeline: Pipeline, some: Sequence[Question], *, samples: int, solves: int
) -> None:
    """Say that greedy samples are all alike, before they are paid for."""
    roles = []
    if samples > 1 and pipeline.decomposer is not None:
        requests = decomposing_requests(pipeline.decomposer, some)
        roles.append(("samples", samples, "decomposer", requests))
    if solves > 1:
        empty = [Decomposition(question, ()) for question in some]
        roles.append(("solves", solves, "solver", solving_requests(pipeline.solver, empty)))
    for argument, count, role, requests in roles:
        if is_greedy(requests):
            advice = f"give the {role} another temperature, such as 0.7"
            warnings.warn(
                f"{argument}={count} at temperature 0 asks for the same {count} times: {advice}",
                stacklevel=5,
            )


def check(job: Job, pipeline: Pipeline) -> None:
    """Refuse before a file is made."""
    check_prices(job.prices)
    for role in (pipeline.decomposer, pipeline.solver):
        check_identity(role)
    check_draws(pipeline.solver, job.solves)
    for name, backend in pipeline.backends().items():
        find_price(name, backend, job.prices, budgeted=job.budget_usd is not None)


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
