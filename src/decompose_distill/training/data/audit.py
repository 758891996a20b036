"""The audit before step 1: faults that would not crash a run, only spoil it.

Each check gives the reason why a row, or the whole set, must not be trained on, or `None`.
"""

import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from transformers import AutoTokenizer

from decompose_distill.data import after_marker
from decompose_distill.errors import TrainingError
from decompose_distill.models.chat_template import (
    controls_among,
    end_of_turn,
    frame_controls,
    neutralize,
    prompt_ids,
)
from decompose_distill.training.data.batching import Batch, lay_end_to_end
from decompose_distill.training.data.examples import Example, TokenizedExample
from decompose_distill.training.data.token_dataset import TokenDataset
from decompose_distill.types import Message

SHOWN = 3
LEAST_LEAKED = 20
"""Characters of a completion below which finding it in the prompt may be chance."""
_MARKER = r"(?:the (?:final )?answer is:?|####)"


def audit_row(tokenizer: Any, example: Example, row: TokenizedExample) -> None:
    """Check one example against its tokens.

    Raises:
        TrainingError: It must not be trained on; the message names the row and the reason.
    """
    if reason := next(filter(None, _row_faults(tokenizer, example, row)), None):
        raise TrainingError(f"audit: trace {row.name}: {reason}")


def _row_faults(tokenizer: Any, example: Example, row: TokenizedExample) -> Iterator[str | None]:
    yield _not_trained(row)
    yield _prompt_differs(tokenizer, example, row)
    yield _end_missing(tokenizer, row)
    yield _control_inside(tokenizer, example, row)
    yield _text_lost(tokenizer, example, row)
    yield _leak(example)


def _not_trained(row: TokenizedExample) -> str | None:
    return None if 0 < row.start < len(row.ids) else "no token of it would be trained"


def _prompt_differs(tokenizer: Any, example: Example, row: TokenizedExample) -> str | None:
    sampled, trained = prompt_ids(tokenizer, example.messages), list(row.ids[: row.start])
    if sampled == trained:
        return None
    pairs = enumerate(zip(sampled, trained, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(sampled), len(trained)))
    return (
        f"the prompt differs from what sampling sends, from token {at} on: "
        f"{tokenizer.decode(trained[at : at + 8])!r} trained, "
        f"{tokenizer.decode(sampled[at : at + 8])!r} sampled"
    )


def _end_missing(tokenizer: Any, row: TokenizedExample) -> str | None:
    end = end_of_turn(tokenizer)
    if row.ids[-1] == end:
        return None
    return (
        f"the end-of-turn token {tokenizer.decode([end])!r} is not trained, the last trained token "
        f"is {tokenizer.decode([row.ids[-1]])!r}: the student would never stop"
    )


def _control_inside(tokenizer: Any, example: Example, row: TokenizedExample) -> str | None:
    wanted = frame_controls(tokenizer, [message.role for message in example.messages])
    if extra := controls_among(tokenizer, row.ids[:-1]) - wanted:
        token = tokenizer.convert_ids_to_tokens(next(iter(extra)))
        return f"its text holds the control token {token!r}, which is no text"
    return None


def _text_lost(tokenizer: Any, example: Example, row: TokenizedExample) -> str | None:
    trained = _letters(tokenizer.decode(row.ids[row.start : -1]))
    wanted = _letters(neutralize(tokenizer, example.completion))
    if trained == wanted:
        return None
    if wanted.startswith(trained):
        return f"its completion is cut off, after {tokenizer.decode(row.ids[-9:-1])!r}"
    return "the tokenizer does not give its completion back: the student would learn other words"


