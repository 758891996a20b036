"""All shards of a collection: started, gone on with where a worker dies, and merged."""

import logging
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

from decompose_distill.collection.merging import merge_into
from decompose_distill.collection.one_process import Collected, Job, check
from decompose_distill.collection.shards import Shard, ShardTask, shard_files, shard_folder
from decompose_distill.collection.workers import (
    Died,
    Engine,
    InThisProcess,
    MakesWorkers,
    Outcome,
    Processes,
    Workers,
)
from decompose_distill.console import Stop, deferred_interrupt, progress_bar
from decompose_distill.cost.ledger import ledger_path
from decompose_distill.cost.ledger_records import read_accounts
from decompose_distill.cost.pricing import add_usd
from decompose_distill.errors import BackendError, BudgetExceeded, ConfigError
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.storage.jsonl import InUse, beside
from decompose_distill.storage.traces import TraceStore
from decompose_distill.types import Question

logger = logging.getLogger(__name__)
MOST_DEATHS = 3
"""Workers that may die on one shard, one after the other, with nothing done."""
POLL_SECONDS = 0.5


def collect_in_shards(
    job: Job,
    questions: Sequence[Question],
    path: Path,
    count: int,
    engine: Engine | None,
    *,
    title: str,
    progress: bool,
) -> Collected:
    """Collect the questions in shards, and merge these; see `collect`."""
    if type(count) is not int or count < 1:
        raise ConfigError(f"shards must be 1 or more, not {count!r}")
    shards = (Shard(number, count) for number in range(1, count + 1))
    tasks = [ShardTask(job, shard.part_of(questions), path, shard) for shard in shards]
    tasks = [task for task in tasks if task.questions]
    if isinstance(job.pipeline, Pipeline):
        check(job, job.pipeline)
    with _workers(engine, job) as workers, TraceStore(path) as store:
        if any(shard.count != count for shard in shard_files(path).values()):
            merge_into(store, [*shard_files(path)])
        bar = progress_bar(title, len(tasks), "shard", show=progress)
        with _merging(store), _interruptible(path) as stopped, bar:
            run = _Run(workers, stopped)
            for _ in run.all(tasks):
                bar.update()
    return _summed(path, run.finished)


class _Run:
    """All shards until the last has ended."""

    def __init__(self, workers: Workers, stopped: Stop) -> None:
        self.finished: list[Collected] = []
        self._workers, self._stopped = workers, stopped
        self._running = 0
        self._poor: list[tuple[ShardTask, BudgetExceeded]] = []
        self._deaths: Counter[int] = Counter()
        self._sizes: dict[int, int] = {}

    def all(self, tasks: Sequence[ShardTask]) -> Iterator[Collected]:
        """Each that is finished.

        Raises:
            BudgetExceeded: Some are not, and nothing is left for them.
            BackendError: A shard says so, or its workers die and die.
        """
        for task in tasks:
            self._start(task)
        while self._running:
            if self._stopped():
                self._end()
            ended = self._workers.wait(POLL_SECONDS)
            self._running -= ended is not None
            if ended is not None and not self._stopped():
                yield from self._took(*ended)
        self._stopped.check()
        if self._poor:
            task, error = self._poor[0]
            raise BudgetExceeded(f"{len(self._poor)} of {len(tasks)} shards lack budget: {error}")

    def _start(self, task: ShardTask) -> None:
        self._sizes[task.shard.number] = _size(task)
        self._workers.start(task)
        self._running += 1

    def _took(self, task: ShardTask, outcome: Outcome) -> Iterator[Collected]:
        if isinstance(outcome, Collected):
            self.finished.append(outcome)
            yield outcome
            poor, self._poor = self._poor, []
            for waiting, _ in poor:  # there may be budget now
                self._start(waiting)
        elif isinstance(outcome, BudgetExceeded):
            self._poor.append((task, outcome))
        elif isinstance(outcome, Died):
            self._go_on(task, outcome)
        else:
            self._end()
            raise outcome

    def _go_on(self, task: ShardTask, death: Died) -> None:
        number = task.shard.number
        idle = _size(task) == self._sizes[number]
        self._deaths[number] = self._deaths[number] + 1 if idle else 1
        if self._deaths[number] >= MOST_DEATHS:
            self._end()
            raise BackendError(
                f"shard {task.shard}: {MOST_DEATHS} workers ended one after the other with "
                f"nothing done, the last because {death}"
            )
        logger.warning("shard %s goes on in another worker: %s", task.shard, death)
        self._start(task)

    def _end(self) -> None:
        """Let all finish what is under way; how they end says nothing more."""
        self._workers.stop()
        while self._running:
            self._running -= self._workers.wait(POLL_SECONDS) is not None
        self._stopped.check()


def _size(task: ShardTask) -> int:
    """Bytes of what a shard has done."""
    files = (task.path, beside(task.path, ".requests"))
    return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def _workers(engine: Engine | None, job: Job) -> Iterator[Workers]:
    workers = _engine(engine, job)
    try:
        yield workers
    finally:
        workers.close()


def _engine(engine: Engine | None, job: Job) -> Workers:
    if engine is None:
        return InThisProcess()
    if engine == "processes":
        _check_sendable(job)
        return Processes()
    if engine == "ray":
        from decompose_distill.collection.ray_engine import RayEngine

        engine = RayEngine()
    if isinstance(engine, MakesWorkers):
        return engine.workers()
    raise ConfigError(f"engine must be 'processes', 'ray', a RayEngine or None, not {engine!r}")


def _check_sendable(job: Job) -> None:
    try:
        pickle.dumps(job)
    except Exception as error:  # each kind of object has its own
        raise ConfigError(
            f"engine='processes' sends the pipeline to other processes, and this one cannot be "
            f"sent ({error}): give a function of a module that makes it there, instead of the "
            "pipeline"
        ) from None


@contextmanager
def _merging(store: TraceStore) -> Iterator[None]:
    """Merge at the end, also after an error; after an interrupt the shards stay for the next."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except Exception:
        with suppress(InUse):  # by a worker that is cut off; the next call finds its shard
            merge_into(store, [*shard_files(store.path)])
        raise
    merge_into(store, [*shard_files(store.path)])


@contextmanager
def _interruptible(path: Path) -> Iterator[Stop]:
    try:
        with deferred_interrupt("the shards finish what is under way") as stopped:
            yield stopped
    except KeyboardInterrupt as interrupt:
        words = f"{shard_folder(path)} keeps what was collected; the same call goes on from there"
        raise type(interrupt)(words) from None


def _summed(path: Path, parts: Sequence[Collected]) -> Collected:
    failed: Counter[str] = sum((part.failed for part in parts), Counter())
    saved: Decimal | None = add_usd(part.saved_usd for part in parts)
    new, stored = (sum(getattr(part, name) for part in parts) for name in ("asked", "found"))
    spend = read_accounts(ledger_path(path)).entries
    key = parts[0].key if parts else ""
    return Collected(path, new, stored, 0, failed, spend, saved, key)
