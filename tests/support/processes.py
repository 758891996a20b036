"""Processes of a test that start in an instant, alone or several of one job as torchrun's are."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# What children are forked from: it has imported everything, and runs no threads. Python has one
# for all tests of a process, and the first that starts it says what it imports: so it stands here.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "tests.support.killed",
        "tests.training.checkpoints.test_resume",
        "decompose_distill.backends.openai",
        "decompose_distill.collection.collector",
        "decompose_distill.training.recipe",
        "filelock",
        "torch.distributed.fsdp",
        "torch.distributed.checkpoint",
        "torch.distributed.checkpoint.hf_storage",
        "transformers.models.llama.modeling_llama",
    ]
)


def _enter(
    rank: int, size: int, port: int, log: Path, task: Callable[..., object], arguments: Any
) -> None:
    import torch

    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    task(*arguments)


def start(
    size: int, log: Path, task: Callable[..., object], *arguments: Any
) -> Sequence[BaseProcess]:
    """Start a function in so many processes, which write what they say to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        FORKS.Process(target=_enter, args=(rank, size, port, log, task, arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    return processes


def join(processes: Sequence[BaseProcess], seconds: float = 120) -> list[int | None]:
    """Wait for processes, and give their exit statuses; what hangs is killed."""
    until = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.1, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]
