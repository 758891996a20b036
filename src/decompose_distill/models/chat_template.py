"""Chats as token ids: the one place, so that training and sampling cannot drift apart."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from decompose_distill.errors import ConfigError
from decompose_distill.types import Message

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
"""Given to tokenizers that bring no chat template, and saved with the student."""

Turns = list[dict[str, Any]]
PROBE = ("system", "user", "assistant")
"""Roles of the chat on which a template is tried."""


def prepare_tokenizer(tokenizer: Any) -> None:
    """Give a Hugging Face tokenizer what it lacks: a chat template, a pad token.

    Raises:
        ConfigError: The tokenizer has no end-of-sequence token, or several chat templates and
            none that is the default.
    """
    if tokenizer.eos_token is None:
        raise ConfigError(f"tokenizer of {tokenizer.name_or_path} has no eos_token: set one")
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    template_text(tokenizer)


def template_text(tokenizer: Any) -> str:
    """The chat template that chats are rendered with, in Jinja.

    Raises:
        ConfigError: There are several, and none is the default.
    """
    template = tokenizer.chat_template
    if not isinstance(template, dict):
        return str(template)
    if "default" not in template:
        raise ConfigError(
            f"tokenizer of {tokenizer.name_or_path} has the chat templates {sorted(template)} and "
            "none named 'default': save one under that name"
        )
    return str(template["default"])


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a chat, up to where the model goes on writing.

    Raises:
        ConfigError: The chat template cannot render the chat, or leaves out a message's text.
    """
    turns = [
        {"role": message.role, "content": neutralize(tokenizer, message.content)}
        for message in messages
    ]
    text = _render(tokenizer, turns)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def end_of_turn(tokenizer: Any) -> int:
    """Id of the token that ends an assistant's turn in the chat template, else the eos token.

    They differ in families that end a turn and a text with tokens of their own, such as Gemma.

    Raises:
        ConfigError: The chat template does not show what an assistant wrote.
    """
    facts = _facts(tokenizer)
    if "end" not in facts.cache:
        chat = probe_chat(PROBE)
        text = render(tokenizer, chat, chat_form(tokenizer, PROBE), add_generation_prompt=False)
        behind = text.rpartition(chat[-1]["content"])[2].lstrip()
        ends = [token for token in facts.control_tokens if behind.startswith(token)]
        facts.cache["end"] = max(ends, key=len, default=facts.eos)
    return int(tokenizer.convert_tokens_to_ids(facts.cache["end"]))


def neutralize(tokenizer: Any, text: str) -> str:
    """Break up control tokens inside data, so that text cannot open or close a turn."""
    return _facts(tokenizer).pattern.sub(lambda match: f"{match[0]} ", text)


def control_tokens(tokenizer: Any) -> frozenset[str]:
    """Texts that this tokenizer reads as one token with a meaning of its own.

    Besides the special ones those are the added tokens that the chat template writes or looks
    for, whatever they are marked as: DeepSeek's `<｜User｜>` is not special.
    """
    return _facts(tokenizer).control_tokens


def controls_among(tokenizer: Any, ids: Sequence[int]) -> Counter[int]:
    """How often each control token is among token ids, by its id."""
    known = _facts(tokenizer).control_ids
    return Counter(token for token in ids if token in known)


def frame_controls(tokenizer: Any, roles: Sequence[str]) -> Counter[int]:
    """The control tokens that the chat template itself writes around turns of these roles."""
    frames = _facts(tokenizer).frames
    if (roles := tuple(roles)) not in frames:
        chat = [Message(role, "x") for role in roles]  # type: ignore[arg-type]
        frames[roles] = controls_among(tokenizer, prompt_ids(tokenizer, chat))
    return frames[roles]


