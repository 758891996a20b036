"""Chats as token ids: the one place, so that training and sampling cannot drift apart."""

from collections.abc import Sequence
from typing import Any

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


def prepare_tokenizer(tokenizer: Any) -> None:
    """Give a Hugging Face tokenizer what it lacks: a chat template, a pad token.

    Raises:
        ConfigError: The tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token is None:
        raise ConfigError(f"tokenizer of {tokenizer.name_or_path} has no eos_token: set one")
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a chat, up to where the model goes on writing."""
    turns = [
        {"role": message.role, "content": neutralize(tokenizer, message.content)}
        for message in messages
    ]
    text = _render(tokenizer, turns)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def end_of_turn(tokenizer: Any) -> int:
    """Id of the token that ends an assistant's turn in the chat template, else the eos token.

    They differ in families that end a turn and a text with tokens of their own, such as Gemma.
    """
    word = "answered"
    chat = [{"role": "user", "content": "asked"}, {"role": "assistant", "content": word}]
    text = str(tokenizer.apply_chat_template(chat, tokenize=False))
    behind = text.rpartition(word)[2].lstrip()
    ends = [token for token in special_tokens(tokenizer) if behind.startswith(token)]
    return int(tokenizer.convert_tokens_to_ids(max(ends, key=len, default=tokenizer.eos_token)))


def neutralize(tokenizer: Any, text: str) -> str:
    """Break up special tokens inside data, so that text cannot open or close a turn."""
    for token in special_tokens(tokenizer):
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def special_tokens(tokenizer: Any) -> list[str]:
    """Texts that this tokenizer reads as one token with a meaning of its own."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    special = added | set(tokenizer.all_special_tokens)
    return [token for token in special if len(token) > 1]


def _render(tokenizer: Any, turns: list[dict[str, str]]) -> str:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except TemplateError:  # some templates refuse a system turn
        system, *rest = turns
        if system["role"] != "system" or not rest:
            raise
        first = {**rest[0], "content": f"{system['content']}\n\n{rest[0]['content']}"}
        return _render(tokenizer, [first, *rest[1:]])
