"""Chats as rows of the forms that other tools train on, written and read back.

The conversational forms of TRL: https://huggingface.co/docs/trl/dataset_formats. Those of
LlamaFactory: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. That of axolotl:
https://docs.axolotl.ai/docs/dataset-formats/conversation.html. A chat ends in the completion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from decompose_distill.errors import DataError
from decompose_distill.prompts import Prompt
from decompose_distill.types import Message, Question

Row = dict[str, Any]
Chat = Sequence[Message]
Format = Literal["trl", "axolotl", "llamafactory", "sharegpt", "alpaca", "hub", "hub-parquet"]

PLAIN = Prompt("")
"""How a question stands in a user turn of ours, with its context and subquestions."""
_ROLES: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
"""Roles by the names that other tools give them."""
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}
"""Roles as ShareGPT names them."""


@dataclass(frozen=True, slots=True)
class ChatForm:
    """A form of rows: the fields it is known by, and how a chat is written and read."""

    fields: tuple[str, ...]
    write: Callable[[Chat], Row]
    read: Callable[[Row], list[Message]]

    def fits(self, row: Row) -> bool:
        """Whether a row has the fields."""
        return all(name in row for name in self.fields)


def turns(chat: Iterable[Message]) -> list[Row]:
    """Messages as plain data."""
    return [{"role": turn.role, "content": turn.content} for turn in chat]


def write_completion(chat: Chat) -> Row:
    """TRL's conversational `prompt` and `completion`: the loss is on the completion only.

    Example:
        >>> write_completion([Message("user", "Who?"), Message("assistant", "Ada")])["completion"]
        [{'role': 'assistant', 'content': 'Ada'}]
    """
    return {"prompt": turns(chat[:-1]), "completion": turns(chat[-1:])}


def read_completion(row: Row) -> list[Message]:
    """Read `prompt` and `completion`, chats or plain texts.

    Example:
        >>> read_completion({"prompt": "Who?", "completion": "Ada"})[1]
        Message(role='assistant', content='Ada')
    """
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return [Message("user", prompt), Message("assistant", completion)]
    return [*_read_turns(row, "prompt"), *_read_turns(row, "completion")]


def write_messages(chat: Chat) -> Row:
    """One chat in `messages`, the completion as its last turn.

    Example:
        >>> write_messages([Message("user", "Who?")])
        {'messages': [{'role': 'user', 'content': 'Who?'}]}
    """
    return {"messages": turns(chat)}


def write_sharegpt(chat: Chat) -> Row:
    """ShareGPT's `conversations`, each turn with `from` and `value`.

    Example:
        >>> write_sharegpt([Message("user", "Who?"), Message("assistant", "Ada")])["conversations"]
        [{'from': 'human', 'value': 'Who?'}, {'from': 'gpt', 'value': 'Ada'}]
    """
    return {
        "conversations": [{"from": _SPEAKERS[turn.role], "value": turn.content} for turn in chat]
    }


def write_alpaca(chat: Chat) -> Row:
    """`instruction`, `input`, `output`, with `system` and `history` if there are any.

    Example:
        >>> write_alpaca([Message("user", "Who?"), Message("assistant", "Ada")])
        {'instruction': 'Who?', 'input': '', 'output': 'Ada'}
    """
    system = [turn.content for turn in chat if turn.role == "system"]
    *past, instruction, answered = (turn.content for turn in chat if turn.role != "system")
    history = [list(pair) for pair in zip(past[::2], past[1::2], strict=True)]
    row: Row = {"instruction": instruction, "input": "", "output": answered}
    return (
        row | ({"system": system[0]} if system else {}) | ({"history": history} if history else {})
    )


def read_alpaca(row: Row) -> list[Message]:
    """Read `instruction`, `input`, `output`.

    With an `input`, the question is in it where only it asks, as the instruction is then the
    task of all rows. Where only the instruction asks, the input is its context. Else both
    together are the question.

    Example:
        >>> row = {"instruction": "Split.", "input": "Is Ada over 9?", "output": "1. Her age?"}
        >>> [turn.content for turn in read_alpaca(row)]
        ['Is Ada over 9?', '1. Her age?']
    """
    instruction, context, system, output = (
        _text(row, name) for name in ("instruction", "input", "system", "output")
    )
    past = [turn for pair in row.get("history", []) for turn in _read_pair(pair)]
    chat = [*past, Message("user", _user_turn(instruction, context)), Message("assistant", output)]
    return [Message("system", system), *chat] if system else chat


def _user_turn(instruction: str, context: str) -> str:
    if not context.strip() or not instruction.strip():
        return instruction if instruction.strip() else context
    if _asks(context) != _asks(instruction):
        question = Question(instruction, context=context)
        return context if _asks(context) else PLAIN.render(question)[-1].content
    return f"{instruction}\n\n{context}"


def _asks(text: str) -> bool:
    return any(mark in text for mark in "?？؟")


def _read_pair(pair: Any) -> list[Message]:
    if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
        raise DataError("field 'history' must hold pairs of texts")
    return [Message("user", pair[0]), Message("assistant", pair[1])]


def _read_turns(row: Row, name: str) -> list[Message]:
    """Turns of `role` and `content`, or of `from` and `value`."""
    if not isinstance(row[name], list):
        raise DataError(f"field {name!r} must be a list, not {type(row[name]).__name__}")
    return [
        _read_turn(turn, f"field {name!r}, turn {number}")
        for number, turn in enumerate(row[name], start=1)
    ]


def _read_turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(turn).__name__}")
    role, content = ("from", "value") if "from" in turn else ("role", "content")
    for name in (role, content):
        if not isinstance(turn.get(name), str) and not (name == "content" and _is_parts(turn)):
            raise DataError(f"{where}: field {name!r} must be str")
    if turn[role].lower() not in _ROLES:
        raise DataError(f"{where}: field {role!r}: {turn[role]!r} is none of {', '.join(_ROLES)}")
    text = turn[content]
    if not isinstance(text, str):
        text = "".join(part["text"] for part in text)
    return Message(_ROLES[turn[role].lower()], text)


def _is_parts(turn: Row) -> bool:
    """Whether the content is a list of parts that all are text."""
    parts = turn.get("content")
    return isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts
    )


def _text(row: Row, name: str) -> str:
    text = row.get(name, "")
    if not isinstance(text, str):
        raise DataError(f"field {name!r} must be str, not {type(text).__name__}")
    return text


COMPLETION = ChatForm(("prompt", "completion"), write_completion, read_completion)
MESSAGES = ChatForm(("messages",), write_messages, lambda row: _read_turns(row, "messages"))
SHAREGPT = ChatForm(
    ("conversations",), write_sharegpt, lambda row: _read_turns(row, "conversations")
)
ALPACA = ChatForm(("instruction", "output"), write_alpaca, read_alpaca)
FORMS = (MESSAGES, COMPLETION, SHAREGPT, ALPACA)
"""In the order in which they are tried on a row."""

WRITTEN: Mapping[Format, ChatForm] = {
    "trl": COMPLETION,
    "axolotl": MESSAGES,
    "llamafactory": MESSAGES,
    "sharegpt": SHAREGPT,
    "alpaca": ALPACA,
    "hub": COMPLETION,
    "hub-parquet": COMPLETION,
}
"""What a row of each format is made of; the two for the hub add the trace itself."""

DATASET_INFO: Mapping[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}
"""How LlamaFactory is told to read `messages`."""
