"""A chat-completions server that behaves like a busy provider, in a process of its own.

    python benchmarks/simulated_teacher.py --scale 0.1

It prints its address and serves until its input ends. Latencies are log-normal with a median of
0.4 s and a 99th percentile of 6 s, times `--scale`; the n-th request gets the n-th of a fixed
sequence, so every client waits the same in total. `GET /stats` says what was served.
"""

import argparse
import asyncio
import json
import math
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

MEDIAN, P99 = 0.4, 6.0
SIGMA = math.log(P99 / MEDIAN) / 2.3263478740408408
TEXT = "1. How old is Ada?\n2. How old is Bob?\n3. What is #1 plus #2?\nThe answer is: 42"
"""Reads as a decomposition and as a final answer."""


COME_BACK = 0.5
"""Seconds that a refusal at random asks for."""


@dataclass(frozen=True)
class Behaviour:
    """What the server does to its clients."""

    scale: float = 0.1
    rate: float = math.inf
    """Requests a second that are let through; others get 429."""
    burst: float = 20.0
    failing: float = 0.0
    """Share answered with 500."""
    hanging: float = 0.0
    """Share never answered."""
    refusing: float = 0.0
    """Share answered with 429 at random, whatever the rate."""
    retry_after: bool = False
    """Whether a 429 says when a token is there; one at random says after how long to come back."""
    resets: bool = False
    """Whether every answer says how many tokens remain, and when the bucket is full again."""
    seed: int = 0


@dataclass
class Stats:
    """What was served."""

    served: int = 0
    refused: int = 0
    failed: int = 0
    hung: int = 0
    latency: float = 0.0
    """Seconds, of all that were served or failed."""


class Teacher:
    """Decides on answers; `Connection` speaks HTTP."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.stats = Stats()
        self._random = random.Random(behaviour.seed)
        self._tokens, self._filled = behaviour.burst, time.monotonic()

    def answer(self) -> tuple[int, float | None, str]:
        """Status, seconds to think (`None`: for ever) and extra headers of the next answer."""
        if wait := self._missing() or self._refuses():
            self.stats.refused += 1
            asked = f"retry-after-ms: {wait * 1000:.0f}\r\n" * self.behaviour.retry_after
            return 429, 0.0, asked + self._remaining()
        seconds = self._random.lognormvariate(math.log(MEDIAN), SIGMA) * self.behaviour.scale
        fate = self._random.random()
        if fate < self.behaviour.hanging:
            self.stats.hung += 1
            return 0, None, ""
        self.stats.latency += seconds
        if fate < self.behaviour.hanging + self.behaviour.failing:
            self.stats.failed += 1
            return 500, seconds, ""
        self.stats.served += 1
        return 200, seconds, self._remaining()

    def _refuses(self) -> float:
        """Seconds to wait after a refusal at random, or 0 where there is none."""
        refuses = self.behaviour.refusing and self._random.random() < self.behaviour.refusing
        return COME_BACK if refuses else 0.0

    def _missing(self) -> float:
        """Take a token from the bucket, or say in how many seconds there will be one."""
        if self.behaviour.rate == math.inf:
            return 0.0
        now = time.monotonic()
        grown = self._tokens + (now - self._filled) * self.behaviour.rate
        self._tokens, self._filled = min(self.behaviour.burst, grown), now
        if self._tokens < 1:
            return (1 - self._tokens) / self.behaviour.rate
        self._tokens -= 1
        return 0.0

    def _remaining(self) -> str:
        if not self.behaviour.resets:
            return ""
        milliseconds = (self.behaviour.burst - self._tokens) / self.behaviour.rate * 1000
        return (
            f"x-ratelimit-limit-requests: {self.behaviour.burst:.0f}\r\n"
            f"x-ratelimit-remaining-requests: {int(self._tokens)}\r\n"
            f"x-ratelimit-reset-requests: {milliseconds:.0f}ms\r\n"
        )


BODY = {
    "object": "chat.completion",
    "id": "chat-0",
    "created": 0,
    "model": "simulated",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 150, "completion_tokens": 30, "total_tokens": 180},
}
BODIES = {
    200: json.dumps(BODY).encode(),
    429: b'{"error": {"message": "slow down"}}',
    500: b'{"error": {"message": "upstream is down"}}',
}


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as little of it as clients need: the cost is to be theirs."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, rest = self._read.partition(b"\r\n\r\n")
        if not found or len(rest) < self._length(head):
            return
        self._read = rest[self._length(head) :]
        if head.startswith(b"GET"):
            self._write(200, json.dumps(asdict(self._teacher.stats)).encode(), "")
            return
        status, seconds, headers = self._teacher.answer()
        if seconds is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, self._write, status, BODIES[status], headers)

    @staticmethod
    def _length(head: bytes) -> int:
        _, _, value = head.lower().partition(b"content-length:")
        return int(value.split(b"\r\n", 1)[0] or 0)

    def _write(self, status: int, body: bytes, headers: str) -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
            f"{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


async def serve(behaviour: Behaviour) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    teacher = Teacher(behaviour)
    server = await loop.create_server(lambda: Connection(teacher), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def simulated_teacher(behaviour: Behaviour | None = None) -> Iterator[str]:
    """Run the server in a process of its own; gives its address."""
    options = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in asdict(behaviour or Behaviour()).items()
    ]
    process = subprocess.Popen(
        [sys.executable, __file__, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


def served(url: str) -> Stats:
    """What the server at `url` has served so far."""
    with urllib.request.urlopen(f"{url}/stats") as answer:
        return Stats(**json.load(answer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in asdict(Behaviour()).items():
        convert = (lambda text: text == "True") if isinstance(default, bool) else type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=convert, default=default)
    asyncio.run(serve(Behaviour(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
