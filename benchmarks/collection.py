"""Collect from a simulated teacher beside a loop of threads and the openai SDK; stream traces.

    python benchmarks/collection.py --json figures.json

Every client asks the same questions of a server of its own that answers with the same log-normal
latencies (median 0.4 s, 99th percentile 6 s, times `--scale`), with 64 requests in flight, and
keeps each answer in a file. The bound is the sum of the latencies divided by 64. Processor time
is that of the client's process, from the first request to the end of the file. `ours` makes one
call a question; `ours_two_roles` decomposes and solves, both roles within the same 64.

Then traces are written durably, and read through a filter, in processes of their own.
"""

import argparse
import asyncio
import importlib.metadata
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from simulated_teacher import Behaviour, served, simulated_teacher

IN_FLIGHT = 64
MODEL = "simulated"


def texts(questions: int) -> Iterator[str]:
    return (f"How old are Ada and person {number} together?" for number in range(questions))


@dataclass
class Stopwatch:
    """Seconds of wall and of this process's processor, from entering to leaving."""

    wall: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> "Stopwatch":
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._began[0]
        self.cpu = time.process_time() - self._began[1]

    def figures(self, count: int) -> dict[str, float]:
        # Linux counts in KiB, macOS in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mb = peak / (2**20 if sys.platform == "darwin" else 2**10)
        return {"wall": self.wall, "cpu": self.cpu, "peak_rss_mb": mb, "count": count}


def ours(url: str, questions: int, folder: str) -> dict[str, float]:
    import decompose_distill as dd
    from decompose_distill.backends.openai import OpenAIBackend

    solver = dd.Solver(OpenAIBackend(MODEL, base_url=url, max_in_flight=IN_FLIGHT))
    return _collect(dd.Pipeline(None, solver), questions, folder)


def ours_two_roles(url: str, questions: int, folder: str) -> dict[str, float]:
    import decompose_distill as dd
    from decompose_distill.backends.openai import OpenAIBackend

    backend = OpenAIBackend(MODEL, base_url=url, max_in_flight=IN_FLIGHT)
    return _collect(dd.Pipeline(dd.Decomposer(backend), dd.Solver(backend)), questions, folder)


def _collect(pipeline: Any, questions: int, folder: str) -> dict[str, float]:
    import decompose_distill as dd
    from decompose_distill import collect  # before the clock runs

    asked = [dd.Question(text) for text in texts(questions)]
    with Stopwatch() as meter:
        done = collect(pipeline, asked, Path(folder) / "traces.jsonl", progress=False)
    assert not done.failed, done
    return meter.figures(done.asked)


def threads(url: str, questions: int, folder: str) -> dict[str, float]:
    """What one writes first: threads that post, and a file."""
    import httpx2

    with (
        Stopwatch() as meter,
        httpx2.Client(timeout=600, limits=httpx2.Limits(max_connections=IN_FLIGHT)) as client,
        ThreadPoolExecutor(IN_FLIGHT) as pool,
        (Path(folder) / "answers.jsonl").open("w") as file,
    ):

        def ask(text: str) -> str:
            messages = [{"role": "user", "content": text}]
            body = {"model": MODEL, "messages": messages, "temperature": 0}
            answer = client.post(f"{url}/chat/completions", json=body)
            return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])

        for text in pool.map(ask, texts(questions)):
            file.write(json.dumps({"text": text}) + "\n")
    return meter.figures(questions)


def openai_sdk(url: str, questions: int, folder: str) -> dict[str, float]:
    """The official client, asynchronous, behind a semaphore."""
    from openai import AsyncOpenAI

    async def run() -> None:
        room = asyncio.Semaphore(IN_FLIGHT)
        async with AsyncOpenAI(base_url=url, api_key="none", timeout=600) as client:
            with (Path(folder) / "answers.jsonl").open("w") as file:

                async def ask(text: str) -> None:
                    async with room:
                        answer = await client.chat.completions.create(
                            model=MODEL, messages=[{"role": "user", "content": text}], temperature=0
                        )
                    file.write(json.dumps({"text": answer.choices[0].message.content}) + "\n")

                await asyncio.gather(*(ask(text) for text in texts(questions)))

    with Stopwatch() as meter:
        asyncio.run(run())
    return meter.figures(questions)


CLIENTS = {each.__name__: each for each in (ours, ours_two_roles, threads, openai_sdk)}


