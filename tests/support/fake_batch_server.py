"""A stand-in for OpenAI's files and batches on loopback: it validates, runs, expires and bills.

Shapes after the types of the official client, which judges it in test_openai_batch.py. It
knows no time: a batch moves one status on each time somebody asks for it.
"""

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.fake_server import chat
from tests.support.loopback import Loopback, Reply

ENDPOINT = "/v1/chat/completions"
ENDED = ("failed", "completed", "expired", "cancelled")
KEY = "sk-canary-0123456789"


@dataclass(frozen=True)
class Unrun:
    """A request the provider did not run, by the error code it gives for that."""

    code: str
    message: str


EXPIRED = Unrun(
    "batch_expired", "This request could not be executed before the completion window expired."
)
CANCELLED = Unrun("batch_cancelled", "This request was not executed before the batch was cancelled")

Body = dict[str, Any]
Answer = Body | Reply | Unrun


def echo(body: Body) -> Answer:
    """Answer with the words of the last message."""
    return chat_body(body["messages"][-1]["content"])


def chat_body(text: Any, finish_reason: Any = "stop") -> Body:
    """A chat completion as the official client types it."""
    return {"id": "chatcmpl-1", "created": 1_711_475_054, "model": "some-model"} | chat(
        text, finish_reason
    )


@dataclass
class Batch:
    """One batch and where it stands."""

    shown: Body
    lines: list[Body] = field(default_factory=list)
    tokens: int = 0
    polls: int = 0


