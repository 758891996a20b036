"""Traces as examples: the chat a student will see, and the text it should write."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from decompose_distill.parsing import format_subquestions
from decompose_distill.prompts import Prompt
from decompose_distill.types import Message, Trace

Role = Literal["decomposer", "solver"]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training data."""

    name: str
    """Id of the question and number of the sample, for error messages."""
    messages: tuple[Message, ...]
    completion: str


def make_examples(traces: Iterable[Trace], role: Role, prompt: Prompt) -> Iterator[Example]:
    """Turn kept traces into examples for one role.

    A decomposer learns to write the parsed subquestions as numbered lines, not the teacher's
    own layout; a solver learns the teacher's words.
    """
    for trace in traces:
        name = f"{trace.question.id}#{trace.sample}"
        if (decomposition := trace.decomposition) is None:
            continue
        if role == "decomposer":
            completion = format_subquestions(decomposition.subquestions)
            yield Example(name, prompt.render(trace.question), completion)
        elif trace.solution is not None:
            messages = prompt.render(trace.question, decomposition.subquestions)
            yield Example(name, messages, trace.solution.text)


def unusable(trace: Trace, role: Role) -> str | None:
    """Why a trace cannot teach a role, whatever the filter says; `None` where it can."""
    if trace.decomposition is None:
        return "no decomposition"
    if role == "solver" and trace.solution is None:
        return "no solution"
    return None
