"""A student's prompt as a server's template: a bare question is rendered as in training.

A chat of one user turn is a question: the instruction and what else the prompt says are added. A
turn that begins as the prompt's own do, and any longer chat, is left as it is, so that a client
which renders the prompt itself, as this library does, sends the same tokens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from decompose_distill.errors import ConfigError
from decompose_distill.models.chat_template import Form, end_of_turn, probe_chat, render
from decompose_distill.models.frozen_template import JOIN, guarded_template
from decompose_distill.prompts import Prompt
from decompose_distill.types import Message, Question

_ASKED = "zqaskedqz"
_CONTEXT = "zqcontextqz"


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a prompt puts around a question in the user's turn."""

    before: str
    behind: str
    beginnings: tuple[str, ...]
    """How a turn begins that the prompt has rendered already."""


def wrapping(prompt: Prompt) -> Wrapping:
    """Read off a prompt what it puts around a question.

    Example:
        >>> from decompose_distill import prompts
        >>> wrapping(prompts.decompose())
        Wrapping(before='Question: ', behind='', beginnings=('Question: ', 'Context: '))
    """
    plain = prompt.render(Question(_ASKED))[-1].content
    with_context = prompt.render(Question(_ASKED, context=_CONTEXT))[-1].content
    before, _, behind = plain.partition(_ASKED)
    beginnings = [before]
    if _CONTEXT in with_context:
        beginnings.append(with_context.partition(_CONTEXT)[0])
    return Wrapping(before, behind, tuple(text for text in dict.fromkeys(beginnings) if text))


def jinja_template(tokenizer: Any, prompt: Prompt) -> str:
    """A chat template in Jinja, for vLLM, llama.cpp and `transformers`.

    Control tokens inside messages are broken up, as `models.chat_template` does it, so that no
    question opens or closes a turn. A question may come as a text or as parts of text.
    """
    *shown, _ = prompt.render(Question(_ASKED))
    turns = ", ".join([*map(_turn, shown), "{'role': 'user', 'content': asked}"])
    return "".join(
        (
            "{%- if messages | length == 1 and messages[0]['role'] == 'user' %}"
            "{%- set asked = messages[0]['content'] %}",
            JOIN.replace("TEXT", "asked"),
            "{%- if asked is string %}",
            _wrapped_in_jinja(wrapping(prompt)),
            f"{{%- set messages = [{turns}] %}}{{%- endif %}}{{%- endif %}}\n",
            guarded_template(tokenizer),
        )
    )


def _turn(message: Message) -> str:
    return f"{{'role': '{message.role}', 'content': {_quoted(message.content)}}}"


def _wrapped_in_jinja(around: Wrapping) -> str:
    parts = [_quoted(around.before), "asked", _quoted(around.behind)]
    change = f"{{%- set asked = {' + '.join(part for part in parts if part != _quoted(''))} %}}"
    if not (around.before or around.behind):
        return ""
    known = " or ".join(f"asked.startswith({_quoted(text)})" for text in around.beginnings)
    known = known or f"asked.endswith({_quoted(around.behind)})"
    return f"{{%- if not ({known}) %}}{change}{{%- endif %}}"


def go_template(tokenizer: Any, prompt: Prompt) -> str:
    """A prompt template as Ollama reads it, for one question and its answer.

    A beginning-of-sequence token that Ollama adds by itself is left out.

    Raises:
        ConfigError: The chat template does more with a chat than putting text around it, or the
            prompt puts text behind a question alone, by which Go's templates cannot tell whether
            a client has rendered it already.
    """
    messages = prompt.render(Question(_ASKED))
    head, _, tail = _render(tokenizer, messages).partition(messages[-1].content)
    if adds_bos(tokenizer):
        head = head.removeprefix(tokenizer.bos_token)
    system = prompt.system and messages[0].content
    if system and head.count(system) != 1:
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} cannot be written for Ollama: it "
            "changes the system turn. Serve the student with vLLM or llama.cpp"
        )
    before, mark, behind = head.partition(system) if system else (head, "", "")
    shown = "{{ .System }}" if mark else ""
    answered = f"{{{{ .Response }}}}{_literal(ending(tokenizer))}"
    question = _wrapped_in_go(wrapping(prompt))
    return f"{_literal(before)}{shown}{_literal(behind)}{question}{_literal(tail)}{answered}"


def _render(tokenizer: Any, messages: Sequence[Message]) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    return render(tokenizer, turns, Form(), add_generation_prompt=True)


def ending(tokenizer: Any) -> str:
    """The token that ends an answer."""
    return str(tokenizer.convert_ids_to_tokens(end_of_turn(tokenizer)))


def _wrapped_in_go(around: Wrapping) -> str:
    if not around.beginnings and around.behind:
        raise ConfigError(
            f"a prompt that has text behind the question alone, {around.behind!r}, cannot be "
            "written for Ollama. Serve the student with vLLM or llama.cpp"
        )
    wrapped = f"{_literal(around.before)}{{{{ .Prompt }}}}{_literal(around.behind)}"
    if not around.beginnings:
        return wrapped
    known = " ".join(f"({_begins(text)})" for text in around.beginnings)
    known = f"or {known}" if len(around.beginnings) > 1 else known
    return f"{{{{ if {known} }}}}{{{{ .Prompt }}}}{{{{ else }}}}{wrapped}{{{{ end }}}}"


def _begins(text: str) -> str:
    """Go's templates have no function for it; they count bytes."""
    size = len(text.encode())
    return f"and (ge (len .Prompt) {size}) (eq (slice .Prompt 0 {size}) {_quoted(text)})"


def _literal(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


def _quoted(text: str) -> str:
    """A string as Jinja and Go read it."""
    return json.dumps(text, ensure_ascii=False)


def adds_bos(tokenizer: Any) -> bool:
    """Whether the beginning-of-sequence token, by which chats begin, is the tokenizer's to add.

    Servers add it then to what they render without it; where a template alone writes it, it is
    the template's.
    """
    chat = probe_chat(("system", "user"))
    text = render(tokenizer, chat, Form(), add_generation_prompt=True)
    own = tokenizer.bos_token and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    return bool(own) and text.startswith(tokenizer.bos_token)
