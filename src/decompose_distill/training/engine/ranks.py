"""Several processes that train one student, as `torchrun` starts them.

Each takes its rows of every step; gradients, loss and norm are added up. One process is the same
with nothing to add up. What ends one process ends all of them, with one message.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, groupby, islice
from typing import Any, Never, TypeVar

import torch
import torch.distributed as dist

from decompose_distill.console import exit_code
from decompose_distill.errors import ConfigError, TrainingError
from decompose_distill.models.devices import best_device

T = TypeVar("T")

BUCKET = 1 << 24
"""Numbers that are added up in one call, about: 64 MB of float32."""
PATIENCE = timedelta(days=30)
"""How long processes wait while one works alone, as on the audit; a dead one is noticed at once."""
LINGER = 1.0
"""Seconds that the first process stays after an error: it may keep the store that others ask."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, and which of them this one is."""

    rank: int = 0
    size: int = 1
    control: Any = None
    """Process group for what is no tensor of a device."""

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes, on each."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values

    def agree(self, **same: object) -> None:
        """Make sure that all processes do the same.

        Raises:
            ConfigError: A value is another one elsewhere; the message names it.
        """
        for rank, other in enumerate(self.gather(same)):
            for name in [name for name in same if other[name] != same[name]]:
                raise ConfigError(
                    f"{name} is {same[name]} in process {self.rank} and {other[name]} in process "
                    f"{rank}: call distill alike in all processes of a job"
                )

    def once(self, task: Callable[[], T]) -> T:
        """Do something on the first process only, and give its result to all."""
        box: list[Any] = [task() if self.first else None]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0, group=self.control)
        result: T = box[0]
        return result

    def turns(self, parts: Iterator[T]) -> Iterator[tuple[T, bool]]:
        """This process's part of every `size`, and whether it counts: all get equally many."""
        while turn := list(islice(parts, self.size)):
            yield turn[min(self.rank, len(turn) - 1)], self.rank < len(turn)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Sum tensors over all processes, in place, by way of float32."""
        ends = accumulate(tensor.numel() for tensor in tensors)
        buckets = groupby(zip(ends, tensors, strict=True), lambda pair: pair[0] // BUCKET)
        for _, pairs in buckets if self.size > 1 else ():
            bucket = [tensor for _, tensor in pairs]
            flat = torch.cat([tensor.flatten().float() for tensor in bucket])
            dist.all_reduce(flat)
            sums = torch.split(flat, [tensor.numel() for tensor in bucket])
            for tensor, total in zip(bucket, sums, strict=True):
                tensor.copy_(total.view_as(tensor))

    def total(
        self, loss: torch.Tensor, norm: torch.Tensor, stop: bool, *, split: bool
    ) -> torch.Tensor:
        """Loss and gradient norm of the whole step, and whether any process is to stop.

        Args:
            split: Whether the norm is of this process's part of the weights only.
        """
        figures = torch.stack([loss, norm.square(), loss.new_full((), float(stop))])
        self.add_up([figures])
        figures[1] = figures[1].sqrt() if split else norm
        return figures


ALONE = Ranks()


@contextmanager
def joined(device: str | None = None) -> Iterator[Ranks]:
    """Join the other processes of the job, if there are any, until the block ends on all.

    The process that fails first raises its error, the others leave in silence with a status.

    Args:
        device: As in `DistillConfig`.

    Raises:
        ConfigError: There are more processes on a machine than cards.
        TrainingError: Another process is gone, without a word of its own.
    """
    ranks = _join(device)
    try:
        yield ranks
        ranks.gather(None)
    except BaseException as error:
        if ranks.size > 1:
            _end(ranks, error)
        raise


def _join(device: str | None) -> Ranks:
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 and "MASTER_ADDR" in os.environ
    there = dist.is_available() and dist.is_initialized()
    if not dist.is_available() or (dist.get_world_size() == 1 if there else not started):
        return ALONE
    backend = _bind_card(device)
    if not there:  # Ray Train has joined them
        dist.init_process_group(backend)
    control = dist.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(dist.get_rank(), dist.get_world_size(), control)


def _bind_card(device: str | None) -> str:
    """Take the card of this process, and name the backends for it."""
    kind, local = best_device().type, int(os.environ.get("LOCAL_RANK", "0"))
    if kind == "cpu" or device == "cpu":
        return "gloo"
    if local >= (cards := torch.accelerator.device_count()) or device not in (None, kind):
        raise ConfigError(
            f"process {local} of this machine takes card {local} of {cards}, and device is "
            f"{device}: start a process per card (torchrun --nproc-per-node), and leave device out"
        )
    torch.accelerator.set_device_index(local)
    return f"cpu:gloo,{kind}:{dist.get_default_backend_for_device(kind)}"


def _end(ranks: Ranks, error: BaseException) -> Never:
    """Raise what this process has to say, if it is the first to fail, and leave else."""
    try:
        store, mine = dist.distributed_c10d._get_default_store(), str(ranks.rank)
        speaks = store.compare_set(ranks.control.group_name, "", mine).decode() == mine
    except RuntimeError:  # the store went with the process that kept it
        speaks = ranks.rank == 1
    if ranks.first:
        time.sleep(LINGER)
    if not speaks:
        raise SystemExit(exit_code(error) if isinstance(error, KeyboardInterrupt) else 1) from error
    if _came_of_another(error):
        raise TrainingError(
            f"one of {ranks.size} processes is gone without a word: killed, out of memory, or its "
            "machine is down. Start again, with as many processes as you like: the run goes on "
            "from its last state"
        ) from error
    raise error


def _came_of_another(error: BaseException | None) -> bool:
    """Whether a connection to another process closed, somewhere below an error."""
    lost = isinstance(error, dist.DistError) or "gloo/" in str(error)
    return lost or (error is not None and _came_of_another(error.__cause__))
