r"""Reading the final answer that a model wrote, and writing it back.

What marks an answer: a phrase ("The answer is", in other languages too), GSM8K's `####`, a tag
(`<answer>`), a field of JSON, or a box (`\boxed{}`). The last mark that says something counts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from decompose_distill.errors import ParseError
from decompose_distill.parsing.lines import plain_lines
from decompose_distill.parsing.remarks import is_to_reader
from decompose_distill.parsing.thinking import split_thinking
from decompose_distill.scores.numeric import without_latex

_SIGNS = r"[ \t*_#>`•]"
_BRACKET = r"(?:\s*(?:\([^()\n]{1,60}\)|\[[^\[\]\n]{1,60}\]))?"
_STOP = rf"[*_ ]*(?:[:：=](?!=)|→|⇒|->|=>|[-–—](?=\s)){_SIGNS}*"
_IS = (
    r"(?:,? (?:then|thus|therefore|hence),?)?[*_ ]*\b(?:is|was|are|equals|comes (?:out )?to"
    r"|turns out to be|(?:would|should|must|will) be)\b"
    r"(?:\s+(?:(?:therefore|thus|hence|simply|exactly|indeed|clearly|then|actually|just)\b"
    r"|equal to\b))?"
)
_PHRASE = re.compile(
    rf"(?P<named>(?<![^\W_])(?:(?:(?:the|my|our)\s+)?(?:(?:final|correct|right|short"
    rf"|overall)\s+)*answer|(?:correct|right|best)\s+(?:option|choice))"
    rf"(?:\s+(?:to|for|of)\s+[^\n:.?!]{{1,80}}?)?{_BRACKET}"
    rf"(?:{_STOP}|{_IS}(?P<bare>)(?:{_STOP})?)"
    r"|\b(?:an?|the)\s+(?:final\s+)?answer\s+of\s+(?![^\n]{0,80}\b(?:is|was)\b))"
    rf"|(?P<headed>(?:^|\n){_SIGNS}*(?:(?:the|my|final|correct)\s+)*answer{_BRACKET}[*_ ]*"
    r"(?=\n|\Z|[\d$\"“\\(]|[-−]\d|(?!(?:is|was|are|equals|to|for|of|would|should|must|will)\b)(?-i:[A-Z])|(?:yes|no|true|false)\b)"
    r"|\bfinal\s+answer[*_ ]*(?=\n|\Z|[\d$\"“\\*]|[-−]\d))"
    rf"|(?P<short>(?:^|\n){_SIGNS}*(?:(?:final\s+)?ans(?:wer)?\.?\s*[:：=]|final\s*[:：])\s*)"
    r"|(?P<foreign>(?:最终|最終|最后|正确|所以)?的?答案(?:应该|应|就)?[是为為：:]|(?:^"
    r"|(?<=\n))\s*答[：:]|答え[はが：:]"
    r"|(?:최종\s?)?(?:정답|답)[은는이:]"
    r"|(?:\bla\s+)?\b(?:respuesta|réponse|risposta|resposta)(?:\s+(?:finale?|correct[ae]"
    r"|corretta|correta))?"
    rf"\s*(?:\b(?:es|est|è|é)(?!\w)|{_STOP})(?:{_STOP})?"
    rf"|(?:\bdie\s+)?(?:\b\w{{1,20}}e\s+)?\bantwort\s*(?:\b(?:ist|lautet)\b|{_STOP})(?:{_STOP})?"
    rf"|\blautet\s+die\s+antwort\s+(?:{_STOP})?|\b(?:end)?ergebnis\s*{_STOP}"
    rf"|(?:\bокончательный\s+|\bитоговый\s+|\bправильный\s+)?\bответ\s*(?:\b(?:это|равен)\b"
    rf"|{_STOP})"
    r"|(?:الجواب|الإجابة)(?:\s+(?:النهائي|النهائية|الصحيح|الصحيحة))?\s*(?:هو|هي|[:：])[:：]?"
    rf"|उत्तर\s*(?:है\s*)?[:：]|\bantwoord\s*(?:\bis\b|{_STOP})(?:{_STOP})?|\bcevap\s*{_STOP}"
    rf"|\b(?:đáp án|câu trả lời)(?: (?:cuối cùng|đúng))?\s*(?:là|{_STOP})(?:{_STOP})?"
    rf"|\bodpowiedź\s*(?:\bto\b|{_STOP})"
    rf"|\bsvar(?:et)?\s*(?:\b(?:är|er)\b|{_STOP})(?:{_STOP})?"
    rf"|\b(?:vastaus|válasz|odpověď|răspuns(?:ul)?|відповідь|отговор|απάντηση|jawapan)\s*{_STOP}"
    rf"|\bjawaban(?:nya)?\s*(?:\badalah\b|{_STOP})(?:{_STOP})?|คำตอบ(?:คือ|\s*[:：])"
    rf"|התשובה(?:\s+הסופית)?\s*(?:היא|[:：])[:：]?|(?:پاسخ|جواب)(?:\s+نهایی)?\s*[:：]"
    rf"|উত্তর\s*[:：])"
    r"|(?P<hashes>(?:^|\n|(?<=\s))#{4}(?!#)[^\S\n]*(?=\S))"
    r"|(?P<field>[\"'](?:final_?)?answer[\"']\s?:\s?)",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?:<(?P<close>/)?(?:(?:final[_-]?)?answer|ans|final|(?P<weak>result|solution|response|output))"
    r"(?:\s[^<>]{0,80})?>|\[(?P<shut>/)?ANSWER\])",
    re.IGNORECASE,
)
_TAG_LINE = re.compile(r"</?[\w:-]{1,40}>|\[/?ANSWER\]", re.IGNORECASE)
_CLOSING_TAG = re.compile(r"</[\w-]{1,40}>|\[/ANSWER\]", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s?\{")
_MATH_FENCE = re.compile(r"\\[\[\]()]|\$\$")
_JSON_VALUE = re.compile(
    r"\"(?P<text>(?:[^\"\\\n]|\\.)*)\"|'(?P<quoted>[^'\n]*)'|(?P<bare>[^,}\n\"]+)"
)
# What a last line may say before the answer, where nothing calls it one.
_RESULT = re.compile(
    r"\W*(?:(?:so|thus|hence|therefore),? )?(?:(?:the|our|my) )?(?:final |overall )?"
    r"(?:result|solution|total|sum)(?: (?:is|equals|comes to)\b:?|\s*[:：=])\s*(?=\S)",
    re.IGNORECASE,
)
_HASHES = re.compile(r"\A#{2,6}\s+")
_OPENING = re.compile(r"(?:\\[\[(]|\${1,2}|<\w{1,20}>|\[ANSWER\])\Z")
_SIGNED = re.compile(r"[-+−–]?\$?\d")
_STEP = re.compile(r"(?:step|part|sub-?question|question)\b|\d{1,2}[.)]\s+[^\W\d]", re.IGNORECASE)
_BULLET = re.compile(r"[-*•–]\s+(?=\S)")
_BLANK = " \t\n.:：*_`。$…"
# What "the answer is" says about an answer instead of giving it.
_ABOUT = re.compile(
    r"\s*(?:not\b|n['’]t\b|rounded|correct\b|right\b|wrong\b|incorrect|based\b|given\b|obtained"
    r"|found\b|because"
    r"|that\b|clear\b|as follows|below|above|unique|consistent|reasonable|verified|expressed"
    r"|see\b|(?:as )?(?:given|stated|shown) (?:above|below)|in (?:the|terms)\b"
    r"|an? (?:integer|whole number|positive|exact)|exact\b|supported|derived|independent)",
    re.IGNORECASE,
)
_REFERS = re.compile(r"\W*(?:see|as|given|stated|shown)?\s*(?:above|below)\W*", re.IGNORECASE)
_REASON = re.compile(
    r"(?<=\S)(?:[,;]\s*(?:because|since|given that|which|where|so|but|not|assuming|as (?!well\b"
    r"|of\b|in\b|for\b))\b"
    r"|\s(?:because)\b|(?<=\d)\sas\s(?=[\d$])|\s[-–—]\s+(?:because|since|as)\b|，?因为|، لأن)",
    re.IGNORECASE,
)
_NEXT_SENTENCE = re.compile(
    r"(?<=[.!?。！？])\s*(?:(?<=。)|(?<=！)|(?<=\s))(?=(?:i (?:hope|am)\b|i['’]m|hope\b|this\b"
    r"|that\b|these\b|therefore"
    r"|thus\b|hence\b|so\b|note\b|because|since\b|let me|we\b|it is\b|it['’]s|please|if\b"
    r"|feel free|in other|you\b"
    r"|here\b|explanation|(?:to )?(?:check|verif)|however|the (?:answer|calculation|total|reason"
    r"|final|other)\b"
    r"|both\b|all\b|each\b|there\b|他|她|它|这|因此|所以|希望))",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"(?:\$[^$\n]+\$|\\\([^\n]+?\\\)|[-+−–]?[$€£]?\d[\d,]*(?:\.\d+)?\s?%?|\([A-Za-z]\)|yes|no"
    r"|true|false)"
    r"[.!。]\s+(?=[^\W\d_]\S*\s+\S+\s+\S)",
    re.IGNORECASE,
)
_NUMBER_REMARK = re.compile(
    r"(?P<said>[-+−–]?[$€£]?\d(?:[^()\n]*[^()\n\s=+*/×x-])?)\s*"
    r"\((?P<remark>[^()]*)\)\s*\.?\s*\Z"
)
_REMARK = re.compile(
    r"(?:since|because|as|from|given|assuming|after|i\.e\.)|\d.*[-+*/×÷=]"
    r"|(?!mod|base|rounded (?:\w+ )?to)[a-z]{3,}\b.*\d",
    re.IGNORECASE | re.DOTALL,
)
_COPULA = re.compile(r"(?:です|でした|である|입니다|이다|है|である)[.。।]?\Z")


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a mark of an answer begins, what it marks, and whether it may say something else."""

    start: int
    content: str
    end: int
    weak: bool = False