def write(path: str, traces: int) -> dict[str, float]:
    """Make traces and write each, all on the disk at the end."""
    from decompose_distill.storage import TraceStore

    with Stopwatch() as meter, TraceStore(path) as journal:
        for trace in _traces(traces):
            journal.add(trace)
    return meter.figures(traces)


def read(path: str, traces: int) -> dict[str, float]:
    """Read traces and screen them."""
    import decompose_distill as dd

    with Stopwatch() as meter:
        kept = sum(dd.filters.correct(trace) is None for trace in dd.read_traces(path))
    assert kept == traces, f"{kept} of {traces} kept"
    return meter.figures(traces)


def _traces(count: int) -> Iterator[Any]:
    import decompose_distill as dd

    steps = [f"How old is {name} in the year the question asks about?" for name in ("Ada", "Bob")]
    words = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    for text in texts(count):
        question = dd.Question(text, answer="42")
        subquestions = tuple(map(dd.Subquestion, steps))
        decomposition = dd.Decomposition(question, subquestions, words, usage=dd.Usage(150, 30))
        solved = "Ada was 40 in that year, as she says. " * 8 + "\nThe answer is: 42"
        solution = dd.Solution(decomposition, "42", solved, dd.Usage(180, 90))
        yield dd.Trace(question, solution, key="0123456789abcdef")


def alone(work: Callable[..., dict[str, float]], *args: object) -> dict[str, float]:
    """Run in a process of its own, so that neither memory nor time of others counts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def measure_client(name: str, questions: int, scale: float) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_teacher(Behaviour(scale=scale)) as url,
    ):
        found = alone(CLIENTS[name], url, questions, folder)
        stats = served(url)
    assert found["count"] == questions, f"{name} kept {found['count']} of {questions}"
    assert stats.served >= questions, f"{name} was served {stats.served} of {questions}"
    return {
        "wall_over_bound": found["wall"] / (stats.latency / IN_FLIGHT),
        "wall_seconds": found["wall"],
        "bound_seconds": stats.latency / IN_FLIGHT,
        "cpu_ms_per_request": 1000 * found["cpu"] / stats.served,
        "peak_rss_mb": found["peak_rss_mb"],
    }


def measure_clients(questions: int, scale: float, rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CLIENTS}
    for _ in range(rounds):
        for name, runs in found.items():
            runs.append(measure_client(name, questions, scale))
            print(name, json.dumps(rounded(runs[-1])), flush=True)
    return {
        name: {each: statistics.median(run[each] for run in runs) for each in runs[0]}
        for name, runs in found.items()
    }


def measure_traces(traces: int, rounds: int) -> dict[str, float]:
    """Rates, and the memory of a tenth of the traces beside that of all."""
    rates: dict[str, list[float]] = {"write": [], "read": []}
    peaks = {}
    for count in [max(1, traces // 10)] + [traces] * rounds:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "traces.jsonl")
            found = {work.__name__: alone(work, path, count) for work in (write, read)}
        peaks[count] = max(each["peak_rss_mb"] for each in found.values())
        for name, each in found.items():
            rates[name].append(count / each["wall"])
            print(name, count, f"{count / each['wall']:.0f} per second", flush=True)
    return {
        "peak_rss_mb": peaks[traces],
        "peak_rss_mb_of_a_tenth": min(peaks.values()),
        "traces_read_per_second": statistics.median(rates["read"][1:]),
        "traces_written_per_second": statistics.median(rates["write"][1:]),
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--scale", type=float, default=1.0, help="of all latencies")
    parser.add_argument("--rounds", type=int, default=1, help="each client so often; medians")
    args = parser.parse_args()
    streamed = measure_traces(args.traces, args.rounds)
    clients = measure_clients(args.questions, args.scale, args.rounds)
    mine = clients["ours"]
    figures = {
        "wall_over_bound": round(mine["wall_over_bound"], 3),
        "cpu_ms_per_request": round(mine["cpu_ms_per_request"], 3),
        **rounded(streamed),
        "clients": {name: rounded(each) for name, each in clients.items()},
        "versions": {name: importlib.metadata.version(name) for name in ("openai", "httpx2")},
        "questions": args.questions,
        "traces": args.traces,
        "scale": args.scale,
        "in_flight": IN_FLIGHT,
        "rounds": args.rounds,
    }
    print(json.dumps(figures, indent=2))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
