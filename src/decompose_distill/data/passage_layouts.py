"""Passages a question is about, and the layouts of DROP and MuSiQue.

HotpotQA, 2WikiMultihopQA, SQuAD and BoolQ have our own names for their fields; only their
passages have a shape of their own.
"""

from typing import Any

from decompose_distill.data.gold_answers import Row, answer_text, of_kind, with_golds
from decompose_distill.errors import DataError

_TEXTS = ("sentences", "paragraph_text", "text", "content", "contents", "paragraph", "passage_text")
"""Fields that hold what a passage says."""
_LISTS = ("contexts", "passages", "paragraphs", "documents")
"""Fields of an object that hold all its passages."""


def passages(value: Any, field: str) -> str | None:
    """A context as one text: passages as `title: text`, with a blank line between them.

    Takes a text, a list of `[title, [sentences]]` as HotpotQA and 2WikiMultihopQA have it, an
    object of lists as these have it on the hub, objects of title and text as MuSiQue has them,
    and a list of texts.

    Raises:
        DataError: It has none of these shapes; names the field.

    Example:
        >>> passages([["Ada", ["Ada was born in 1815.", " She wrote programs."]]], "context")
        'Ada: Ada was born in 1815. She wrote programs.'
        >>> passages({"title": ["Ada"], "sentences": [["She wrote programs."]]}, "context")
        'Ada: She wrote programs.'
    """
    if value is None or isinstance(value, str):
        return value
    texts = [_passage(item, field) for item in _items(value, field)]
    return "\n\n".join(text for text in texts if text) or None


def _items(value: Any, field: str) -> list[Any]:
    """The passages of a list, of an object of lists, or the one that an object is."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise DataError(f"field {field!r} must be text or passages, not {type(value).__name__}")
    for name in _LISTS:
        if isinstance(inside := value.get(name), list):
            return inside
    name = _name_of_text(value, field)
    texts, titles = value[name], value.get("title")
    if not isinstance(texts, list) or isinstance(titles, str):
        return [value]
    if not isinstance(titles, list):
        return texts
    if len(titles) != len(texts):
        raise DataError(f"field {field!r}: {len(titles)} titles for {len(texts)} passages")
    return [{"title": title, name: text} for title, text in zip(titles, texts, strict=True)]


def _passage(value: Any, field: str) -> str:
    match value:
        case str():
            return value
        case [str(title), list(sentences)]:
            return _titled(title, _sentences(sentences, field))
        case list():
            return _sentences(value, field)
        case dict():
            text, head = value[_name_of_text(value, field)], value.get("title")
            return _titled(head if isinstance(head, str) else "", _passage(text, field))
    raise DataError(f"field {field!r} must hold passages, not {type(value).__name__}")


def _titled(title: str, text: str) -> str:
    return f"{title}: {text}" if title and text else text or title


def _sentences(value: list[Any], field: str) -> str:
    if not all(isinstance(sentence, str) for sentence in value):
        raise DataError(f"field {field!r} must hold sentences as text")
    return " ".join(sentence.strip() for sentence in value if sentence.strip())


def _name_of_text(passage: dict[str, Any], field: str) -> str:
    for name in _TEXTS:
        if name in passage:
            return name
    fields = ", ".join(passage) or "(none)"
    raise DataError(f"field {field!r}: a passage needs one of {', '.join(_TEXTS)}; it has {fields}")


def is_drop(row: Row) -> bool:
    """Whether a row has a passage, and DROP's id or its object of an answer."""
    official = "query_id" in row or isinstance(row.get("answer"), dict)
    return official and {"passage", "question"} <= row.keys()


def read_drop(row: Row) -> Row:
    """DROP: number, spans or date; other accepted answers are `validated_answers`.

    Example:
        >>> answer = {"number": "3", "date": {}, "spans": []}
        >>> read_drop({"passage": "P.", "question": "How many?", "query_id": "q", "answer": answer})
        {'question': 'How many?', 'context': 'P.', 'id': 'q', 'answer': ['3']}
    """
    question = {"question": row["question"], "context": row["passage"], "id": row.get("query_id")}
    if "answers_spans" in row:  # as on the hub
        spans = of_kind(row["answers_spans"], dict, "answers_spans")["spans"]
        return with_golds(question, [_spans(spans)], "answers_spans")
    if "answer" not in row:
        return question
    answers = [row["answer"], *_validated(row.get("validated_answers") or [])]
    return with_golds(question, map(_drop_answer, answers), "answer")


