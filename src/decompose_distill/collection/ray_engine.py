"""Shards as tasks of a Ray cluster: https://docs.ray.io/en/latest/ray-core/tasks.html."""

from dataclasses import dataclass
from typing import Any

from decompose_distill.collection.shards import ShardTask
from decompose_distill.collection.workers import Died, Outcome, work
from decompose_distill.errors import ConfigError, MissingExtraError


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Collect shards on the Ray cluster that `RAY_ADDRESS` names, or on one of this machine.

    Every node must see the folder of the traces under the same path, and have this package. A
    cluster that the caller joined with `ray.init` is used as it is.

    Example:
        >>> RayEngine(gpus_per_shard=1)
        RayEngine(cpus_per_shard=1, gpus_per_shard=1)
    """

    cpus_per_shard: float = 1
    """Cores that Ray keeps for each; below 1 where the work is waiting for servers."""
    gpus_per_shard: float = 0
    """Graphics cards for each, for a model in the worker itself."""

    def workers(self) -> "RayWorkers":
        """Join the cluster.

        Raises:
            MissingExtraError: Ray is not installed.
        """
        return RayWorkers(self)


class RayWorkers:
    """A task per shard; where a node dies, its tasks come back as `Died`."""

    def __init__(self, engine: RayEngine) -> None:
        self._ray = _imported()
        self._joined = not self._ray.is_initialized()
        if self._joined:
            self._ray.init(log_to_driver=False)
        # Who counts deaths and lets shards go on is the driver, for every engine alike.
        self._work = self._ray.remote(
            num_cpus=engine.cpus_per_shard,
            num_gpus=engine.gpus_per_shard,
            max_retries=0,
            scheduling_strategy="SPREAD",
        )(work)
        self._running: dict[Any, ShardTask] = {}

    def start(self, task: ShardTask) -> None:
        """Submit its task.

        Raises:
            ConfigError: The pipeline cannot be sent.
        """
        try:
            self._running[self._work.remote(task)] = task
        except TypeError as error:
            raise ConfigError(
                f"engine='ray' sends the pipeline to workers, and this one cannot be sent "
                f"({str(error).splitlines()[0]}): give a function that makes it there"
            ) from None

    def wait(self, seconds: float) -> tuple[ShardTask, Outcome] | None:
        """The next that has ended."""
        done, _ = self._ray.wait([*self._running], num_returns=1, timeout=seconds)
        for reference in done:
            return self._running.pop(reference), self._outcome(reference)
        return None

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            first, _, _ = str(error).partition(". ")  # of many sentences
            return Died(f"{type(error).__name__}: {first}")
        return outcome

    def stop(self) -> None:
        """Interrupt the tasks, on which each finishes what is under way."""
        for reference in self._running:
            self._ray.cancel(reference, recursive=False)

    def close(self) -> None:
        """End what is left, and leave a cluster that was joined here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True, recursive=False)
        if self._joined:
            self._ray.shutdown()


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "engine='ray' needs Ray: pip install 'decompose-distill[ray]', or take "
            "engine='processes'"
        ) from error
    return ray