@dataclass(frozen=True, slots=True)
class Form:
    """How a template takes a chat."""

    folded: bool = False
    """The system turn's text stands at the beginning of the first user turn."""
    parts: bool = False
    """The content of a turn is a list of parts, as in templates that also take images."""

    def turns(self, turns: Turns) -> Turns:
        """A chat in this form."""
        if self.folded and len(turns) > 1 and turns[0]["role"] == "system":
            system, first, *rest = turns
            turns = [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
        if self.parts:
            turns = [
                {**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns
            ]
        return turns


FORMS = (Form(), Form(folded=True), Form(parts=True), Form(folded=True, parts=True))
"""In the order in which they are tried."""


def chat_form(tokenizer: Any, roles: Sequence[str]) -> Form:
    """The first form in which the template shows every message of a chat of these roles.

    Raises:
        ConfigError: There is none.
    """
    forms = _facts(tokenizer).forms
    if (roles := tuple(roles)) not in forms:
        forms[roles] = _find_form(tokenizer, roles)
    return forms[roles]


def probe_chat(roles: Sequence[str]) -> Turns:
    """A chat whose texts occur in no template, none within another."""
    return [{"role": role, "content": f"zq{number}qz"} for number, role in enumerate(roles)]


def render(tokenizer: Any, turns: Turns, form: Form, **options: Any) -> str:
    """The chat as text.

    Raises:
        ConfigError: The template cannot render it.
    """
    try:
        return str(tokenizer.apply_chat_template(form.turns(turns), tokenize=False, **options))
    except Exception as error:  # a template may fail in any way
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} cannot render a chat with the turns "
            f"{', '.join(turn['role'] for turn in turns)}: {error}. Use a model with another "
            "template, or set tokenizer.chat_template and save it"
        ) from error


def _render(tokenizer: Any, turns: Turns) -> str:
    form = chat_form(tokenizer, [turn["role"] for turn in turns])
    text = render(tokenizer, turns, form, add_generation_prompt=True)
    if lost := _lost(text, turns):
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} leaves out or changes the text of the "
            f"{lost['role']} turn {lost['content'][:80]!r}: take out what the template reads as "
            "its own, or use a model with another template"
        )
    return text


def _find_form(tokenizer: Any, roles: tuple[str, ...]) -> Form:
    chat, first = probe_chat(roles), None
    for form in FORMS:
        try:
            text = render(tokenizer, chat, form, add_generation_prompt=roles[-1] != "assistant")
            if (lost := _lost(text, chat)) is None:
                return form
            raise ConfigError(
                f"the chat template of {tokenizer.name_or_path} leaves out the text of the "
                f"{lost['role']} turn in a chat with the turns {', '.join(roles)}: the model would "
                "never see it. Use a model with another template, or set tokenizer.chat_template "
                "and save it"
            )
        except ConfigError as error:
            first = first or error
    raise first or ConfigError("a chat has at least one turn")


def _lost(text: str, turns: Turns) -> dict[str, Any] | None:
    """The first turn whose text is not there, blanks aside, which templates may trim."""
    shown = "".join(text.split())
    return next((turn for turn in turns if "".join(turn["content"].split()) not in shown), None)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a tokenizer with one chat template; reading its tokens takes long."""

    template: str
    eos: str
    control_tokens: frozenset[str]
    pattern: re.Pattern[str]
    """The first letter of a control token."""
    control_ids: frozenset[int] = frozenset()
    forms: dict[tuple[str, ...], Form] = field(default_factory=dict)
    frames: dict[tuple[str, ...], Counter[int]] = field(default_factory=dict)
    cache: dict[str, str] = field(default_factory=dict)


_KNOWN: WeakKeyDictionary[Any, _Facts] = WeakKeyDictionary()


def _facts(tokenizer: Any) -> _Facts:
    template, eos = template_text(tokenizer), str(tokenizer.eos_token)
    facts = _KNOWN.get(tokenizer)
    if facts is None or (facts.template, facts.eos) != (template, eos):
        tokens = frozenset(_read_control_tokens(tokenizer, template))
        begins = "|".join(map(re.escape, sorted(tokens))) or "(?!)"
        pattern = re.compile(f"(?={begins}).", re.DOTALL)
        ids = frozenset(tokenizer.convert_tokens_to_ids(sorted(tokens)))
        facts = _KNOWN[tokenizer] = _Facts(template, eos, tokens, pattern, ids)
    return facts


def _read_control_tokens(tokenizer: Any, template: str) -> set[str]:
    added, shown = tokenizer.added_tokens_decoder.values(), template + _sample(tokenizer)
    special = {token.content for token in added if token.special} | {*tokenizer.all_special_tokens}
    used = {token.content for token in added if token.content in shown and _is_mark(token.content)}
    return {token for token in special | used if len(token) > 1}


def _sample(tokenizer: Any) -> str:
    """A chat as the template writes it, where it may put tokens together; empty if it cannot."""
    for form in FORMS:
        with suppress(ConfigError):
            return render(tokenizer, probe_chat(PROBE), form, add_generation_prompt=False)
    return ""


def _is_mark(token: str) -> bool:
    """Whether a token is no mere word or blank, which some tokenizers add too."""
    return not all(sign.isalnum() or sign.isspace() for sign in token)