def _validated(answers: Any) -> list[Any]:
    """Validated answers; the hub keeps them as an object of lists."""
    if isinstance(answers, list):
        return answers
    names, columns = ("number", "date", "spans"), of_kind(answers, dict, "validated_answers")
    rows = zip(*(of_kind(columns[name], list, name) for name in names), strict=True)
    return [dict(zip(names, answer, strict=True)) for answer in rows]


def _drop_answer(answer: Any) -> str:
    """Number, else spans on lines of their own, else the date as day, month, year."""
    answer = of_kind(answer, dict, "answer")
    if str(answer["number"]).strip():
        return answer_text(answer["number"], "number")
    if answer["spans"]:
        return _spans(answer["spans"])
    date = of_kind(answer["date"], dict, "date")
    parts = [date[part] for part in ("day", "month", "year") if date.get(part)]
    return " ".join(answer_text(part, "date") for part in parts)


def _spans(spans: Any) -> str:
    texts = [of_kind(span, str, "spans") for span in of_kind(spans, list, "spans")]
    return "\n".join(" ".join(text.split()) for text in texts)


def read_drop_dump(row: Row) -> Row:
    """DROP as evaluation harnesses dump it, passage and question in one text.

    Example:
        >>> row = {"context": "Passage: P.\\nQuestion: Who?\\nAnswer:", "ref_text": "Ada|A."}
        >>> read_drop_dump(row)
        {'question': 'Who?', 'context': 'P.', 'id': None, 'answer': ['Ada', 'A.']}
    """
    text, golds = of_kind(row["context"], str, "context"), of_kind(row["ref_text"], str, "ref_text")
    passage, _, rest = text.removeprefix("Passage: ").rpartition("\nQuestion: ")
    question = {"question": rest.removesuffix("\nAnswer:").strip(), "context": passage}
    return with_golds(question | {"id": row.get("id")}, golds.split("|"), "ref_text")


def read_report(row: Row) -> Row:
    """FinQA: a page of a report, which is a table between two texts.

    Example:
        >>> row = {"id": "f", "pre_text": ["Sales rose."], "table": [["2019", "4"]]}
        >>> read_report(row | {"post_text": [], "qa": {"question": "By what?", "answer": "4"}})
        {'question': 'By what?', 'context': 'Sales rose.\\n\\n2019 | 4', 'id': 'f', 'answer': ['4']}
    """
    qa = of_kind(row["qa"], dict, "qa")
    lines = of_kind(row.get("table") or [], list, "table")
    table = "\n".join(" | ".join(map(str, of_kind(cells, list, "table"))) for cells in lines)
    before, after = (passages(row.get(name), name) for name in ("pre_text", "post_text"))
    context = "\n\n".join(text for text in (before, table, after) if text)
    question = {"question": qa["question"], "context": context, "id": row.get("id")}
    gold = qa.get("answer")
    return with_golds(question, [qa.get("exe_ans") if gold in (None, "") else gold], "qa")


def is_narrative(row: Row) -> bool:
    """Whether document and question are objects that hold their texts."""
    return all(isinstance(row.get(name), dict) for name in ("document", "question"))


def read_narrative(row: Row) -> Row:
    """NarrativeQA: asked about the summary of a story.

    Example:
        >>> row = {"document": {"summary": {"text": "Ada won."}}, "question": {"text": "Who won?"}}
        >>> read_narrative(row | {"answers": [{"text": "Ada"}]})
        {'question': 'Who won?', 'context': 'Ada won.', 'answer': ['Ada']}
    """
    summary = of_kind(row["document"]["summary"], dict, "summary")
    question = {"question": row["question"]["text"], "context": summary["text"]}
    answers = of_kind(row.get("answers") or [], list, "answers")
    return with_golds(question, [answer["text"] for answer in answers], "answers")


def read_musique(row: Row) -> Row:
    """MuSiQue: titled paragraphs; an unanswerable twin has no gold.

    Example:
        >>> row = {"question": "Where?", "id": "m", "answer": "London"}
        >>> row["paragraphs"] = [{"title": "Ada", "paragraph_text": "Ada was born in London."}]
        >>> read_musique(row)["answer"], read_musique(row | {"answerable": False}).get("answer")
        (['London'], None)
    """
    question = {"question": row["question"], "context": passages(row["paragraphs"], "paragraphs")}
    if not row.get("answerable", True):
        return question  # nor an id, as its answerable twin has it
    question["id"] = row.get("id")
    if "answer" not in row:
        return question  # the test files are published without
    aliases = of_kind(row.get("answer_aliases") or [], list, "answer_aliases")
    return with_golds(question, [row["answer"], *aliases], "answer")
