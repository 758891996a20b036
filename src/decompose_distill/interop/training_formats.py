"""Examples as rows of the forms that other tools train on.

The conversational forms of TRL: https://huggingface.co/docs/trl/dataset_formats. Those of
LlamaFactory: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. That of axolotl:
https://docs.axolotl.ai/docs/dataset-formats/conversation.html.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from decompose_distill.training.data.examples import Example
from decompose_distill.types import Message

Row = dict[str, Any]
Format = Literal["trl", "axolotl", "llamafactory", "alpaca", "hub", "hub-parquet"]


def prompt_completion(example: Example) -> Row:
    """TRL's conversational `prompt` and `completion`: the loss is on the completion only."""
    return {"prompt": turns(example.messages), "completion": turns([_said(example)])}


def messages(example: Example) -> Row:
    """One chat in `messages`, the completion as its last turn."""
    return {"messages": turns([*example.messages, _said(example)])}


def alpaca(example: Example) -> Row:
    """`instruction`, `input`, `output`, with `system` and `history` where there are any."""
    system = [turn.content for turn in example.messages if turn.role == "system"]
    asked = [turn.content for turn in example.messages if turn.role != "system"]
    row: Row = {"instruction": asked[-1], "input": "", "output": example.completion}
    history = [list(pair) for pair in zip(asked[:-1:2], asked[1:-1:2], strict=True)]
    return (
        row
        | ({"system": system[0]} if system else {})
        | ({"history": history} if asked[:-1] else {})
    )


ROWS: Mapping[Format, Callable[[Example], Row]] = {
    "trl": prompt_completion,
    "axolotl": messages,
    "llamafactory": messages,
    "alpaca": alpaca,
    "hub": prompt_completion,
    "hub-parquet": prompt_completion,
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


def turns(chat: Iterable[Message]) -> list[Row]:
    """Messages as plain data."""
    return [{"role": turn.role, "content": turn.content} for turn in chat]


def _said(example: Example) -> Message:
    return Message("assistant", example.completion)
