"""Collecting traces: durable, resumable, with progress."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import TypeVar

from decompose_distill.backends.cached import Cached, RequestJournal
from decompose_distill.decomposer import Decomposer
from decompose_distill.errors import ConfigError
from decompose_distill.interrupt import deferred_interrupt
from decompose_distill.journal import Journal, scan_traces
from decompose_distill.layout import Layout
from decompose_distill.pipeline import Pipeline
from decompose_distill.progress import progress_bar
from decompose_distill.solver import Solver
from decompose_distill.types import Question, Trace

Role = TypeVar("Role")


@dataclass(frozen=True, slots=True)
class Collected:
    """What a call of `collect` did, in counts of traces.

    Found and asked add up to questions × samples × solves, where a failed decomposition is one
    trace that stands for all its solves.
    """

    path: Path
    asked: int
    """Traces made by this call."""
    found: int
    """Traces that were in the file already."""
    duplicates: int
    """Questions given more than once, asked once."""
    failed: Counter[str]
    """Failures of this call by `stage: reason`."""

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.failed.most_common())
        parts = [f"{self.found} found", f"{self.asked - self.failed.total()} answered"]
        parts += [f"{self.failed.total()} failed ({reasons})"] if reasons else []
        parts += [f"{self.duplicates} duplicate questions"] if self.duplicates else []
        return f"{self.path}: {', '.join(parts)}"


def collect(
    pipeline: Pipeline,
    questions: Iterable[Question],
    path: str | Path,
    *,
    samples: int = 1,
    solves: int = 1,
    progress: bool = True,
) -> Collected:
    """Run a pipeline over questions and keep every trace in a file, each as soon as it exists.

    Run again after a kill, it asks only for what is missing; larger `samples` and `solves` add
    to what is there. Questions that failed because the backend was unavailable are asked again.

    Every completion is kept too, in a journal of requests beside the file, before it is used:
    what was answered is never paid for again. At the end the traces are put in the order of the
    questions, so the file does not depend on what finished first, nor on kills in between.

    Args:
        pipeline: Its prompts, sampling and model names are part of the key of a trace, so a
            changed pipeline finds none of another's work.
        questions: Any finite iterable; read once.
        path: A file of JSON lines; created with its folder, or continued.
        samples: Decompositions a question, drawn with consecutive seeds.
        solves: Solutions a decomposition, each drawn with a seed of its own.
        progress: Show a progress bar on stderr, or plain lines where that is no terminal.

    Raises:
        ConfigError: `samples` or `solves` is below 1, or another run writes the file.
        DataError: The file holds something else than traces, or cannot be written.
        BackendError: The backend refused for good; what was finished is in the file.
        KeyboardInterrupt: Ctrl-C was pressed and what was under way is finished; pressed twice,
            that is left behind.

    Example:
        >>> import tempfile
        >>> from decompose_distill import Solver
        >>> from decompose_distill.backends.scripted import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> path = tempfile.mkdtemp() + "/traces.jsonl"
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        1
        >>> collect(pipeline, [Question("What is 6 times 7?")], path, progress=False).asked
        0
    """
    _check_counts(samples=samples, solves=solves)
    given = list(questions)
    unique = {question.id: question for question in given}
    key = sha256(pipeline.identity.encode()).hexdigest()[:16]
    layout = Layout(tuple(unique.values()), samples, solves, key)
    asked, failed = 0, Counter[str]()
    with Journal(path) as journal:
        for begins, trace in scan_traces(path):
            layout.note(trace, begins)
        found = layout.answered
        bar = progress_bar("collecting", len(layout), "trace", done=layout.settled, show=progress)
        with RequestJournal(f"{path}.requests") as requests, _interruptible(path) as stopped, bar:
            for trace in _missing(_remembering(pipeline, requests), journal, layout, stopped):
                kept = replace(trace, key=key)
                layout.note(kept, journal.add(kept))
                asked += 1
                if trace.failure:
                    failed[f"{trace.failure.stage}: {trace.failure.reason}"] += 1
                bar.set_postfix_str(f"{failed.total()} failed", refresh=False)
                bar.update(solves if trace.decomposition is None else 1)
        if not layout.is_in_order:
            journal.put_last(layout.order, layout.superseded)
    return Collected(Path(path), asked, found, len(given) - len(unique), failed)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} must be 1 or more, not {count}")


def _remembering(pipeline: Pipeline, requests: RequestJournal) -> Pipeline:
    """The same pipeline, whose backends are not asked again for what is in the journal."""

    def cached(role: Role) -> Role:
        if isinstance(role, Decomposer | Solver):
            return replace(role, backend=Cached(role.backend, requests))
        return role  # without a backend, such as a calculator

    return Pipeline(cached(pipeline.decomposer), cached(pipeline.solver))


def _missing(
    pipeline: Pipeline, journal: Journal, layout: Layout, stopped: Callable[[], bool]
) -> Iterator[Trace]:
    """Make the traces that are not in the file, until told to stop."""
    return pipeline.draw(
        takewhile(lambda _: not stopped(), layout.undecomposed()),
        takewhile(lambda _: not stopped(), layout.decomposed(journal.trace)),
        solves=layout.wanted,
    )


@contextmanager
def _interruptible(path: str | Path) -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C finish what is under way, and say how to go on."""
    try:
        with deferred_interrupt("finishing what is under way") as stopped:
            yield stopped
            if stopped():
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        words = f"{path} keeps what was collected; the same call goes on from there"
        raise KeyboardInterrupt(words) from None
