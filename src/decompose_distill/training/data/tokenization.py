"""Examples as token ids: the prompt as sampling sends it, then the completion and its end."""

from dataclasses import dataclass
from typing import Any

from decompose_distill.errors import TrainingError
from decompose_distill.models.chat_template import end_of_turn, neutralize, prompt_ids
from decompose_distill.models.frozen_template import freeze_template
from decompose_distill.training.data.examples import Example


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """One example in ids; the loss is on `ids[start:]`, the completion with its end token."""

    name: str
    ids: tuple[int, ...]
    start: int

    @property
    def targets(self) -> int:
        """How many tokens are trained."""
        return len(self.ids) - self.start


def tokenize(tokenizer: Any, example: Example, context_window: int) -> TokenizedExample:
    """Build the ids of one example; nothing is ever cut off.

    The tokenizer's chat template is frozen, if it was not yet.

    Raises:
        ConfigError: The chat template cannot show the example, or not be frozen.
        TrainingError: The completion is empty, or the example exceeds the context window.
    """
    if not example.completion.strip():
        raise TrainingError(f"trace {example.name}: the completion to train on is empty")
    freeze_template(tokenizer)
    prompt = prompt_ids(tokenizer, example.messages)
    completion = tokenizer(neutralize(tokenizer, example.completion), add_special_tokens=False)
    ids = (*prompt, *completion["input_ids"], end_of_turn(tokenizer))
    if len(ids) > context_window:
        raise TrainingError(
            f"trace {example.name}: {len(ids)} tokens exceed the student's context window of "
            f"{context_window}; drop such traces with keep=..."
        )
    return TokenizedExample(example.name, ids, len(prompt))
