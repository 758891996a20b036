"""From traces to audited rows on disk, as one stream: nothing is held that grows with them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from decompose_distill import filters, prompts
from decompose_distill.console import progress_bar
from decompose_distill.errors import ConfigError, TrainingError
from decompose_distill.keys import fingerprint_line
from decompose_distill.models.frozen_template import FrozenTemplate, freeze_template
from decompose_distill.models.loading import (
    context_window,
    load_config,
    load_tokenizer,
)
from decompose_distill.models.quantization import check_trainable
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.audit import SHOWN, audit_row, audit_rows
from decompose_distill.training.data.examples import (
    DEFAULT_PROMPTS,
    Example,
    Role,
    Target,
    TokenizedExample,
    make_examples,
    resolve_target,
    tokenize,
    unusable,
)
from decompose_distill.training.data.token_dataset import TokenDataset, write_rows
from decompose_distill.types import Trace


@dataclass(frozen=True, slots=True)
class Task:
    """What a student is to learn, and from what it starts."""

    student: str
    role: Role
    target: Target
    prompt: prompts.Prompt
    config: DistillConfig

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("student", "role", "target", "prompt", "config")


def make_task(
    student: str | Path,
    role: Role,
    target: Target | None = None,
    prompt: prompts.Prompt | None = None,
    config: DistillConfig | None = None,
) -> Task:
    """Fill in what was not given.

    Raises:
        ConfigError: The role or target is unknown, or they do not go together.
    """
    target = resolve_target(role, target)
    prompt, config = prompt or DEFAULT_PROMPTS[target], config or DistillConfig()
    return Task(str(student), role, target, prompt, config)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training set that passed the audit."""

    tokenizer: Any
    train: TokenDataset
    _: KW_ONLY
    validation: TokenDataset
    shown: tuple[Example, ...]
    """A few of the examples, to look at and to compare the saved student on."""
    dropped: Counter[str]
    """How many traces were left out, for which reason."""
    sha256: str
    """Of all examples in order, and which are held out."""
    template: FrozenTemplate
    """What the student's chat template was made to say."""

    def __str__(self) -> str:
        counts = filters.counts(len(self.train) + len(self.validation), self.dropped)
        held = f"; held out {len(self.validation)}" if len(self.validation) else ""
        return counts + held


def prepare(
    task: Task,
    traces: Iterable[Trace],
    keep: filters.Filter | filters.FilterName,
    validation: float | Iterable[Trace],
    folder: Path,
    *,
    day: date | None = None,
    progress: bool = False,
) -> Prepared:
    """Screen, tokenise and audit traces, and write the rows to a folder.

    Args:
        day: The date that prompts show where the chat template shows one; by default today.

    Raises:
        BackendError: The student cannot be loaded, or is quantised.
        ConfigError: `validation` is no share, or the student's chat template cannot be used.
        TrainingError: Nothing is kept, a trace does not fit, or the audit found a fault.
    """
    if isinstance(validation, float | int) and not 0 <= validation < 1:
        raise ConfigError(f"validation must be from 0 to below 1, or traces, not {validation}")
    if task.config.patience and validation == 0:
        raise ConfigError("patience counts losses on held-out traces: give validation too")
    dropped: Counter[str] = Counter()
    usable = filters.all_of(keep, partial(unusable, target=task.target))
    sift = partial(filters.sift, keep=usable, dropped=dropped)
    kept = sift(traces)
    if (first := next(kept, None)) is None:  # told before the student is loaded
        raise TrainingError(f"nothing to train on: {filters.counts(0, dropped)}")
    tokenizer, config = load_tokenizer(task.student), load_config(task.student)
    check_trainable(task.student, config, task.config.quantization)
    template = freeze_template(tokenizer, day)
    examples = _examples(task, chain([first], kept), sift, validation)
    bar = progress_bar("auditing", None, "trace", show=progress)
    held, shown, digest = bytearray(), list[Example](), sha256()

    def rows() -> Iterator[TokenizedExample]:
        for example, is_held in examples:
            row = tokenize(tokenizer, example, context_window(config))
            audit_row(tokenizer, example, row)
            line = fingerprint_line("Example", example)
            digest.update(f"{line} {is_held}\x1e".encode("utf-8", "surrogatepass"))
            held.append(is_held)
            shown.extend([example][: SHOWN - len(shown)])
            bar.update()
            yield row

    with bar:
        every = write_rows(rows(), folder)
    mask = np.frombuffer(held, dtype=np.bool_)
    prepared = Prepared(
        tokenizer,
        every.where(~mask),
        validation=every.where(mask),
        shown=tuple(shown),
        dropped=dropped,
        sha256=digest.hexdigest(),
        template=template,
    )
    argument = f"validation={validation}" if isinstance(validation, float | int) else "validation"
    if not len(prepared.train):
        raise ConfigError(f"{argument} leaves nothing to train on: {prepared}")
    if validation and not len(prepared.validation):
        raise ConfigError(f"{argument} holds out none of {len(every)} examples")
    audit_rows(tokenizer, config, prepared.train, prepared.validation, task.config.max_duplicates)
    return prepared


def _examples(
    task: Task,
    kept: Iterable[Trace],
    sift: "partial[Iterator[Trace]]",
    validation: float | Iterable[Trace],
) -> Iterator[tuple[Example, bool]]:
    """Examples, and whether each is held out: by question, so that no sample of it is trained."""
    make = partial(make_examples, role=task.role, prompt=task.prompt, target=task.target)
    share = validation if isinstance(validation, float | int) else 0.0
    for example in make(kept):
        yield example, _draw(example.question, task.config.seed) < share
    if not isinstance(validation, float | int):
        for example in make(sift(validation)):
            yield example, True


def _draw(question: str, seed: int) -> float:
    """A number from 0 to below 1 that depends on nothing else."""
    digest = sha256(f"{seed} {question}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