def parse_answer(text: str) -> str:
    """Read the final answer: what follows the last mark that says something, else the last line.

    Thinking, LaTeX, tokens that end a turn and what a model adds behind an answer are taken off.

    Raises:
        ParseError: The text is empty, or nothing but thinking.

    Example:
        >>> parse_answer("48 / 2 = 24, so 48 + 24 = 72.\\nThe answer is: **72**.")
        '72'
        >>> parse_answer("Thus $\\\\boxed{\\\\frac12}$. I hope it is correct.")
        '1/2'
    """
    lines = plain_lines(split_thinking(text).rest)
    if not lines:
        raise ParseError("empty completion")
    lines = [line for line in lines if not _MATH_FENCE.fullmatch(line)] or lines
    mark = _final_mark("\n".join(lines))
    answer = _cut(mark.content) if mark else _last_line(lines)
    answer = _without_stop(answer)
    plain = without_latex(answer).strip()
    plain = plain if plain == answer else _without_stop(plain)
    return plain or answer or lines[-1]


def replace_answer(text: str, answer: str) -> str:
    """Give a solution another final answer; what led to it stays, without thinking.

    Example:
        >>> replace_answer("48 + 24 = 71.\\nThe answer is: 71.", "72")
        '48 + 24 = 71.\\nThe answer is: 72'
    """
    text = split_thinking(text).rest
    marks = _marks(text)
    mark = _chosen(marks)
    before = text[: _start_of_row(marks, mark)] if mark else text
    before = before.rstrip()
    if opening := _OPENING.search(before, max(len(before) - 24, 0)):
        before = before[: opening.start()]
    return f"{before.rstrip().rstrip('*_`#>').strip()}\n{format_answer(answer)}".strip()


