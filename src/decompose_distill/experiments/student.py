"""The student of the matrix: what every trained and untrained row starts from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from decompose_distill import prompts
from decompose_distill.errors import ConfigError
from decompose_distill.experiments.variants import VARIANTS
from decompose_distill.keys import fingerprint
from decompose_distill.parsing import format_subquestions
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.examples import Target
from decompose_distill.types import Sampling, Trace, check_kinds_of

SHOTS = 3
"""Worked examples of the untrained few-shot row."""


@dataclass(frozen=True, slots=True)
class Student:
    """A model to train and to measure untrained, with its prompts and settings.

    Raises:
        ConfigError: A field is of another type, or `batch_size` is below 1.

    Example:
        >>> Student("HuggingFaceTB/SmolLM2-135M-Instruct").batch_size
        64
    """

    model: str | Path
    """Hub id, directory or `.gguf` file."""
    decompose: prompts.Prompt = field(default_factory=prompts.decompose, kw_only=True)
    """Prompt of the rows in which it decomposes."""
    solve: prompts.Prompt = field(default=prompts.JOINT, kw_only=True)
    """Prompt of the columns in which it solves with working."""
    answer: prompts.Prompt = field(default=prompts.DIRECT, kw_only=True)
    """Prompt with which it answers without working."""
    sampling: Sampling = field(default_factory=Sampling, kw_only=True)
    """Of the untrained student; a trained one may write twice its longest example."""
    config: DistillConfig = field(default_factory=DistillConfig, kw_only=True)
    """Of every training; its seed is replaced by those of the matrix."""
    batch_size: int = field(default=64, kw_only=True)
    """Questions completed together."""

    def __post_init__(self) -> None:
        check_kinds_of(self)
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, not {self.batch_size}")

    def prompt_for(self, target: Target) -> prompts.Prompt:
        """The prompt behind which a target is learned."""
        if target == "subquestions":
            return self.decompose
        return self.answer if target == "answer" else self.solve

    def inputs(self, variant: str, seed: int, traces: str) -> dict[str, Any]:
        """What a training depends on, as plain data; `traces` is their hash."""
        learned = VARIANTS[variant]
        return {
            "model": str(self.model),
            "variant": fingerprint(learned),
            "prompt": self.prompt_for(learned.target).to_json(),
            "config": fingerprint(replace(self.config, seed=seed)),
            "traces": traces,
        }

    def untrained(self, prompt: prompts.Prompt) -> dict[str, Any]:
        """What the student depends on where it is not trained, as plain data."""
        sampling = fingerprint(self.sampling)
        return {"model": str(self.model), "prompt": prompt.to_json(), "sampling": sampling}


def few_shot(prompt: prompts.Prompt, kept: Iterable[Trace]) -> prompts.Prompt:
    """A decomposer's prompt with the first few screened traces as worked examples."""
    splits = (split.decomposition for split in kept if split.decomposition is not None)
    return prompt.with_examples(
        [
            (split.question, (), format_subquestions(split.subquestions))
            for split in islice(splits, SHOTS)
        ]
    )
