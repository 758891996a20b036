"""A student's chat template, made to say by itself what the student is trained on.

What would otherwise depend on the day, on options of a server or on code of ours is written into
the template, which is saved with the student: so training, sampling and any server send the same.
`freeze_template` does it before training, `guard_template` when the student is saved.
"""

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

from decompose_distill.errors import ConfigError
from decompose_distill.models.chat_template import (
    PROBE,
    Form,
    chat_form,
    control_tokens,
    probe_chat,
    render,
    template_text,
)

DIRECTIVES = "aAbBcdeHIjmMpSuUwWxXyYZ"
"""Of `strftime`, as the chat templates that show a date may use them."""

FOLD = (
    "{%- if messages | length > 1 and messages[0]['role'] == 'system'"
    " and messages[0]['content'] is string and messages[1]['content'] is string %}"
    "{%- set messages = [{'role': messages[1]['role'], 'content':"
    " messages[0]['content'] + '\\n\\n' + messages[1]['content']}] + messages[2:] %}{%- endif %}"
)
PARTS = (
    "{%- set chat = namespace(turns=[]) %}{%- for turn in messages %}"
    "{%- set text = turn['content'] %}"
    "{%- set text = [{'type': 'text', 'text': text}] if text is string else text %}"
    "{%- set chat.turns = chat.turns + [{'role': turn['role'], 'content': text}] %}"
    "{%- endfor %}{%- set messages = chat.turns %}"
)
JOIN = (
    "{%- if TEXT and TEXT is not string and TEXT is iterable"
    " and TEXT | selectattr('type', 'equalto', 'text') | list | length == TEXT | length %}"
    "{%- set TEXT = TEXT | map(attribute='text') | join('\\n') %}{%- endif %}"
)
"""Parts of text become one text, as vLLM puts them together."""
GUARD = (
    "{%- set guard = namespace(turns=[], text='') %}{%- for turn in messages %}"
    "{%- set guard.text = turn['content'] %}"
    + JOIN.replace("TEXT", "guard.text")
    + "{%- if guard.text is string %}{%- for begin, tokens in CONTROLS %}"
    "{%- if begin in guard.text %}{%- for token in tokens %}"
    "{%- set guard.text = guard.text | replace(token, begin + ' ' + token[1:]) %}"
    "{%- endfor %}{%- endif %}{%- endfor %}{%- endif %}"
    "{%- if guard.text is string and guard.text != turn['content'] %}"
    "{%- set guard.turns = guard.turns + [{'role': turn['role'], 'content': guard.text}] %}"
    "{%- else %}{%- set guard.turns = guard.turns + [turn] %}{%- endif %}"
    "{%- endfor %}{%- set messages = guard.turns %}"
)
"""A turn's text becomes one text, in which the control tokens are broken up."""
NO_THOUGHTS = "{%- set enable_thinking = false %}"


@dataclass(frozen=True, slots=True)
class FrozenTemplate:
    """What a template was made to say."""

    text: str | None = None
    """The new template; `None` if the tokenizer's own says all that is needed."""
    day: str | None = None
    """The date that it shows from now on, as 2026-11-29; `None` if it shows none."""
    opening: str = ""
    """What it writes between its generation prompt and an answer."""

    def to_json(self) -> dict[str, str | None] | None:
        """As a checkpoint stores it; `None` if nothing was changed."""
        if self.text is None:
            return None
        digest = sha256(self.text.encode()).hexdigest()
        return {"day": self.day, "opening": self.opening, "sha256": digest}


def freeze_template(tokenizer: Any, day: date | None = None) -> FrozenTemplate:
    """Write into a tokenizer's chat template what a student's prompts depend on besides the chat.

    - The date is the one given, not that of each call.
    - Thinking is off where the template knows `enable_thinking`.
    - What the template itself writes between generation prompt and answer, such as an empty
      thought or `<|channel|>final<|message|>`, ends the prompt.
    - A system turn that it would drop is folded into the first user turn; content may be text.

    A frozen template is left as it is.

    Raises:
        ConfigError: The template cannot be rendered, or not be frozen.
    """
    if _FROZEN.get(tokenizer) == template_text(tokenizer):
        return FrozenTemplate()
    frozen = _freeze(tokenizer, day or datetime.now().date())
    if frozen.text is not None:
        _set_template(tokenizer, frozen.text)
    _FROZEN[tokenizer] = template_text(tokenizer)
    return frozen


def guard_template(tokenizer: Any) -> None:
    """Write `neutralize` into a tokenizer's chat template, for servers that know nothing of it.

    Nothing changes for chats that are neutralized already, nor for a template that has it.
    """
    _set_template(tokenizer, guarded_template(tokenizer))