def _letters(text: str) -> str:
    """Without what tokenizers may change: spaces, and how a sign is composed."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def _leak(example: Example) -> str | None:
    prompt = "\n".join(turn.content for turn in example.messages if turn.role == "user")
    marked = re.search(_MARKER, prompt, re.IGNORECASE)  # else no pattern need be compiled for a row
    for answer in map(after_marker, example.golds if marked else ()):
        pattern = rf"{_MARKER}\s*{re.escape(answer)}(?!\w)"
        if answer and re.search(pattern, prompt, re.IGNORECASE):
            return f"its prompt gives the answer {answer!r} away"
    if len(example.completion) >= LEAST_LEAKED and example.completion in prompt:
        return "its prompt holds the whole completion"
    return None


def audit_rows(
    tokenizer: Any,
    config: Any,
    train: TokenDataset,
    validation: TokenDataset,
    max_duplicates: float,
) -> None:
    """Check a whole training set against its tokenizer and the model's config.

    Raises:
        TrainingError: It must not be trained on; the message says why.
    """
    faults = (
        _vocabulary_disagrees(tokenizer, config, train),
        _all_the_same(train),
        _repeated(train, max_duplicates),
        _overlap(train, validation),
        end_masked(lay_end_to_end(train[:SHOWN], torch.device("cpu")), train[:SHOWN]),
        _template_lost(tokenizer),
    )
    if reason := next(filter(None, faults), None):
        raise TrainingError(f"audit: {reason}")


def _vocabulary_disagrees(tokenizer: Any, config: Any, train: TokenDataset) -> str | None:
    """By the tokens used: Gemma 3 has one for images that its text models do not know."""
    size = config.get_text_config().vocab_size
    largest = max(train.largest_id, end_of_turn(tokenizer), tokenizer.pad_token_id)
    if largest < size:
        return None
    return (
        f"the tokenizer has {len(tokenizer)} tokens, the model only {size}, and number {largest} "
        "is used: they do not belong together"
    )


def _all_the_same(train: TokenDataset) -> str | None:
    if len(train) == 1 or train.different_completions > 1:
        return None
    return f"all {len(train)} completions are the same: there is nothing to learn"


def _repeated(train: TokenDataset, most: float) -> str | None:
    if train.repeats <= most * len(train):
        return None
    return (
        f"{train.repeats} of {len(train)} examples repeat another one, more than the share "
        f"{most}: drop them with keep=filters.all_of(..., filters.distinct()), or raise "
        "max_duplicates"
    )


def _overlap(train: TokenDataset, validation: TokenDataset) -> str | None:
    if not (shared := validation.shared_prompts(train)):
        return None
    return (
        f"trace {shared[0].name}: its prompt is also trained on, as are {len(shared)} of "
        f"{len(validation)} of the validation; give equal questions one id, or take them out"
    )


def end_masked(batch: Batch, rows: Sequence[TokenizedExample]) -> str | None:
    """Whether a batch leaves an end token out of the loss, as where it also pads."""
    trained = iter(batch.labels.tolist())
    for row in rows:
        if tuple(islice(trained, row.targets)) != row.ids[row.start :]:
            return f"trace {row.name}: padding hides some of its trained tokens"
    return None


def _template_lost(tokenizer: Any) -> str | None:
    chat = (Message("system", "Split."), Message("user", "How old are Ada and Bob?"))
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        saved = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if saved.chat_template and prompt_ids(saved, chat) == prompt_ids(tokenizer, chat):
        return None
    return "the chat template is lost or changed when the tokenizer is saved"


def show_rows(tokenizer: Any, rows: Sequence[TokenizedExample]) -> str:
    """A few rows as text, what is trained between marks, its tokens apart."""
    return "\n\n".join(_show(tokenizer, row) for row in rows[:SHOWN])


def _show(tokenizer: Any, row: TokenizedExample) -> str:
    trained = "|".join(tokenizer.decode([token]) for token in row.ids[row.start :])
    return (
        f"trace {row.name}: {len(row.ids)} tokens, trained are the {row.targets} between ⟦ and ⟧\n"
        f"{tokenizer.decode(row.ids[: row.start])}⟦{trained}⟧"
    )
