"""Collecting traces: durable, resumable, with progress."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from decompose_distill.errors import ConfigError
from decompose_distill.journal import Journal, read_traces
from decompose_distill.pipeline import Pipeline
from decompose_distill.progress import progress_bar
from decompose_distill.types import Question, Trace


@dataclass(frozen=True, slots=True)
class Collected:
    """What a call of `collect` did, in counts that add up to questions × samples."""

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
    progress: bool = True,
) -> Collected:
    """Run a pipeline over questions and keep every trace in a file, each as soon as it exists.

    Run again after a kill, it asks only for what is missing; a larger `samples` adds to what
    is there. Questions that failed because the backend was unavailable are asked again.

    Args:
        pipeline: Its prompts, sampling and model names are part of the key of a trace, so a
            changed pipeline finds none of another's work.
        questions: Any finite iterable; read once.
        path: A file of JSON lines; created with its folder, or continued.
        samples: Traces a question, drawn with consecutive seeds.
        progress: Show a progress bar on stderr.

    Raises:
        ConfigError: `samples` is below 1.
        DataError: The file holds something else than traces.
        BackendError: The backend refused for good; what was finished is in the file.

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
    if samples < 1:
        raise ConfigError(f"samples must be 1 or more, not {samples}")
    given = list(questions)
    unique = {question.id: question for question in given}
    key = sha256(pipeline.identity.encode()).hexdigest()[:16]
    with Journal(path) as journal:
        done = _finished(journal, key) & {(name, n) for name in unique for n in range(samples)}
        total = len(unique) * samples
        bar = progress_bar("collecting", total, "trace", done=len(done), show=progress)
        asked, failed = 0, Counter[str]()
        with bar:
            for trace in _missing(pipeline, tuple(unique.values()), samples, done):
                journal.append(replace(trace, key=key))
                asked += 1
                if trace.failure:
                    failed[f"{trace.failure.stage}: {trace.failure.reason}"] += 1
                bar.update()
    return Collected(Path(path), asked, len(done), len(given) - len(unique), failed)


def _finished(journal: Journal, key: str) -> set[tuple[str, int]]:
    """Question ids and sample numbers that this pipeline need not be asked again."""
    return {
        (trace.question.id, trace.sample)
        for trace in read_traces(journal.path)
        if trace.key == key and not (trace.failure and trace.failure.reason == "error")
    }


def _missing(
    pipeline: Pipeline, questions: Sequence[Question], samples: int, done: set[tuple[str, int]]
) -> Iterator[Trace]:
    for sample in range(samples):
        todo = (question for question in questions if (question.id, sample) not in done)
        yield from pipeline.run(todo, sample=sample, ordered=False)
