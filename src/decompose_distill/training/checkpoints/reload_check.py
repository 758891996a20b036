"""The gate after saving: a student read back from disk must be the one that was trained."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from decompose_distill.errors import CheckpointError
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.loading import end_tokens, load_model, load_tokenizer
from decompose_distill.training.data.examples import Example

NEW_TOKENS = 24


@dataclass(frozen=True, slots=True)
class GenerationSnapshot:
    """What must survive the disk."""

    prompt_ids: tuple[tuple[int, ...], ...]
    """Rendered prompts of the examples."""
    end_tokens: tuple[tuple[int, ...], tuple[int, ...]]
    """Where generation stops, by the generation config and by the model's."""
    greedy: tuple[str, ...]
    """What the model writes to each prompt."""


def snapshot(model: Any, tokenizer: Any, examples: Sequence[Example]) -> GenerationSnapshot:
    """Render a few examples' prompts and continue them greedily."""
    prompts = [prompt_ids(tokenizer, example.messages) for example in examples]
    ends = end_tokens(model.generation_config), end_tokens(model.config)
    model.eval()
    texts = (tokenizer.decode(_continue(model, prompt, ends[0])) for prompt in prompts)
    return GenerationSnapshot(tuple(map(tuple, prompts)), ends, tuple(texts))


def _continue(model: Any, prompt: list[int], ends: Sequence[int]) -> list[int]:
    ids = torch.tensor([prompt], device=model.device)
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=list(ends), pad_token_id=ends[0]
    )
    written = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
    )
    found: list[int] = written[0, len(prompt) :].tolist()
    return found


def verify_reload(
    place: Path, trained: GenerationSnapshot, examples: Sequence[Example], dtype: Any
) -> None:
    """Reload a saved student and compare it with the model that was in memory.

    Raises:
        CheckpointError: Something differs; the message shows both.
    """
    reloaded = snapshot(load_model(place, dtype=dtype), load_tokenizer(place), examples)
    for field in fields(GenerationSnapshot):
        saved, kept = getattr(reloaded, field.name), getattr(trained, field.name)
        if saved != kept:
            first = next(pair for pair in zip(kept, saved, strict=False) if pair[0] != pair[1])
            raise CheckpointError(
                f"the student at {place} is not the one that was trained: {field.name} differ, "
                f"{first[0]!r} in memory, {first[1]!r} after reloading"
            )
