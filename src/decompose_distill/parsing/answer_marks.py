"""The marks of a final answer: phrases of many languages, `####`, tags, JSON fields and boxes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from decompose_distill.parsing.remarks import is_to_reader

_SIGNS = r"[ \t*_#>`•]"
_BRACKET = r"(?:\s*(?:\([^()\n]{1,60}\)|\[[^\[\]\n]{1,60}\]))?"
_STOP = r"[*_ ]*(?:[:：=](?!=)|→|⇒|->|=>|[-–—](?=\s))[ \t*_#`•]*"
_IS = (
    r"(?:,? (?:then|thus|therefore|hence),?)?[*_ ]*\b(?:is|was|are|equals|comes (?:out )?to"
    r"|(?:turns out|appears|seems|works out) to be|works out to|(?:would|should|must|will) be)\b"
    r"(?:\s+(?:(?:therefore|thus|hence|simply|exactly|indeed|clearly|then|actually|just)\b"
    r"|equal to\b)|,\s(?:[a-z]+\s){0,3}[a-z]+,)?"
)
_PHRASE = re.compile(
    rf"(?P<named>(?<![^\W_])(?:(?:(?:the|my|our)\s+)?(?:(?:final|correct|right|short"
    rf"|overall|numerical)\s+)*(?:answer|ans\b)|(?:correct|right|best|my)\s+(?:option|choice))"
    r"(?:\s+(?:to|for|of|i|you|we|they|that)\s+[^\n:.?!]{1,80}?"
    rf"(?:[\"“][^\"”\n]{{1,160}}[\"”])?|\s?#?\d{{1,2}}(?=\s?[:：]\s))?{_BRACKET}"
    rf"(?:{_STOP}|{_IS}(?P<bare>)(?:{_STOP})?)"
    r"|\b(?:an?|the)\s+(?:final\s+)?answer\s+of\s+(?![^\n]{0,80}\b(?:is|was)\b))"
    rf"|(?P<headed>(?:^|\n){_SIGNS}*(?:(?:the|my|final|correct)\s+)*answer{_BRACKET}[*_ ]*"
    r"(?!\d{1,2}\s?[:：]\s)(?=\n|\Z|[\d$\"“\\(]|[-−]\d|(?!(?:is|was|are|equals|to|for|of|would|should|must|will)\b)(?-i:[A-Z])|(?:yes|no|true|false)\b)"
    r"|\bfinal\s+answer[*_ ]*(?=\n|\Z|[\d$\"“\\*]|[-−]\d))"
    rf"|(?P<short>(?:^|\n){_SIGNS}*(?:(?:final\s+)?ans(?:wer)?\.?\s*[:：=]|ans\.\s*(?=\d)"
    r"|yes\s?/\s?no\s*[:：]|(?:correct|right)\s*[:：](?=\s*\(?[A-J]\)?\W*(?:\n|\Z))"
    r"|the answer['’]s\s|final\s*[:：])\s*)"
    r"|(?P<foreign>(?:最终|最終|最后|正确|所以)?的?答案(?:应该|应|就)?[是为為：:】]|(?:^"
    r"|(?<=\n))[^\S\n]*(?:答|解答|回答|正解|結論|结论|最[终終]结果)[：:]|(?:答え|正解)[はが：:]"
    r"|(?:[故应應]|答案|\n|\A)选(?:择|項|项)?[：:]?\s*(?=[(（]?[A-H])"
    r"|(?:최종\s?)?(?:정답|답)[은는이:]"
    r"|(?:\bla\s+)?\b(?:respuesta|réponse|risposta|resposta)(?:\s+(?:finale?|correct[ae]"
    r"|corretta|correta))?"
    r"\s*(?:\b(?:es|est|è|é)(?!\w)(?:\s(?:donc|alors|entonces|quindi|portanto|então)\b)?"
    rf"|{_STOP})(?:{_STOP})?"
    rf"|(?:\bdie\s+)?(?:\b\w{{1,20}}e\s+)?\bantwort\s*(?:\b(?:ist|lautet)\b(?:\s(?:also|somit|daher)\b)?|{_STOP})(?:{_STOP})?"
    rf"|\blautet\s+die\s+antwort\s+(?:{_STOP})?|\b(?:end)?ergebnis\s*{_STOP}"
    rf"|(?:\bокончательный\s+|\bитоговый\s+|\bправильный\s+)?\bответ(?:ом)?\s*(?:\b(?:это|равен|является)\b"
    rf"|{_STOP})"
    r"|(?:الجواب|الإجابة)(?:\s+(?:النهائي|النهائية|الصحيح|الصحيحة))?\s*(?:هو|هي|[:：])[:：]?"
    r"|उत्तर\s*(?:(?:है\s*)?[:：]|(?=[\d०-९]))|(?:பதில்|விடை|సమాధానం)\s*[:：]|\bjibu\s*(?:[:：]|\bni\b)"
    rf"|\bantwoord\s*(?:\bis\b|{_STOP})(?:{_STOP})?|\b(?:cevap|yanıt|đáp số|kết quả|sagot"
    rf"|итого|resultado(?: final)?|résultat|risultato|wynik|sonuç)\s*{_STOP}"
    rf"|\b(?:đáp án|câu trả lời)(?: (?:cuối cùng|đúng))?\s*(?:là|{_STOP})(?:{_STOP})?"
    rf"|\bodpowiedź(?:\s(?:końcowa|ostateczna))?\s*(?:\bto\b|{_STOP})"
    rf"|\bsvar(?:et)?\s*(?:\b(?:är|er)\b|{_STOP})(?:{_STOP})?"
    r"|\b(?:vastaus|válasz|odpověď|răspuns(?:ul)?|відповідь|отговор|απάντηση|jawapan|odgovor"
    rf"|одговор)\s*(?:\b(?:on|je|este|є|е|είναι|ialah|adalah)\b|{_STOP})(?:{_STOP})?"
    rf"|\bjawaban(?:nya)?\s*(?:\badalah\b|{_STOP})(?:{_STOP})?|คำตอบ(?:คือ|\s*[:：])"
    rf"|ה?תשובה(?:\s+הסופית)?\s*(?:היא|[:：])[:：]?|(?:پاسخ|جواب)(?:\s+نهایی)?\s*[:：]"
    r"|উত্তর\s*(?:[:：]|হ(?:লো|ল|বে)\b))"
    r"|(?P<hashes>(?:^|\n|(?<=\s))#{4}(?!#)[^\S\n]*(?=\S))"
    r"|(?P<field>[\"'](?:final_?)?answer[\"']\s?:\s?(?:\[\s*(?=[^,\]\[{}]*\])|\{\s*[\"']\w{1,20}[\"']\s?:\s?)?"
    r"|(?<!\w)final_answer\(\s*(?=[^()\n]{1,80}\)))",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"(?:<(?P<close>/)?(?:(?:final[_-]?)?answer|ans|final|(?P<weak>result|solution|response|output))"
    r"(?:\s[^<>]{0,80})?>|\[(?P<shut>/)?ANSWER\])",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s?\{")
_JSON_VALUE = re.compile(
    r"\"(?P<text>(?:[^\"\\\n]|\\.)*)\"|'(?P<quoted>[^'\n]*)'|(?P<bare>[^,}\])\n\"]+)"
)
# An answer before what calls it one: "58 is the answer", "Option B is correct".
_OPTION = r"[*_(（\[]{0,3}[A-J][*_)）\]]{0,3}"
_VALUE = (
    rf"(?:\*\*[^*\n]{{1,60}}\*\*|\"[^\"\n]{{1,60}}\"|[-+−–]?[$€£¥₹]?\d[\d,./:]{{0,30}}(?<=\d)%?(?:\s[a-z]{{1,12}})?"
    rf"|(?:(?:option|choice)\s)?(?-i:{_OPTION}))"
)
_SENTENCE_START = r"(?:^|(?<=\n)|(?<=[.!?]\s))[ \t>*_]{0,6}(?:(?:so|thus|therefore|hence|and),?\s)?"
_NAMED = re.compile(
    rf"{_SENTENCE_START}(?:(?P<value>{_VALUE})\s(?:is|are|was)\s(?:"
    r"(?:therefore\s|thus\s)?(?:the|our|my)\s(?:(?:final|correct|right|best)\s)*(?:answer|option|choice)"
    rf"|(?P<weak>correct|right))|(?:i|we|that|this|which)\s(?:get|got|obtain|gives?|gave|yields?)\s"
    rf"(?:(?:us|me)\s)?(?P<got>{_VALUE})\sas\s(?:the|my|our)\s"
    r"(?:final\s)?answer|i(?:['’]ll|['’]d|\swould|\swill)?\s(?:choose|pick|select|go\swith)\s"
    rf"(?P<chosen>(?:(?:option|choice)\s)?(?-i:{_OPTION})))[*_]{{0,2}}(?=[.!]?\s*(?:\n|\Z))",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"[-+−–]?\$?\d")
_STEP = re.compile(r"(?:step|part|sub-?question|question)\b|\d{1,2}[.)]\s+[^\W\d]", re.IGNORECASE)
_BULLET = re.compile(r"[-*•–>]\s+(?=\S)")
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
_BEFORE_OTHERS = 1000
"""Characters read behind a mark that others follow on its line: each would read all of it."""
_REFERS = re.compile(r"\W*(?:see|as|given|stated|shown)?\s*(?:above|below)\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a mark of an answer begins, what it marks, and whether it may say something else."""

    start: int
    content: str
    end: int
    weak: bool = False


