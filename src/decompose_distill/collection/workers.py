"""Where shards are collected: here, one after the other, or in processes of this machine."""

import os
import pickle
import signal
import threading
import time
from collections import deque
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from decompose_distill.collection.one_process import Collected
from decompose_distill.collection.shards import ShardTask, collect_task
from decompose_distill.errors import BackendError
from decompose_distill.storage.jsonl import InUse

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

LOCK_SECONDS = 60.0
"""Longest wait for the files of a shard whose last worker is about to end."""


class Died(Exception):
    """A worker ended without a result; the message says how."""


Outcome = Collected | Exception


class Workers(Protocol):
    """What collects shards."""

    def start(self, task: ShardTask) -> None:
        """Begin a shard, or put it in the queue."""
        ...

    def wait(self, seconds: float) -> tuple[ShardTask, Outcome] | None:
        """One that has ended, within about so many seconds; `None` where there is none."""
        ...

    def stop(self) -> None:
        """Let all finish what is under way, and end."""
        ...

    def close(self) -> None:
        """End all that is left at once."""
        ...


@runtime_checkable
class MakesWorkers(Protocol):
    """An engine with settings, such as `RayEngine`."""

    def workers(self) -> Workers:
        """Begin to work with it."""
        ...


Engine = Literal["processes", "ray"] | MakesWorkers
"""Where shards are collected."""


def work(task: ShardTask) -> Outcome:
    """Collect a shard in a worker, and tell what became of it as a value that can be sent."""
    try:
        return _collect_when_free(task)
    except KeyboardInterrupt:
        return Died("it was stopped by a signal")
    except Exception as error:
        return _sendable(error)


def _collect_when_free(task: ShardTask) -> Collected:
    began = time.monotonic()
    while True:
        try:
            return collect_task(task)
        except InUse:  # by the worker before this one, of which the driver has heard already
            if time.monotonic() - began > LOCK_SECONDS:
                raise
            time.sleep(0.2)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return BackendError(f"{type(error).__name__}: {error}")
    return error


class InThisProcess:
    """One shard after the other."""

    def __init__(self) -> None:
        self._queue: deque[ShardTask] = deque()
        self._stopped = False

    def start(self, task: ShardTask) -> None:
        """Put a shard in the queue."""
        self._queue.append(task)

    def wait(self, seconds: float) -> tuple[ShardTask, Outcome] | None:
        """Collect the next shard, whatever time that takes."""
        if not self._queue:
            return None
        task = self._queue.popleft()
        if self._stopped:
            return task, Died("it was not begun")
        try:
            return task, collect_task(task)
        except Exception as error:
            return task, error

    def stop(self) -> None:
        """Begin no other."""
        self._stopped = True

    def close(self) -> None:
        """Nothing to end."""


class Processes:
    """A process per shard, all at once."""

    def __init__(self) -> None:
        self._context = get_context("spawn")
        self._running: dict[Connection, tuple[SpawnProcess, ShardTask]] = {}

    def start(self, task: ShardTask) -> None:
        """Start its process."""
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(sender, task))
        process.start()
        sender.close()
        self._running[receiver] = process, task

    def wait(self, seconds: float) -> tuple[ShardTask, Outcome] | None:
        """The next that says how it ended, or ended without a word."""
        ready = connection.wait([*self._running], seconds)
        for receiver in [pipe for pipe in self._running if pipe in ready]:
            process, task = self._running.pop(receiver)
            try:
                outcome: Outcome = receiver.recv()
            except EOFError:
                process.join()
                outcome = Died(f"its process ended with exit code {process.exitcode}")
            process.join()
            return task, outcome
        return None

    def stop(self) -> None:
        """Send each SIGTERM, on which it finishes what is under way."""
        for process, _ in self._running.values():
            process.terminate()

    def close(self) -> None:
        """Kill those that are left."""
        for process, _ in self._running.values():
            process.kill()
            process.join()


def _serve(sender: "Connection", task: ShardTask) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the driver, which says what to do
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(work(task))


def _end_with_parent() -> None:
    """Finish what is under way when the driver is gone, and leave the shard to the next one."""
    if parent := parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
