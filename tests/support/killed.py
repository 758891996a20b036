"""What is made to be killed; a module of its own, as its processes import little."""

import os
import sys
from pathlib import Path

from decompose_distill import Decomposer, Pipeline, Question, Sampling, Solver, collect
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.batch.backend import OpenAIBatchBackend
from decompose_distill.cli import main
from decompose_distill.types import Message, Request

IN_FLIGHT = 4
QUESTIONS = tuple(Question(f"How old are Ada and person {n} together?") for n in range(50))
SAMPLES, SOLVES = 3, 2


def collect_from(url: str, path: str) -> None:
    """Collect from the server at `url`."""
    backend = OpenAIBackend("teacher", base_url=url, max_in_flight=IN_FLIGHT)
    sampling = Sampling(temperature=1.0)
    pipeline = Pipeline(Decomposer(backend, sampling=sampling), Solver(backend, sampling=sampling))
    collect(pipeline, QUESTIONS, path, samples=SAMPLES, solves=SOLVES, progress=False)


def note_answers(url: str, key: str, batches: Path, journal: Path) -> None:
    """Ask for three texts in batches, and write down the id of each that was answered."""
    os.environ["OPENAI_API_KEY"] = key  # its environment is that of the first who forked
    backend = OpenAIBatchBackend(
        "some-model", batches, base_url=url, max_requests=2, progress=False, sleep=lambda _: None
    )
    requests = [Request(text, (Message("user", text),), Sampling()) for text in "abc"]
    with journal.open("a") as file:
        for completion in backend.generate(requests):
            print(completion.id, file=file, flush=True)


def run_command(arguments: list[str], folder: Path, names: dict[str, str], output: str) -> None:
    """Do what the command line does there, with plugins of that folder; it prints into files."""
    os.chdir(folder)
    os.environ |= names
    sys.path.insert(0, str(folder))
    sys.argv = ["decompose-distill", *arguments]
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    main()