def chosen_mark(marks: Sequence[Mark]) -> Mark | None:
    """The last mark that gives an answer; one that may speak about it only if there is no other."""
    saying = [mark for mark in marks if mark.content.strip(_BLANK)]
    return next(
        (mark for mark in reversed(saying) if not mark.weak), saying[-1] if saying else None
    )


def answer_marks(text: str) -> list[Mark]:
    """All marks of a text, in the order in which they begin.

    Example:
        >>> [mark.content for mark in answer_marks("The answer is: 5\\n#### 6")]
        ['5', '6']
    """
    marks = [*_phrases(text), *_named(text), *_tags(text), *_boxes(text)]
    return sorted(marks, key=lambda mark: mark.start)


def _phrases(text: str) -> Iterator[Mark]:
    last, line_end = len(_without_closing(text)), -1
    matches = list(_PHRASE.finditer(text))
    for match, after in zip_longest(matches, matches[1:]):
        if line_end < match.end():  # else it is on the line of the mark before
            line_end = _line_end(text, match.end())
        most = _BEFORE_OTHERS if after and after.start() < line_end else len(text)
        content, end = _line(text, match.end(), line_end, most)
        if match["field"]:
            value = _JSON_VALUE.match(text, match.end())
            content = (value["text"] or value["quoted"] or value["bare"] or "") if value else ""
        elif match["hashes"] and not _is_final(content, end >= last):
            continue
        about = match["bare"] is not None and bool(_ABOUT.match(content))
        if about and content.rstrip().endswith((":", "：")):  # "is as follows:"
            content, end = _line(text, end, _line_end(text, end), most)
        about = about or bool(_REFERS.fullmatch(content))
        yield Mark(match.start(), content, end, weak=about)


