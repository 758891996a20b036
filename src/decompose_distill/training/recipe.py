"""distill(): kept traces → examples → tokens → batches → steps → checkpoint."""

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from decompose_distill import filters, prompts
from decompose_distill.errors import ConfigError, TrainingError
from decompose_distill.pretrained import context_window, load_model, load_tokenizer
from decompose_distill.progress import progress_bar, say
from decompose_distill.training.batching import plan_batches
from decompose_distill.training.checkpoint import Manifest, check_output_dir, save_checkpoint
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.examples import Example, Role, make_examples, unusable
from decompose_distill.training.loop import Step, train
from decompose_distill.training.tokenize import Tokens, tokenize
from decompose_distill.types import Sampling, Trace

DEFAULT_PROMPTS = {"decomposer": prompts.decompose(), "solver": prompts.JOINT}


def distill(
    traces: Iterable[Trace],
    *,
    student: str | Path,
    output_dir: str | Path,
    role: Role = "decomposer",
    keep: filters.Filter = filters.complete,
    prompt: prompts.Prompt | None = None,
    config: DistillConfig | None = None,
    progress: bool = True,
) -> Path:
    """Fine-tune a student on a teacher's traces, for one role, and save it as a checkpoint.

    All weights are trained; the loss is on the completion and its end token only (arXiv
    2402.15000, section 3: sequence-level distillation). The checkpoint is an ordinary Hugging
    Face directory with a manifest, and holds the prompt: load it with
    `Decomposer.from_pretrained` or `Solver.from_pretrained`.

    Args:
        traces: Such as `read_traces(path)`.
        student: Hub id, directory or `.gguf` file of the model to start from.
        output_dir: A new or empty directory.
        role: What the student learns to be.
        keep: Filter that chooses the traces: `filters.complete` gives the paper's S_D-T,
            `filters.correct` its S_D-R.
        prompt: The student's prompt, which may be shorter than the teacher's; by default the
            role's own.
        config: Training settings; by default `DistillConfig()`.
        progress: Show kept and dropped traces and a progress bar on stderr.

    Returns:
        The directory of the checkpoint.

    Raises:
        ConfigError: An argument is wrong, or `output_dir` has other content.
        BackendError: The student cannot be loaded.
        TrainingError: No trace was kept, a trace does not fit, or the loss is not finite.

    Example:
        ```python
        checkpoint = dd.distill(
            dd.read_traces("traces.jsonl"),
            student="HuggingFaceTB/SmolLM2-135M-Instruct",
            output_dir="runs/student",
            keep=dd.filters.correct,
        )
        student = dd.Decomposer.from_pretrained(checkpoint)
        ```
    """
    if role not in DEFAULT_PROMPTS:
        raise ConfigError(f"role must be one of {', '.join(DEFAULT_PROMPTS)}, not {role!r}")
    output_dir = check_output_dir(output_dir)
    config, prompt = config or DistillConfig(), prompt or DEFAULT_PROMPTS[role]
    screened = filters.screen(traces, filters.all_of(keep, partial(unusable, role=role)))
    say(str(screened), show=progress)
    if not screened.kept:
        raise TrainingError(f"nothing to train on: {screened}")
    examples = list(make_examples(screened.kept, role, prompt))
    tokenizer, model = load_tokenizer(student), load_model(student)
    rows = [tokenize(tokenizer, example, context_window(model)) for example in examples]
    steps = _run(model, rows, config, progress)
    manifest = Manifest(
        role,
        prompt,
        Sampling(max_new_tokens=2 * max(row.targets for row in rows)),
        str(student),
        {"sha256": _hash(examples), "kept": len(rows), "dropped": dict(screened.dropped)},
        asdict(config),
        _figures(steps),
        _versions(),
    )
    _align_tokens(model, tokenizer)
    return save_checkpoint(output_dir, model, tokenizer, manifest)


def _run(model: Any, rows: Sequence[Tokens], config: DistillConfig, progress: bool) -> list[Step]:
    steps = config.epochs * -(-len(rows) // config.batch_size)
    batches = plan_batches(rows, config.batch_size, config.epochs, config.seed)
    finished: list[Step] = []
    with progress_bar("training", steps, "step", show=progress) as bar:
        for step in train(model, batches, steps, config):
            finished.append(step)
            bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
            bar.update()
    model.eval()
    return finished


def _align_tokens(model: Any, tokenizer: Any) -> None:
    """Make config, generation config and tokenizer agree on where a completion ends."""
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    ends = sorted({tokenizer.eos_token_id, *(end for end in listed if end is not None)})
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = model.generation_config.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id


def _hash(examples: Sequence[Example]) -> str:
    digest = sha256()
    for example in examples:
        digest.update(
            f"{example.messages}\x1f{example.completion}\x1e".encode("utf-8", "surrogatepass")
        )
    return digest.hexdigest()


def _figures(steps: Sequence[Step]) -> dict[str, float]:
    last = steps[-10:]
    return {
        "steps": len(steps),
        "first_loss": steps[0].loss,
        "last_loss": sum(step.loss for step in last) / len(last),
        "seconds": sum(step.seconds for step in steps),
    }


def _versions() -> dict[str, str]:
    packages = ("decompose-distill", "torch", "transformers", "tokenizers")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
