"""A small tokenizer, and chat templates with the habits of those that real families have."""

from collections.abc import Sequence
from functools import cache
from typing import Any

CHATML = """\
{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LIST_CONTENT = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}: {% for part in m['content'] %}\
{% if part['type'] == 'image' %}<image>{% elif part['type'] == 'text' %}{{ part['text'] }}\
{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"""

SYSTEM_IGNORED = """\
{% for m in messages %}{% if m['role'] == 'user' %}<|im_start|>user
{{ m['content'] }}<|im_end|>
<|im_start|>assistant
{% elif m['role'] == 'assistant' %}{{ m['content'] }}<|im_end|>
{% endif %}{% endfor %}"""

SYSTEM_REFUSED = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    + CHATML
)

USER_LOST = """\
{% for m in messages if m['role'] != 'user' %}<|im_start|>{{ m['content'] }}<|im_end|>
{% endfor %}"""

ANSWER_LOST = """\
{% for m in messages if m['role'] != 'assistant' %}<|im_start|>{{ m['content'] }}<|im_end|>
{% endfor %}"""

THINKING_OPEN = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}
{% if m['role'] == 'assistant' %}<think>

</think>

{% endif %}{{ m['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""

THINKING_LEFT_OPEN = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}
{{ m['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""

THINKING_BY_CHOICE = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}
{% if m['role'] == 'assistant' and loop.last %}<think>

</think>

{% endif %}{{ m['content'] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}"""

HARMONY = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}{% if m['role'] == 'assistant' %}\
<|channel|>final{% endif %}<|message|>{{ m['content'] }}<|im_end|>{% endfor %}\
{% if add_generation_prompt %}<|im_start|>assistant{% endif %}"""

DATED = (
    """\
{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}\
{% set day = '26 Jul 2024' %}{% endif %}{% macro greet() %}{{ 'Year ' + strftime_now("%Y") }}\
{% endmacro %}Today: {{ day }} {{ greet() }}
"""
    + CHATML
)

MARKS = ("<|im_start|>", "<|im_end|>", "<|channel|>", "<|message|>")


def make_tokenizer(
    template: str | None = CHATML, *, special: Sequence[str] = MARKS, added: Sequence[str] = ()
) -> Any:
    """A byte-level tokenizer that knows no merges: any text survives it."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bytes(),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="<eos>",
        additional_special_tokens=list(special),
        chat_template=template,
    )
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    return tokenizer


def frozen_tokenizer(template: str) -> Any:
    """Such a tokenizer, whose template is as a student saves it."""
    from decompose_distill.models.frozen_template import freeze_template

    tokenizer = make_tokenizer(template)
    freeze_template(tokenizer)
    return tokenizer


def _bytes() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = _alphabet()
    bpe = Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate(letters)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return bpe


@cache
def _alphabet() -> tuple[str, ...]:
    from tokenizers import pre_tokenizers

    return ("<pad>", "<s>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet()))
