"""A chat as a local model's tokens, and its tokens as a completion: alike on every engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from decompose_distill.models.chat_template import end_of_turn, prompt_ids
from decompose_distill.models.loading import end_tokens
from decompose_distill.types import Completion, Finish, Request, Usage


@dataclass(frozen=True, slots=True)
class LocalChat:
    """What an engine has to know of chats."""

    name: str
    """Of the model, for errors."""
    tokenizer: Any
    ends: frozenset[int]
    """Tokens at which a turn ends."""
    context_window: int
    """Tokens of prompt and completion."""

    def prompt(self, request: Request) -> list[int]:
        """Token ids of a request's chat, as in training."""
        return prompt_ids(self.tokenizer, request.messages)

    def refused(self, request: Request, prompt: Sequence[int]) -> Completion | None:
        """An error where prompt and completion would exceed the context window."""
        most = request.sampling.max_new_tokens
        if len(prompt) + most <= self.context_window:
            return None
        message = (
            f"prompt of {len(prompt)} tokens and max_new_tokens={most} "
            f"exceed the {self.context_window} tokens that {self.name} takes"
        )
        return Completion(request.id, "", "error", Usage(len(prompt), 0), message)

    def completion(
        self, request: Request, prompt_tokens: int, ids: Sequence[int], *, cached_tokens: int = 0
    ) -> Completion:
        """What was written up to where the turn ended, or to the limit."""
        end = next((index for index, token in enumerate(ids) if token in self.ends), None)
        finish: Finish = "length" if end is None else "stop"
        text = self.tokenizer.decode(ids[:end], skip_special_tokens=True)
        written = len(ids) if end is None else end + 1
        usage = Usage(prompt_tokens, written, cached_tokens=cached_tokens)
        return Completion(request.id, text.strip(), finish, usage)


def turn_ends(tokenizer: Any, config: Any) -> frozenset[int]:
    """Where a turn ends, by the tokenizer, its chat template and a generation config."""
    return frozenset([tokenizer.eos_token_id, end_of_turn(tokenizer), *end_tokens(config)])