def format_answer(answer: str) -> str:
    """Write the last line of a solution, which `parse_answer` reads.

    Example:
        >>> format_answer("72")
        'The answer is: 72'
    """
    return f"The answer is: {answer.strip()}"


def _final_mark(text: str) -> _Mark | None:
    return _chosen(_marks(text))


def _chosen(marks: Sequence[_Mark]) -> _Mark | None:
    """The last mark that gives an answer; one that may speak about it only if there is no other."""
    saying = [mark for mark in marks if mark.content.strip(_BLANK)]
    return next(
        (mark for mark in reversed(saying) if not mark.weak), saying[-1] if saying else None
    )


def _marks(text: str) -> list[_Mark]:
    marks = [*_phrases(text), *_tags(text), *_boxes(text)]
    return sorted(marks, key=lambda mark: mark.start)


def _phrases(text: str) -> Iterator[_Mark]:
    last = len(_without_closing(text))
    for match in _PHRASE.finditer(text):
        content, end = _line(text, match.end())
        if match["field"]:
            value = _JSON_VALUE.match(text, match.end())
            content = (value["text"] or value["quoted"] or value["bare"] or "") if value else ""
        elif match["hashes"] and not _is_final(content, end >= last):
            continue
        about = match["bare"] is not None and bool(_ABOUT.match(content))
        about = about or bool(_REFERS.fullmatch(content))
        yield _Mark(match.start(), content, end, weak=about)


