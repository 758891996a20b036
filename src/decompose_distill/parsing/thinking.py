"""Splitting what a model thought aloud off what it said, and taking off the tokens of its turn.

Spellings are those of the models' own templates: tags (`<think>`, Magistral's `[THINK]`, Kimi's
`◁think▷`, Command's `<|START_THINKING|>`), the channels of gpt-oss, with or without their special
tokens, and the sentences of Granite and of Ollama's console.
"""

import re
from typing import NamedTuple

_TAGS = (
    r"think(?:ing)?|thoughts?|thought_process|reasoning|reflection|scratchpad|analysis|planning"
    r"|chain_of_thought|inner_monologue|internal_monologue|antthinking|rationale|cot"
    r"|monologue|brainstorm(?:ing)?|deliberation|hidden_reasoning"
)
_FOLDED = r"(?:my |model )?(?:think|thought|reasoning|chain[- ]of[- ]thought|思考)"
_FOLD_END = r"</details>"
"""Ends what was opened as thinking, but other parts of a text too: alone it tells nothing."""
_SPELLINGS = (
    *((rf"<\s?{tag}(?:\s[^<>]{{0,80}})?>", rf"<\s?/\s?{tag}\s*>") for tag in _TAGS.split("|")),
    (r"\[(?:THINK(?:ING)?|REASONING)\]", r"\[/(?:THINK(?:ING)?|REASONING)\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (
        r"<\|(?:think(?:ing)?|thoughts?|reasoning)\|>",
        r"<\|/(?:think(?:ing)?|thoughts?|reasoning)\|>",
    ),
    (
        r"<\|(?:think(?:ing)?|thoughts?|reasoning)_(?:begin|start)\|>",
        r"<\|(?:think(?:ing)?|thoughts?|reasoning)_end\|>",
    ),
    (r"<[a-z]{1,12}[_:-]think(?:ing)?>", r"</[a-z]{1,12}[_:-]think(?:ing)?>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"<unused94>thought", r"<unused95>"),
    (r"Here is my thought process:", r"Here is my response:"),
    (r"\AThinking\.\.\.(?=\n)", r"\.\.\.done thinking\."),
    (
        rf"<details[^<>]{{0,40}}>\s{{0,9}}<summary>[^\w<>]{{0,9}}{_FOLDED}[^<>]{{0,40}}</summary>",
        _FOLD_END,
    ),
)
"""What opens and what closes a block."""
_MARKS = "|".join(
    f"(?P<opening{kind}>{opening})|(?P<closing{kind}>{closing})"
    for kind, (opening, closing) in enumerate(_SPELLINGS)
)
_MARK = re.compile(rf"(?=[<\[◁.HT])(?:{_MARKS})", re.IGNORECASE)
_QUOTES = tuple("`\"'“”‘’")
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(analysis|commentary|final)\b[^<\n]{0,200}"
    r"(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# The same where a tokenizer dropped the special tokens: "analysisFirst … assistantfinal1. …".
_BARE_ANALYSIS = re.compile(r"\A\s*(?:assistant)?analysis(?=[^\sa-z:.,;-]|\n)")
_BARE_FINAL = re.compile(r"\A\s*final(?=[^\s_a-z:.,;-])")
_BARE_SWITCH = "assistantfinal"

_TOKEN = (
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>|</?s>|<(?:bos|eos|pad|unk|eod|sep)>|<(?:start|end)_of_turn>"
    r"|<end_of_utterance>|<turn\||<\|turn>|\[/?INST\]|\[EOS\]|\[\|[a-z_]{1,20}\|\]"
    r"|<extra_id_\d{1,3}>"
)
_TURN_START = re.compile(rf"\A(?:\s*(?:{_TOKEN})(?:assistant\b|model\b)?)+", re.IGNORECASE)
# A token that stands like a word inside a sentence is spoken of.
_TURN_END = re.compile(
    rf"(?:(?<=[^\s`\"'“‘(])(?:{_TOKEN})|(?:{_TOKEN})[^\S\n]*(?=\n|\Z|{_TOKEN})"
    r"|(?<=\n)\[INST\]).*",
    re.IGNORECASE | re.DOTALL,
)
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


class SplitText(NamedTuple):
    """What a model thought aloud, what it said, and whether the thinking came to an end."""

    reasoning: str
    """The thinking, without its marks; empty if there is none."""
    rest: str
    """What was said to the reader, without tokens that end a turn."""
    closed: bool = True
    """False if the text ends inside the thinking, so that `rest` may be empty."""


def split_thinking(text: str) -> SplitText:
    """Split thinking, in any of its spellings, off the text that a model said.

    A lone closing mark ends a block that the prompt has opened: all before it is thinking.

    Example:
        >>> split_thinking("<think>Ada? Bob?</think>1. How old is Ada?<|im_end|>")
        SplitText(reasoning='Ada? Bob?', rest='1. How old is Ada?', closed=True)
        >>> split_thinking("<think>Ada? Bo")
        SplitText(reasoning='Ada? Bo', rest='', closed=False)
    """
    reasoning, rest, closed = _split_channels(text) or _split_bare_channels(text) or _split(text)
    return SplitText(reasoning.strip(), without_turn_tokens(rest), closed)


def without_turn_tokens(text: str) -> str:
    """Take off the tokens that begin and end a turn, and all that follows its end.

    Example:
        >>> without_turn_tokens("<|im_start|>assistant\\nLisbon.<|im_end|>\\n<|im_start|>user")
        'Lisbon.'
    """
    text = _TURN_END.sub("", _TURN_START.sub("", text), count=1).rstrip()
    return _BLANK_LINES.sub("", text) if "\n" in text.lstrip() else text.lstrip()


def _split_channels(text: str) -> SplitText | None:
    """The channels of gpt-oss: only `final` is for the reader."""
    heads = list(_CHANNEL.finditer(text))
    if not heads:
        return None
    ends = [*(head.start() for head in heads[1:]), len(text)]
    parts: dict[str, list[str]] = {"final": [], "other": [text[: heads[0].start()]]}
    for head, end in zip(heads, ends, strict=True):
        body = text[head.end() : end]
        channel = "final" if head[1] == "final" else "other"
        parts[channel].append(_CHANNEL_END.split(body, maxsplit=1)[0])
    other = [without_turn_tokens(part) for part in parts["other"]]
    return SplitText(_joined(other), _joined(parts["final"]), bool(parts["final"]))


def _split_bare_channels(text: str) -> SplitText | None:
    before, switch, final = text.rpartition(_BARE_SWITCH)
    if switch:
        return SplitText(_BARE_ANALYSIS.sub("", before), final)
    if analysis := _BARE_ANALYSIS.match(text):
        return SplitText(text[analysis.end() :], "", closed=False)
    if final_head := _BARE_FINAL.match(text):
        return SplitText("", text[final_head.end() :])
    return None


def _split(text: str) -> SplitText:
    """Blocks between an opening and a closing mark of one kind, also one inside another."""
    parts: list[tuple[bool, str]] = []
    start, depth, kind, answer = 0, 0, "", 0
    for mark in _MARK.finditer(text):
        role, mark_kind = (mark.lastgroup or "")[:7], (mark.lastgroup or "")[7:]
        if _is_quoted(text, mark) or (depth and mark_kind != kind):
            continue
        part, start = text[start : mark.start()], mark.end()
        parts.append((depth > 0, part))
        if role == "opening":
            # A block that both prompt and model opened is one block.
            depth, kind = depth + (depth == 0 or bool(part.strip())), mark_kind
        elif depth:
            depth -= 1
        elif mark[0].lower() != _FOLD_END:
            answer = len(parts)  # all before a lone closing mark is thinking
    parts.append((depth > 0, text[start:]))
    reasoning = [part.strip() for i, (thought, part) in enumerate(parts) if thought or i < answer]
    rest = [part for thought, part in parts[answer:] if not thought]
    return SplitText(_joined(reasoning), _joined(rest), not depth)


def _is_quoted(text: str, mark: re.Match[str]) -> bool:
    """Whether a mark is only spoken of."""
    before, after = text[max(mark.start() - 1, 0) : mark.start()], text[mark.end() : mark.end() + 1]
    return before in _QUOTES and after in _QUOTES


def _joined(parts: list[str]) -> str:
    return "\n".join(part.strip("\n").rstrip() for part in parts if part.strip())
