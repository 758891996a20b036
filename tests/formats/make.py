"""Writes `files/`: PYTHONPATH=src python tests/formats/make.py, run at commit 20e4c1d.

Not to be run again for what is there: the files stand for those that users have. A new kind of
file, or a new version of one, gets files of its own beside them.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from os import chdir, environ
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch

import decompose_distill as dd
from decompose_distill.demo.tiny_model import make_tiny_student
from decompose_distill.training import recipe
from decompose_distill.training.checkpoints.resume import save_state
from tests.formats import recorded
from tests.formats.recorded import BASE, FILES, LORA, QUESTIONS, TRAIN


class Killed(BaseException):
    """As a kill would: nothing catches it."""


def main() -> None:
    """Write all files anew."""
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    chdir(FILES)
    environ["OPENAI_API_KEY"] = "sk-none"
    make_base()
    make_collected()
    make_stopped()
    make_given()
    make_older()
    make_batched()
    make_trained()
    make_exported()
    recorded.paper()
    tidy()
    Path("keys.json").write_text(json.dumps(recorded.keys(), indent=1) + "\n")


def make_base() -> None:
    """The student that trainings start from: a Llama of some thousand random weights."""
    texts = [question.text for question in (*QUESTIONS, *TRAIN)]
    sizes: dict[str, Any] = {"hidden_size": 8, "layers": 1, "vocab_size": 320}
    make_tiny_student(texts, BASE, context_window=1024, **sizes)


def make_collected() -> None:
    """A finished collection, with failures of every kind but that of the backend."""
    pipeline = recorded.pipeline(backwards=True)
    path = "collected/traces.jsonl"
    dd.collect(pipeline, QUESTIONS[:3], path, progress=False)
    dd.collect(pipeline, QUESTIONS, path, samples=2, solves=2, budget_usd=1, progress=False)


def make_stopped() -> None:
    """A collection with an error, gone on with and killed: what it was writing is torn."""
    asked = 0

    def unavailable(request: dd.Request) -> dd.Completion:
        if "Bob" in request.messages[-1].content:
            return dd.Completion(request.id, "", "error", error="HTTP 503", unanswered=3)
        return recorded.solve(request)

    def killed(request: dd.Request) -> dd.Completion:
        nonlocal asked
        asked += 1
        if asked > 6:
            raise Killed
        return recorded.solve(request)

    path = "stopped/traces.jsonl"
    dd.collect(recorded.pipeline(second=unavailable), QUESTIONS[:4], path, progress=False)
    with suppress(Killed):
        pipeline = recorded.pipeline(second=killed)
        dd.collect(pipeline, QUESTIONS, path, samples=2, solves=2, progress=False)
    for name in ("traces.jsonl", "traces.jsonl.requests", "traces.jsonl.ledger"):
        line = Path("stopped", name).read_bytes().splitlines()[-1]
        with Path("stopped", name).open("ab") as file:
            file.write(line[: len(line) // 2])


def make_given() -> None:
    """What a user writes for us to read."""
    Path("given").mkdir()
    rows = (
        {"question": "Who is older, Ada or Bob?", "answer": ["Ada"], "aliases": ["Ada Byron"]},
        {"question": "How many?", "answer": 7, "context": "There are 7.", "id": "q2", "more": 1},
        {"question": "What is 2 + 2?", "answer": "2 + 2 = 4\n#### 4"},
    )
    Path("given/questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    price = {"input_per_million": 0.4, "output_per_million": "1.6", "batch_discount": 0.25}
    Path("given/prices.json").write_text(json.dumps({"some-model": price}))


OLDER = (
    """{"schema": 1, "key": "KEY", "sample": 0, "question": {"text": "How old are Ada and Eve \
together?", "id": "fbcd", "answer": "40"}, "decomposition": {"subquestions": [], "text": "", \
"usage": {"input_tokens": 0, "output_tokens": 0}}, "solution": {"answer": "40", "text": \
"The answer is: 40", "usage": {"input_tokens": 34, "output_tokens": 9}}}""",
    "",
    """{"schema": 1, "key": "KEY", "sample": 0, "solve": 0, "question": {"text": "Who is older?", \
"id": "our/own id", "answer": null, "context": null, "aliases": []}, "failure": {"stage": "solve", \
"reason": "length", "message": "", "text": "", "usage": {"input_tokens": 0, "output_tokens": 0}}, \
"of a later version": [1]}""",
    """{"schema": 1, "key": "KEY", "sample": 0, "question": {"text": "How old is Ada?"}, \
"decomposition": {"subquestions": [], "text": "", "usage": {"input_tokens": 0, "output_tokens": \
0}}, "solution": {"answer": "36", "text": "36", "usage": {"input_tokens": 0, "output_tokens": \
0}}}""",
)
"""Without the fields that may be absent; the last line ends without a line end."""
OLDER_LEDGER = """{"run": "2025-01-31T08:41:03+00:00", "phase": "collect", "budget_usd": null}
{"role": "solver", "backend": "solver 1", "price": null}
{"sent": 0, "role": "solver", "input_tokens": 100, "output_tokens": 512, "attempts": 1}
{"done": 0, "input_tokens": 34, "output_tokens": 9}
{"sent": 1, "role": "solver", "input_tokens": 100, "output_tokens": 512, "attempts": 2}
"""


def make_older() -> None:
    """What today's reader reads besides what it writes, by hand."""
    lines = "\n".join(OLDER).replace("KEY", recorded.single().key)
    Path("older").mkdir()
    Path("older/traces.jsonl").write_text(lines.replace("fbcd", QUESTIONS[0].id))
    Path("older/traces.jsonl.ledger").write_text(OLDER_LEDGER)