def _named(text: str) -> Iterator[Mark]:
    """Answers that stand before the words that mark them."""
    for match in _NAMED.finditer(text):
        value = match["value"] or match["got"] or match["chosen"]
        yield Mark(match.start(), value, match.end(), weak=match["weak"] is not None)


def _is_final(content: str, is_last: bool) -> bool:
    """Whether `####` marks an answer, as in GSM8K, rather than a heading of Markdown."""
    return not _STEP.match(content) and (is_last or bool(_SIGNED.match(content)))


def _line(text: str, start: int, end: int, most: int) -> tuple[str, int]:
    """The rest of a line up to its end, or if that says nothing the next line that does."""
    if (content := text[start : min(end, start + most)]).strip(_BLANK):
        return content, end
    below = re.compile(r"(?:[\s*_`#:：.]|[-=~]{3,}(?=\n))*").match(text, end)
    start = below.end() if below else end
    end = _line_end(text, start)
    if bullet := _BULLET.match(text, start, end):
        start = bullet.end()
    return text[start : min(end, start + most)], end


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _tags(text: str) -> Iterator[Mark]:
    tags = list(_TAG.finditer(text))
    ends = [tag.start() for tag in tags[1:]]
    ends += [_line_end(text, tag.end()) for tag in tags[-1:]]
    for tag, end in zip(tags, ends, strict=True):
        if tag["close"] or tag["shut"]:
            continue
        lines = [line for line in text[tag.end() : end].splitlines() if line.strip(_BLANK)]
        yield Mark(tag.start(), lines[-1] if lines else "", end, weak=tag["weak"] is not None)


def _boxes(text: str) -> Iterator[Mark]:
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
            yield Mark(box.start(), text[box.end() : end], end + 1)


def start_of_row(marks: Sequence[Mark], mark: Mark) -> int:
    """Where the marks begin that hold this one, as in "Final Answer: The answer is 42"."""
    start = mark.start
    for before in reversed(marks):
        if before.start < start <= before.end:
            start = before.start
        elif before.start < start:
            break
    return start


def _without_closing(text: str) -> str:
    """A text without the last line, where that speaks to the reader."""
    text = text.rstrip()
    before, _, last = text.rpartition("\n")
    return before.rstrip() if is_to_reader(last) else text
