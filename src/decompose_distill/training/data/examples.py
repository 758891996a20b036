"""Traces as chats with a completion to learn, and as token ids."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from decompose_distill.data import after_marker
from decompose_distill.errors import ConfigError, TrainingError
from decompose_distill.models.chat_template import end_of_turn, neutralize, prompt_ids
from decompose_distill.models.frozen_template import freeze_template
from decompose_distill.parsing import format_answer, format_subquestions, replace_answer
from decompose_distill.prompts import DIRECT, JOINT, Prompt, decompose
from decompose_distill.types import Message, Trace
from decompose_distill.types import Role as Role

Target = Literal["subquestions", "rationale", "gold_rationale", "answer"]
TARGETS: dict[str, tuple[Target, ...]] = {
    "decomposer": ("subquestions",),
    "solver": ("rationale", "gold_rationale", "answer"),
}
"""What each role can learn to write; the first is its default."""
DEFAULT_PROMPTS: Mapping[Target, Prompt] = {
    "subquestions": decompose(),
    "rationale": JOINT,
    "gold_rationale": JOINT,
    "answer": DIRECT,
}


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training data."""

    name: str
    """Id of the question and number of the sample, for error messages."""
    question: str
    """Id of the question, which decides whether it is held out."""
    messages: tuple[Message, ...]
    completion: str
    golds: tuple[str, ...] = ()
    """Accepted answers, which the chat must not give away."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("name", "question", "messages", "completion", "golds")


def make_examples(
    traces: Iterable[Trace], role: Role, prompt: Prompt, target: Target
) -> Iterator[Example]:
    """Turn kept traces into examples for one role; those that cannot teach it are left out.

    A decomposer learns to write the parsed subquestions as numbered lines, not the teacher's
    own layout; a solver learns what `target` says, behind the question and its subquestions.
    """
    for trace in traces:
        if unusable(trace, target) or (decomposition := trace.decomposition) is None:
            continue
        steps = () if role == "decomposer" else decomposition.subquestions
        yield Example(
            f"{trace.question.id}#{trace.sample}",
            trace.question.id,
            prompt.render(trace.question, steps),
            _completion(trace, target),
            trace.question.golds,
        )


def unusable(trace: Trace, target: Target) -> str | None:
    """Why a trace cannot teach a target, whatever the filter says; `None` if it can."""
    if trace.decomposition is None:
        return "no decomposition"
    if "rationale" in target and trace.solution is None:
        return "no solution"
    if target in ("gold_rationale", "answer") and trace.question.answer is None:
        return "no gold answer"
    return None


def resolve_target(role: Role, target: Target | None) -> Target:
    """The target asked for, or the role's own.

    Raises:
        ConfigError: The role or target is unknown, or they do not go together.
    """
    if role not in TARGETS:
        raise ConfigError(f"role must be one of {', '.join(TARGETS)}, not {role!r}")
    if target is not None and target not in TARGETS[role]:
        raise ConfigError(
            f"target of a {role} must be one of {', '.join(TARGETS[role])}, not {target!r}"
        )
    return target or TARGETS[role][0]


def _completion(trace: Trace, target: Target) -> str:
    if target == "subquestions" and trace.decomposition:
        return format_subquestions(trace.decomposition.subquestions)
    if target == "rationale" and trace.solution:
        return trace.solution.text
    gold = after_marker(trace.question.answer or "")
    if target == "gold_rationale" and trace.solution:
        return replace_answer(trace.solution.text, gold)
    return format_answer(gold)


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
