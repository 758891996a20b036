"""How long an experiment will take: the answers of its servers, and the steps of its trainings."""

from collections.abc import Iterator
from math import ceil
from statistics import fmean

from decompose_distill.cost.forecast import NOTHING, Estimate, count_characters, duration
from decompose_distill.errors import DecomposeDistillError
from decompose_distill.experiments.values import ExperimentSetup
from decompose_distill.experiments.variants import VARIANTS
from decompose_distill.training.checkpoints.manifest import MANIFEST, read_manifest

SAMPLE = 100
"""Questions whose length stands for all."""
SLOWER = Estimate(2, 4, 8)
"""A step beside the bare matrix products of its tokens."""
SPREAD = Estimate(0.7, 1, 1.5)
"""A step beside those of students that are finished."""
WRITTEN = {"subquestions": 60, "answer": 15}
"""Tokens that an example teaches; of other targets 200."""


def training_steps(setup: ExperimentSetup) -> int:
    """Most optimizer steps of all students: filters may keep fewer traces."""
    config, traces = setup.student.config, len(setup.train) * setup.config.samples
    steps = ceil(traces / config.batch_size) * config.epochs
    return steps * len(setup.variants) * len(setup.config.seeds)


def describe_time(setup: ExperimentSetup, asking: Estimate | None) -> str:
    """Time of the questions and of the trainings, as one line."""
    shown = "unknown" if asking is None else duration(asking)
    parts = [f"time: asking {shown}"]
    if setup.variants:
        training = training_time(setup)
        known = "unknown" if training is None else duration(training)
        parts.append(f"training {training_steps(setup):,} steps at most, {known}")
    return "; ".join(parts) + "; answers of the students come on top"


def training_time(setup: ExperimentSetup) -> Estimate | None:
    """Seconds of all trainings: as long as those that are finished took, or guessed."""
    finished = [seconds / steps for seconds, steps in _finished(setup) if steps]
    if finished:
        return SPREAD * (fmean(finished) * training_steps(setup))
    from decompose_distill.models.speed import training_seconds_per_token  # torch

    config = setup.student.config
    try:
        per_token = training_seconds_per_token(setup.student.model, config.device)
    except DecomposeDistillError:
        return None
    tokens = sum(_tokens(setup, name) for name in setup.variants) / len(setup.variants)
    examples = training_steps(setup) * config.batch_size
    return SLOWER * (per_token * tokens * examples)


def _finished(setup: ExperimentSetup) -> Iterator[tuple[float, int]]:
    """Seconds and steps of students that are there."""
    for path in setup.output_dir.glob(f"students/*/{MANIFEST}"):
        figures = read_manifest(path).figures
        yield float(figures["seconds"]), int(figures["steps"])


def _tokens(setup: ExperimentSetup, variant: str) -> float:
    """Of one example, four characters to a token."""
    target = VARIANTS[variant].target
    prompt = setup.student.prompt_for(target)
    characters = [count_characters(prompt.render(question)) for question in setup.train[:SAMPLE]]
    return (fmean(characters) if characters else 0) / 4 + WRITTEN.get(target, 200)


def total(seconds: Iterator[Estimate | None]) -> Estimate | None:
    """The sum; `None` if a part is unknown."""
    known = NOTHING
    for part in seconds:
        if part is None:
            return None
        known += part
    return known