def guarded_template(tokenizer: Any) -> str:
    """The chat template with that."""
    template = template_text(tokenizer)
    groups: dict[str, list[str]] = {}
    for token in sorted(control_tokens(tokenizer), key=lambda token: (-len(token), token)):
        # Twice where it may begin inside another of itself, which breaking one up leaves whole.
        overlaps = any(token.startswith(token[start:]) for start in range(1, len(token)))
        groups.setdefault(token[0], []).extend([token] * (2 if overlaps else 1))
    guard = GUARD.replace("CONTROLS", _quoted(list(groups.items())))
    return template if guard in template else _behind(guard, template)


def _set_template(tokenizer: Any, text: str) -> None:
    named = tokenizer.chat_template
    tokenizer.chat_template = {**named, "default": text} if isinstance(named, dict) else text


_FROZEN: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Templates that need no second look, as rows are many."""


def _freeze(tokenizer: Any, day: date) -> FrozenTemplate:
    template, form = template_text(tokenizer), chat_form(tokenizer, PROBE)
    dated = _shows_date(tokenizer, form, template)
    head = "".join(
        (
            _date_macro(template, day) if dated else "",
            NO_THOUGHTS if _may_think(tokenizer, form) else "",
            FOLD if form.folded else "",
            PARTS if form.parts else "",
        )
    )
    begun = _behind(head, template)
    opening = _opening(tokenizer, begun)
    if not (head or opening):
        return FrozenTemplate()
    tail = f"{{{{ {_quoted(opening)} if add_generation_prompt else '' }}}}" if opening else ""
    text = begun.removesuffix("\n") + tail  # a template's last line break is not rendered
    frozen = FrozenTemplate(text, day.isoformat() if dated else None, opening)
    _check(tokenizer, form, frozen, _behind(_date_macro(template, day), template))
    return frozen


def _behind(head: str, template: str) -> str:
    """A template behind statements of ours: the line break after a statement is not rendered."""
    return f"{head}\n{template}" if head else template


def _quoted(value: object) -> str:
    """A text, or lists of them, as Jinja reads it."""
    return json.dumps(value, ensure_ascii=False)


def _prompt(tokenizer: Any, form: Form, **options: Any) -> str:
    chat = probe_chat(PROBE)[:-1]
    return render(tokenizer, chat, form, add_generation_prompt=True, **options)


def _may_think(tokenizer: Any, form: Form) -> bool:
    off = _prompt(tokenizer, form, enable_thinking=False)
    return off != _prompt(tokenizer, form)


def _shows_date(tokenizer: Any, form: Form, template: str) -> bool:
    days = (date(2001, 2, 3), date(2019, 11, 28))  # they share neither year nor name of a day
    heads = (_date_macro(template, day) for day in days)
    return len({_prompt(tokenizer, form, chat_template=_behind(h, template)) for h in heads}) > 1


def _date_macro(template: str, day: date) -> str:
    """`strftime_now` for one day, at midnight."""
    moment = datetime(day.year, day.month, day.day)
    used = sorted(set(re.findall(r"%-?[a-zA-Z]", template)))
    known = (name for name in used if name[-1] in DIRECTIVES)
    steps = "".join(f" | replace({_quoted(n)}, {_quoted(moment.strftime(n))})" for n in known)
    return f"{{%- macro strftime_now(format) %}}{{{{ format{steps} }}}}{{%- endmacro %}}"


def _opening(tokenizer: Any, template: str) -> str:
    """What stands between generation prompt and answer, where the template writes one itself."""
    *chat, answer = probe_chat(PROBE)
    prompt = render(tokenizer, chat, Form(), chat_template=template, add_generation_prompt=True)
    whole = render(tokenizer, [*chat, answer], Form(), chat_template=template)
    before = whole.rpartition(answer["content"])[0]
    pairs = enumerate(zip(prompt, before, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(prompt), len(before)))
    only_prompt, only_answered = prompt[same:], before[same:]
    if not only_prompt.strip():
        return only_answered if only_answered.strip() else ""  # a mere blank is no opening
    # The prompt opens what an answered turn does not show: it is closed, unless it is already.
    opened = re.findall(r"<(\w+)>", only_prompt)
    return "".join(f"\n</{tag}>\n\n" for tag in opened if f"</{tag}>" not in only_prompt)


def _check(tokenizer: Any, form: Form, frozen: FrozenTemplate, dated: str) -> None:
    """Make sure that the frozen template writes what the tokenizer's own writes on that day."""
    *chat, answer = probe_chat(PROBE)
    for turns, prompt in ((chat, True), ([*chat, answer], False)):
        options: dict[str, Any] = {"add_generation_prompt": prompt}
        own = render(
            tokenizer, turns, form, chat_template=dated, enable_thinking=False, **options
        ) + (frozen.opening if prompt else "")
        ours = render(tokenizer, turns, Form(), chat_template=frozen.text, **options)
        if own != ours:
            raise ConfigError(
                f"the chat template of {tokenizer.name_or_path} cannot be fixed for training: it "
                f"reads {ours!r} in place of {own!r}. Use a model with another template, or set "
                "tokenizer.chat_template and save it"
            )
