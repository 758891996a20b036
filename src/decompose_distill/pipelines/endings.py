"""How a completion ended, as a role sees it: with words to read, cut off, or failed."""

from dataclasses import dataclass

from decompose_distill.parsing import split_thinking
from decompose_distill.types import Completion


@dataclass(frozen=True, slots=True)
class Ending:
    """A completion as a role reads it.

    Example:
        >>> ending_of(Completion("0", "<think>Ada? Bo", "stop")).reason
        'length'
    """

    text: str
    """What was said to the reader."""
    reasoning: str = ""
    """What was thought, wherever it stood."""
    reason: str = ""
    """Of the failure: `error` or `length`; empty if there is a text to read."""
    message: str = ""
    """What to do about it."""


def ending_of(completion: Completion) -> Ending:
    """Tell thinking, words and failure apart.

    Thinking that does not end is cut off, whatever the server calls its finish.
    """
    split = split_thinking(completion.text)
    text = completion.text if split.rest == completion.text.strip() else split.rest
    thought = "\n".join(filter(None, (completion.reasoning, split.reasoning)))
    if completion.finish == "error":
        return Ending(text, thought, "error", completion.error)
    if split.closed and completion.finish != "length":
        return Ending(text, thought)
    return Ending(text, thought, "length", _cut(completion, thought, split.rest))


def _cut(completion: Completion, thought: str, rest: str) -> str:
    """What a cut says; what to raise where thinking left no room for an answer."""
    written, tokens = completion.usage.output_tokens, completion.usage.reasoning_tokens
    if rest or not (thought or tokens):
        return f"cut off after {written} tokens"
    return (
        f"{tokens or written} of {written} tokens went into thinking: raise max_new_tokens or "
        "lower reasoning_effort"
    )
