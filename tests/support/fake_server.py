"""A scripted chat-completions server on loopback, which counts what it serves."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.loopback import DROP, Loopback, Reply

__all__ = ["DROP", "Call", "FakeServer", "Reply", "chat", "echo"]


@dataclass(frozen=True)
class Call:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return self.body["messages"][-1]["content"]


def chat(text: Any, finish_reason: Any = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def echo(call: Call) -> Reply:
    """Answer with the words of the last message."""
    return Reply(body=chat(call.text))


class FakeServer(Loopback):
    """Serves `script(call)` for each request until the block ends.

    Attributes:
        calls: What came in, in order.
        under_way: Requests being answered now.
        peak: Most requests that were answered at once.
    """

    def __init__(self, script: Callable[[Call], Reply] = echo) -> None:
        super().__init__()
        self.script = script
        self.calls: list[Call] = []
        self.under_way = 0
        self.peak = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        super().__exit__()

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        return self.answer(Call(target, headers, json.loads(body)))

    def answer(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
        try:
            reply = self.script(call)
            self._closing.wait(reply.seconds)
            return reply
        finally:
            with self._lock:
                self.under_way -= 1