class FakeBatchServer(Loopback):
    """Serves files and batches until the block ends.

    Attributes:
        answer: What running one request gives.
        polls: How often a batch is asked for while it is in progress.
        most_tokens: Tokens (characters / 4) that may be enqueued at once.
        before: Called with each `METHOD path` before it is dealt with; what it returns is
            answered in its place.
        after: The same once it was dealt with, so that work is done and its answer lost.
        calls: What came in, in order.
        billed: How often each request was run, by its body.
        uploads: Files that were sent.
    """

    def __init__(self, answer: Callable[[Body], Answer] = echo) -> None:
        super().__init__()
        self.answer = answer
        self.polls = 1
        self.most_tokens: int | None = None
        self.most_requests = 50_000
        self.before: Callable[[str], Reply | None] = lambda call: None
        self.after: Callable[[str], Reply | None] = lambda call: None
        self.calls: list[str] = []
        self.billed: Counter[str] = Counter()
        self.uploads: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        url = urlsplit(target)
        call = f"{method} {url.path.removeprefix('/v1')}"
        with self._lock:
            self.calls.append(call)
            if instead := self.before(call):
                return instead
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            reply = self._dispatch(call, query, headers, body)
            return self.after(call) or reply

    def _dispatch(
        self, call: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> Reply:
        if headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided", "invalid_api_key")
        match call.split("/"):
            case ["POST ", "files"]:
                return self._upload(headers["content-type"], body)
            case ["GET ", "files", name, "content"] if name in self.files:
                return Reply(200, self.files[name])
            case ["POST ", "batches"]:
                return self._create(json.loads(body))
            case ["GET ", "batches"]:
                return Reply(200, self._page(int(query.get("limit", 20)), query.get("after")))
            case ["GET ", "batches", name] if name in self.batches:
                self._advance(self.batches[name])
                return Reply(200, self.batches[name].shown)
            case ["POST ", "batches", name, "cancel"] if name in self.batches:
                self.batches[name].shown["status"] = "cancelling"
                return Reply(200, self.batches[name].shown)
        return _error(404, f"Not found: {call}", None)

    def _upload(self, content_type: str, body: bytes) -> Reply:
        fields = _form(content_type, body)
        if fields["purpose"] != b"batch":
            return _error(400, "purpose must be batch", "invalid_purpose")
        self.uploads.append(fields["file"])
        name = self._store(fields["file"])
        return Reply(200, {
            "id": name, "object": "file", "bytes": len(fields["file"]), "purpose": "batch",
            "created_at": int(time.time()), "filename": "requests.jsonl", "status": "processed",
        })  # fmt: skip

    def _store(self, content: bytes) -> str:
        name = f"file-{next(self._numbers)}"
        self.files[name] = content
        return name

    def _create(self, given: Body) -> Reply:
        if given["input_file_id"] not in self.files:
            return _error(400, f"No such File object: {given['input_file_id']}", "invalid_file")
        if given["completion_window"] != "24h" or given["endpoint"] != ENDPOINT:
            return _error(400, "Invalid value", "invalid_value")
        now = int(time.time())
        counts = {"total": 0, "completed": 0, "failed": 0}
        shown = {
            "id": f"batch_{next(self._numbers)}", "object": "batch", "endpoint": ENDPOINT,
            "errors": None, "input_file_id": given["input_file_id"], "completion_window": "24h",
            "status": "validating", "output_file_id": None, "error_file_id": None,
            "created_at": now, "expires_at": now + 86_400, "request_counts": counts,
            "metadata": given.get("metadata"),
        }  # fmt: skip
        self.batches[shown["id"]] = Batch(shown)
        return Reply(200, dict(shown))

    def _page(self, limit: int, after: str | None) -> Body:
        newest_first = list(reversed(self.batches))
        start = newest_first.index(after) + 1 if after else 0
        names = newest_first[start : start + limit]
        return {
            "object": "list",
            "data": [self.batches[name].shown for name in names],
            "first_id": names[0] if names else None,
            "last_id": names[-1] if names else None,
            "has_more": len(newest_first) > start + limit,
        }

    def _advance(self, batch: Batch) -> None:
        batch.polls += 1
        status = batch.shown["status"]
        if status == "validating":
            self._validate(batch)
        elif status == "in_progress" and batch.polls > self.polls:
            batch.shown["status"] = "finalizing"
        elif status in ("finalizing", "cancelling"):
            self._run(batch)

    def _validate(self, batch: Batch) -> None:
        content = self.files[batch.shown["input_file_id"]]
        errors = list(self._faults(content, batch))
        if not errors:
            batch.tokens = len(content) // 4
            enqueued = sum(
                each.tokens
                for each in self.batches.values()
                if each.shown["status"] in ("in_progress", "finalizing")
            )
            if self.most_tokens is not None and batch.tokens + enqueued > self.most_tokens:
                words = f"Enqueued token limit reached. Limit: {self.most_tokens} enqueued tokens."
                errors = [_fault("token_limit_exceeded", words)]
        batch.shown["status"] = "failed" if errors else "in_progress"
        batch.shown["errors"] = {"object": "list", "data": errors} if errors else None
        batch.shown["request_counts"]["total"] = 0 if errors else len(batch.lines)

    def _faults(self, content: bytes, batch: Batch) -> Iterator[Body]:
        seen: set[str] = set()
        lines = content.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        if len(lines) > self.most_requests:
            yield _fault("too_many_tasks", f"The batch holds {len(lines)} requests")
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
            except ValueError:
                yield _fault("invalid_json_line", "This line is not parseable as JSON.", number)
                continue
            name = row.get("custom_id")
            if not isinstance(name, str) or not 0 < len(name) <= 64:
                yield _fault("missing_required_parameter", "custom_id", number)
            if name in seen:
                words = f"The custom_id '{name}' for this request is a duplicate"
                yield _fault("duplicate_custom_id", words, number)
            if row.get("method") != "POST" or row.get("url") != ENDPOINT:
                yield _fault("invalid_url", "method or url do not fit the endpoint", number)
            if row["body"]["model"] == "no-such-model":
                words = "The provided model 'no-such-model' is not supported by the Batch API."
                yield _fault("model_not_found", words, number)
            seen.add(name)
            batch.lines.append(row)

    def _run(self, batch: Batch) -> None:
        cancelled = batch.shown["status"] == "cancelling"
        answers = [
            (row, CANCELLED if cancelled else self.answer(row["body"])) for row in batch.lines
        ]
        good, bad = [], []
        for row, answer in reversed(answers):  # their order is not that of the requests
            answer = Reply(200, answer) if isinstance(answer, dict) else answer
            (good if isinstance(answer, Reply) and answer.status == 200 else bad).append(
                _row(row["custom_id"], answer)
            )
            if isinstance(answer, Reply):
                self.billed[json.dumps(row["body"], sort_keys=True)] += 1
        expired = any(answer is EXPIRED for _, answer in answers)
        batch.shown |= {
            "output_file_id": self._store(_jsonl(good)) if good else None,
            "error_file_id": self._store(_jsonl(bad)) if bad else None,
            "status": "cancelled" if cancelled else "expired" if expired else "completed",
            "request_counts": {
                "total": len(answers),
                "completed": len(good),
                "failed": len(bad),
            },
        }


def _row(name: str, answer: Reply | Unrun) -> Body:
    row: Body = {"id": f"batch_req_{name[:6]}", "custom_id": name, "response": None, "error": None}
    if isinstance(answer, Unrun):
        return row | {"error": {"code": answer.code, "message": answer.message}}
    response = {"status_code": answer.status, "request_id": "req_1", "body": answer.body}
    return row | {"response": response}


def _jsonl(rows: list[Body]) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return "".join(lines).encode("utf-8", "surrogatepass")


def _fault(code: str, message: str, line: int | None = None) -> Body:
    return {"code": code, "message": message, "param": None, "line": line}


def _error(status: int, message: str, code: str | None) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Reply(status, {"error": error})


def _form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart form."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    fields = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        [name] = re.findall(rb'[ ;]name="([^"]*)"', head)
        fields[name.decode()] = content.removesuffix(b"\r\n")
    return fields
