"""Shards of a collection: equal parts of its questions, each with files of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Self, TypeVar

from decompose_distill.collection.one_process import Collected, Job, PipelineSource, collect_here
from decompose_distill.cost.ledger import read_budget
from decompose_distill.cost.pricing import Price
from decompose_distill.cost.shares import BudgetShares
from decompose_distill.data.questions import QuestionSource, unique_questions
from decompose_distill.errors import ConfigError
from decompose_distill.storage.jsonl import beside
from decompose_distill.types import Question

Item = TypeVar("Item")
_NAME = re.compile(r"(\d+)-of-(\d+)\.jsonl")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts, counted from 1.

    Raises:
        ConfigError: There is no such part.

    Example:
        >>> Shard(2, 3).part_of("abcdefgh")
        'cde'
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ConfigError(f"shard {self}: shards count from 1, as 1/8 to 8/8")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `3/8`.

        Raises:
            ConfigError: It is something else.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ConfigError(f"shard must be written as 3/8, the third of eight, not {text!r}")
        return cls(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def part_of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Its items: such as stand side by side, so that the parts in their order are the whole."""
        first, last = (len(items) * end // self.count for end in (self.number - 1, self.number))
        return items[first:last]

    def path(self, traces: Path) -> Path:
        """Its own file of traces, in a folder beside the file of all."""
        number = f"{self.number:0{len(str(self.count))}}"
        return shard_folder(traces) / f"{number}-of-{self.count}.jsonl"


def shard_folder(traces: str | Path) -> Path:
    """The shards of a file of traces lie beside it."""
    return beside(traces, ".shards")


def shard_files(traces: str | Path) -> dict[Path, Shard]:
    """The files of shards that are there, in their order."""
    names = ((path, _NAME.fullmatch(path.name)) for path in sorted(shard_folder(traces).glob("*")))
    return {path: Shard(int(name[1]), int(name[2])) for path, name in names if name}


@dataclass(frozen=True, slots=True)
class ShardTask:
    """What a worker needs to know to collect one shard."""

    job: Job
    questions: Sequence[Question]
    """Its own."""
    traces: Path
    """The file that all shards will be merged into."""
    shard: Shard

    @property
    def path(self) -> Path:
        """Its own file of traces."""
        return self.shard.path(self.traces)


def collect_task(task: ShardTask, *, progress: bool = False) -> Collected:
    """Collect one shard, in this process.

    Raises:
        ConfigError: The teacher answers by a batch interface, or as for `collect`.
    """
    job, shares = task.job, None
    _refuse_other_counts(task)
    if job.budget_usd is not None:
        numbers = task.shard.number, task.shard.count
        shares = BudgetShares(task.traces, task.path, *numbers, job.budget_usd, job.prices)
    return collect_here(
        job, task.questions, task.path, older=task.traces, shares=shares, progress=progress
    )


def _refuse_other_counts(task: ShardTask) -> None:
    for path, shard in shard_files(task.traces).items():
        if shard.count != task.shard.count:
            raise ConfigError(
                f"{path} is one of {shard.count} shards, not of {task.shard.count}: merge them "
                f"first, or go on with {shard.count}"
            )


def collect_shard(
    pipeline: PipelineSource,
    questions: QuestionSource,
    path: str | Path,
    shard: str,
    *,
    samples: int = 1,
    solves: int = 1,
    budget_usd: Decimal | float | None = None,
    prices: Mapping[str, Price] | None = None,
    progress: bool = True,
) -> Collected:
    """Collect one of several parts of the questions, for `merge_shards` to put together.

    Every part may run in a process of its own, on any machine that sees the folder, at any time.
    All arguments must be the same for all of them, but for the shard.

    Args:
        pipeline: As for `collect`.
        questions: All of them; the part is taken here.
        path: The file that all parts will be merged into. What is in it is found. The parts lie
            in a folder beside it that ends in `.shards`.
        shard: `3/8` is the third of eight.
        samples: As for `collect`, and so are `solves`, `prices` and `progress`.
        budget_usd: The most that all parts may cost together. Each starts with an equal share;
            what a finished one leaves, the others may spend.

    Raises:
        ConfigError: There is no such shard, shards of another number are there, the teacher
            answers by a batch interface, or as for `collect`.

    Example:
        >>> import tempfile
        >>> from decompose_distill import Question, Solver
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> from decompose_distill.collection import merge_shards
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> questions = [Question("What is 6 times 7?"), Question("What is 7 times 6?")]
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> collect_shard(pipeline, questions, path, "2/2", progress=False).asked
        1
        >>> merge_shards(path).missing
        (1,)
    """
    job = Job("collect", pipeline, samples, solves, read_budget(budget_usd), prices or {})
    return collect_shard_of(job, questions, Path(path), Shard.parse(shard), progress=progress)


def collect_shard_of(
    job: Job, questions: QuestionSource, path: Path, shard: Shard, *, progress: bool
) -> Collected:
    """What `collect_shard` does, for any phase."""
    part = shard.part_of(unique_questions(questions))
    return collect_task(ShardTask(job, part, path, shard), progress=progress)
