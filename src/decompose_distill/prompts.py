"""Prompts: the object that samples is the object that trains.

The instruction is the system turn; question, context and subquestions are data and stay in
the user turn. The wording is ours; the setting (at most three subquestions, the option "No
decomposition", the last line "The answer is: ") is that of arXiv 2402.15000, section 3.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from decompose_distill.errors import ConfigError, nearest, wrong_kind
from decompose_distill.keys import fingerprint
from decompose_distill.parsing import NO_DECOMPOSITION, format_subquestions
from decompose_distill.types import Message, Question, Subquestion, check_kinds_of

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KNOWN = ("context", "question", "subquestions")
_CONTEXT = "Context: "
_SUBQUESTIONS = "\n\nSubquestions:\n"
_RENDERED = {
    "context": rf"(?:{_CONTEXT}(?P<context>.+)\n\n)?",
    "question": r"(?P<question>.+?)",
    "subquestions": rf"(?:{_SUBQUESTIONS}(?P<subquestions>.+))?",
}
"""How a rendered prompt reads where a template names one of them."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system instruction, a user template and, for a few-shot prompt, worked examples.

    The template may hold `{question}` (required), `{context}` and `{subquestions}`; the last
    two stand for a labelled block, or for nothing if there is none.

    Raises:
        ConfigError: The template lacks `{question}` or names an unknown placeholder.

    Example:
        >>> prompt = Prompt("Split the question.", "{question}")
        >>> prompt.render(Question("Who is older?"))[1].content
        'Who is older?'
    """

    system: str
    """The instruction; empty for no system turn."""
    user: str = "{context}Question: {question}{subquestions}"
    examples: tuple[tuple[str, str], ...] = ()
    """Turns shown before the question: what a user asked, and the answer to imitate."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("system", "user")

    def __post_init__(self) -> None:
        check_kinds_of(self)
        names = _PLACEHOLDER.findall(self.user)
        if "question" not in names:
            raise ConfigError("prompt user template must hold the placeholder {question}")
        for name in names:
            if name not in _KNOWN:
                raise ConfigError(
                    f"prompt user template holds unknown placeholder {{{name}}}; "
                    f"{nearest(name, _KNOWN)}"
                )

    def render(
        self, question: Question, subquestions: Sequence[Subquestion] = ()
    ) -> tuple[Message, ...]:
        """Build the chat for one question.

        Example:
            >>> [message.role for message in JOINT.render(Question("Who is older?"))]
            ['system', 'user']
        """
        system = (Message("system", self.system),) if self.system else ()
        shown = (
            turn
            for question, answered in self.examples
            for turn in (Message("user", question), Message("assistant", answered))
        )
        return (*system, *shown, Message("user", self._ask(question, subquestions)))

    def with_examples(
        self, examples: Iterable[tuple[Question, Sequence[Subquestion], str]]
    ) -> "Prompt":
        """The same prompt with worked examples: question, its subquestions, completion.

        The subquestions are those the model is given, so none for a decomposer.

        Example:
            >>> shown = (Question("Is Ada over 9?"), (), "1. How old is Ada?")
            >>> chat = decompose().with_examples([shown]).render(Question("Who is older?"))
            >>> [message.role for message in chat]
            ['system', 'user', 'assistant', 'user']
        """
        shown = tuple((self._ask(question, steps), text) for question, steps, text in examples)
        return replace(self, examples=(*self.examples, *shown))

    def _ask(self, question: Question, subquestions: Sequence[Subquestion]) -> str:
        steps = format_subquestions(subquestions)
        blocks = {
            "question": question.text,
            "context": f"{_CONTEXT}{question.context}\n\n" if question.context else "",
            "subquestions": f"{_SUBQUESTIONS}{steps}" if subquestions else "",
        }
        # One pass, so that braces inside the data stay data.
        return _PLACEHOLDER.sub(lambda match: blocks[match[1]], self.user)

    def parse(self, text: str) -> tuple[Question, str] | None:
        """Take a user turn of `render` apart: the question, and what its subquestions say.

        `None` if the text is not as the template writes it.

        Example:
            >>> question = Question("Who is older?", context="Ada is 40, Bob 2.")
            >>> COT.parse(COT.render(question)[1].content) == (question, "")
            True
        """
        if sorted(_PLACEHOLDER.findall(self.user)) != sorted(_KNOWN):
            return None
        parts = _PLACEHOLDER.split(self.user)  # literal text and names, in turn
        pattern = (
            _RENDERED[part] if odd % 2 else re.escape(part) for odd, part in enumerate(parts)
        )
        match = re.fullmatch("".join(pattern), text, re.DOTALL)
        if match is None or not match["question"].strip():
            return None
        return Question(match["question"], context=match["context"]), match["subquestions"] or ""

    def to_json(self) -> dict[str, Any]:
        """The prompt as plain data, as a checkpoint stores it.

        Example:
            >>> Prompt.from_json(JOINT.to_json()) == JOINT
            True
        """
        data = fingerprint(self)
        turns = [list(turn) for turn in self.examples]
        return data | ({"examples": turns} if turns else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Prompt":
        """Rebuild a prompt from `to_json`.

        Raises:
            ConfigError: A field is missing or unknown.
        """
        if set(data) - {"examples"} != {"system", "user"}:
            raise ConfigError(
                "a prompt holds exactly 'system' and 'user', and perhaps 'examples', "
                f"not {sorted(data)}"
            )
        turns = data.get("examples", [])
        if not all(len(turn) == 2 for turn in turns):
            raise ConfigError("field 'examples' of a prompt must hold pairs of question and answer")
        examples = tuple((str(question), str(answered)) for question, answered in turns)
        return cls(str(data["system"]), str(data["user"]), examples)


def check_prompt(prompt: object) -> None:
    """Refuse what is no prompt, before it fails inside.

    Raises:
        ConfigError: It is of another type.
    """
    if not isinstance(prompt, Prompt | None):
        raise wrong_kind("prompt", prompt, "a Prompt, as prompts.Prompt('Split the question.')")


def decompose(max_subquestions: int = 3) -> Prompt:
    """The default decomposer prompt, with its cap on the number of subquestions.

    Raises:
        ConfigError: The cap is below 1.

    Example:
        >>> "at most 3" in decompose().system
        True
    """
    if max_subquestions < 1:
        raise ConfigError(f"max_subquestions must be 1 or more, not {max_subquestions}")
    return Prompt(
        f"You split a complex question into at most {max_subquestions} simpler subquestions "
        "whose answers directly help to answer it. Write only the subquestions, one a line, "
        "numbered from 1, and answer none of them. If the question needs no splitting, write "
        f'"{NO_DECOMPOSITION}".'
    )


JOINT = Prompt(
    "You answer a complex question with the help of its subquestions. Answer each subquestion "
    "in order, then use what you found to answer the question itself. "
    'End with a line "The answer is: " followed by the final answer alone.'
)
"""Answer all subquestions, then the question, in one completion (the paper's solver)."""

DIRECT = Prompt(
    "Answer the question in as few words as possible, without explanation. "
    'Write one line, "The answer is: " followed by the answer alone.'
)
"""Answer only, without working."""

COT = Prompt(
    "Think step by step, then answer the question. "
    'End with a line "The answer is: " followed by the final answer alone.'
)
"""Zero-shot chain of thought in one completion, the baseline the paper lacks."""

PLAN_AND_SOLVE = Prompt(
    "First understand the question and write a short plan that divides it into steps. Then carry "
    "the plan out, step by step, with every intermediate result. "
    'End with a line "The answer is: " followed by the final answer alone.'
)
"""Plan and answer in one completion: the method of arXiv 2305.04091, in our words."""