def _is_final(content: str, is_last: bool) -> bool:
    """Whether `####` marks an answer, as in GSM8K, rather than a heading of Markdown."""
    return not _STEP.match(content) and (is_last or bool(_SIGNED.match(content)))


def _line(text: str, start: int) -> tuple[str, int]:
    """The rest of a line, or if that says nothing the next line that does."""
    end = _line_end(text, start)
    if text[start:end].strip(_BLANK):
        return text[start:end], end
    below = re.compile(r"(?:[\s*_`#:：.]|[-=~]{3,}(?=\n))*").match(text, end)
    start = below.end() if below else end
    end = _line_end(text, start)
    if bullet := _BULLET.match(text, start, end):
        start = bullet.end()
    return text[start:end], end


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _tags(text: str) -> Iterator[_Mark]:
    tags = list(_TAG.finditer(text))
    ends = [tag.start() for tag in tags[1:]]
    ends += [_line_end(text, tag.end()) for tag in tags[-1:]]
    for tag, end in zip(tags, ends, strict=True):
        if tag["close"] or tag["shut"]:
            continue
        lines = [line for line in text[tag.end() : end].splitlines() if line.strip(_BLANK)]
        yield _Mark(tag.start(), lines[-1] if lines else "", end, weak=tag["weak"] is not None)


def _boxes(text: str) -> Iterator[_Mark]:
    if not _BOX.search(text):
        return
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in re.finditer(r"(?<!\\)[{}]", text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            closing[opened.pop()] = brace.start()
    for box in _BOX.finditer(text):
        end = closing.get(box.end() - 1)
        if end is not None:
            yield _Mark(box.start(), text[box.end() : end], end + 1)


def _start_of_row(marks: Sequence[_Mark], mark: _Mark) -> int:
    """Where the marks begin that hold this one, as in "Final Answer: The answer is 42"."""
    start = mark.start
    for before in reversed(marks):
        if before.start < start <= before.end:
            start = before.start
        elif before.start < start:
            break
    return start


def _last_line(lines: Sequence[str]) -> str:
    """The last line that is neither a tag nor spoken to the reader."""
    telling = (line for line in reversed(lines) if not _TAG_LINE.fullmatch(line))
    line = next((line for line in telling if not is_to_reader(line)), lines[-1])
    result = _RESULT.match(line)
    return _HASHES.sub("", line[result.end() :] if result else line)


def _without_closing(text: str) -> str:
    """A text without the last line, where that speaks to the reader."""
    text = text.rstrip()
    before, _, last = text.rpartition("\n")
    return before.rstrip() if is_to_reader(last) else text


def _cut(content: str) -> str:
    """An answer without what a model adds behind it: a reason, a remark, another sentence."""
    content = _CLOSING_TAG.split(content, maxsplit=1)[0].strip()
    if whole := _WHOLE.match(content):
        content = content[: whole.end()].strip()
    if sentence := _NEXT_SENTENCE.search(content):
        content = content[: sentence.start()].strip()
    if reason := _REASON.search(content):
        content = content[: reason.start()].strip()
    number = _NUMBER_REMARK.match(content)
    if number and _REMARK.match(number["remark"]):
        content = number["said"].strip()
    return _COPULA.sub("", content).strip()


def _without_stop(answer: str) -> str:
    answer = re.sub(r"(?<=\S)[.。]\Z", "", answer.strip()).strip()
    emphasized = re.fullmatch(r"([*_])([^*_]+)\1", answer)
    return emphasized[2] if emphasized else answer
