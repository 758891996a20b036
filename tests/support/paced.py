"""A teacher for workers in other processes: paced, logged in a file, and deadly where told."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from decompose_distill import (
    BackendInfo,
    Completion,
    Decomposer,
    Pipeline,
    Price,
    Request,
    Sampling,
    Solver,
    Usage,
)

CENTS = Decimal("0.1")
"""Price of a request, in US dollars."""


@dataclass(frozen=True)
class PacedTeacher:
    """Answers one request after the other; what it was asked, and what it answered, is logged."""

    log: Path
    seconds: float = 0.0
    """Of each answer."""
    deadly: tuple[int, ...] = ()
    """Counts of answers, over all workers, after which a worker is killed."""

    info = BackendInfo(
        identity="paced 1", model="paced", price=Price(Decimal(0), CENTS * 1_000_000)
    )

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            self._note("asked", request)
            time.sleep(self.seconds)
            self._kill_if_due()
            yield Completion(request.id, "1. Who?\nThe answer is: 7", usage=Usage(1, 1))
            self._note("answered", request)

    def _note(self, what: str, request: Request) -> None:
        stage, question, *_ = request.id.split("/")
        with self.log.open("a") as log:  # one write, so that lines of workers do not mix
            log.write(f"{what} {stage}/{question}/{request.sample}/{request.solve}\n")

    def _kill_if_due(self) -> None:
        for count in self.deadly:
            mark = self.log.with_name(f"killed-{count}")
            if not mark.exists() and len(logged(self.log, "answered")) >= count:
                with suppress(FileExistsError):  # another worker is dying for this count
                    mark.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)


def logged(log: Path, what: str) -> Counter[str]:
    """How often a request was `asked` or `answered`."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.partition(" ")[2] for line in lines if line.startswith(what))


def asked_again(log: Path) -> list[str]:
    """Requests that were asked after they had been answered, and written down."""
    answered: set[str] = set()
    again = []
    for line in log.read_text().splitlines():
        what, _, name = line.partition(" ")
        again += [name] if what == "asked" and name in answered else []
        answered |= {name} if what == "answered" else set()
    return again


def paced_pipeline(log: Path, seconds: float = 0.0, deadly: tuple[int, ...] = ()) -> Pipeline:
    """Both roles over one such teacher."""
    teacher = PacedTeacher(log, seconds, deadly)
    sampling = Sampling(temperature=0.7, max_new_tokens=1)
    return Pipeline(Decomposer(teacher, sampling=sampling), Solver(teacher, sampling=sampling))


def paced(log: Path, seconds: float = 0.0, deadly: tuple[int, ...] = ()) -> "partial[Pipeline]":
    """What makes the pipeline in a worker."""
    return partial(paced_pipeline, log, seconds, deadly)