def make_batched() -> None:
    """One batch that was settled, and one that was under way when the process was killed."""
    path = "batched/traces.jsonl"
    with batch_server(ends=True) as url:
        dd.collect(recorded.batched(url, _no_sleep), QUESTIONS[:1], path, progress=False)
    with suppress(Killed), batch_server(ends=False) as url:
        dd.collect(recorded.batched(url, _killed), QUESTIONS[:3], path, progress=False)
    with Path(f"{path}.batches").open("ab") as file:
        file.write(b'{"event": "settled", "key": "')


def _no_sleep(seconds: float) -> None:
    pass


def _killed(seconds: float) -> None:
    raise Killed


@contextmanager
def batch_server(*, ends: bool) -> Iterator[str]:
    """Takes one batch, and says that it has ended or is in progress."""
    uploads: list[bytes] = []
    batch = "batch_1" if ends else "batch_2"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/files":
                uploads.append(body)
            self._reply({"id": "file_1" if self.path == "/v1/files" else batch})

        def do_GET(self) -> None:
            if self.path.endswith("/content"):
                rows = (line for line in uploads[0].splitlines() if line.startswith(b'{"custom'))
                self._reply(*(recorded.answered(json.loads(row)) for row in rows))
            else:
                status = "completed" if ends else "in_progress"
                self._reply({"id": batch, "status": status, "output_file_id": "file_2"})

        def _reply(self, *rows: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write("\n".join(map(json.dumps, rows)).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def make_trained() -> None:
    """Checkpoints, and trainings that were killed after their first state."""
    split = dd.Pipeline(
        dd.Decomposer(recorded.Recorded("teacher 1", recorded.decompose)),
        dd.Solver(recorded.Recorded("solver 1", recorded.solve)),
    )
    dd.write_traces(split.run(TRAIN), "trained/traces.jsonl")
    options: dict[str, dict[str, Any]] = {"": {}, "-lora": {"config": LORA}}
    for name, changes in options.items():
        recorded.distill("trained/" + (name.strip("-") or "full"), **changes)
        with suppress(Killed), patch.object(recipe, "save_state", _killed_after(save_state)):
            recorded.distill(f"trained/half{name}", **changes)
    rationale: dict[str, Any] = {"role": "solver", "target": "rationale", "prompt": recorded.WORK}
    config = replace(recorded.CONFIG, lora_rank=1, epochs=1)  # merged
    recorded.distill("trained/solver", config=config, validation=0.0, **rationale)


def _killed_after(save: Any) -> Any:
    def save_and_die(*arguments: Any) -> None:
        save(*arguments)
        raise Killed

    return save_and_die


def make_exported() -> None:
    """Traces in the layouts that are read back."""
    traces = list(dd.read_traces("collected/traces.jsonl"))
    plain = [trace for trace in traces if trace.question.id != QUESTIONS[6].id]  # half a pair
    for role in ("decomposer", "solver"):
        for layout in ("trl", "axolotl"):
            path = f"exported/{role}-{layout}.jsonl"
            dd.export_traces(traces, path, format=layout, role=role)
    dd.export_traces(traces, "exported/hub", format="hub", keep=lambda trace: None)
    dd.export_traces(plain, "exported/parquet", format="hub-parquet", keep=lambda trace: None)


def tidy() -> None:
    """Leave out what is never read: locks, pages, cards."""
    for name in ("*.lock", "lock", "report.html", "report.md", "README.md"):
        for path in FILES.rglob(name):
            path.unlink()


if __name__ == "__main__":
    main()
