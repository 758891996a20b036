"""A scripted chat-completions server on loopback, which counts what it serves."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """What to answer; `body` is JSON unless it is bytes, and `None` drops the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """How long to think before answering."""


DROP = Reply(status=0)


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


class FakeServer:
    """Serves `script(call)` for each request until the block ends.

    Attributes:
        calls: What came in, in order.
        under_way: Requests being answered now.
        peak: Most requests that were answered at once.
    """

    def __init__(self, script: Callable[[Call], Reply] = echo) -> None:
        self.script = script
        self.calls: list[Call] = []
        self.under_way = 0
        self.peak = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.answer(Call(self.path, headers, body))
            if reply is DROP:
                self.close_connection = True
                return
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
