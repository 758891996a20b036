"""The published layouts of datasets, known by the fields of a row."""

from typing import Any

from decompose_distill.errors import DataError
from decompose_distill.storage.jsonl import typed

Row = dict[str, Any]
_OTHERWISE = 'of a file of your own, name the fields: fields={"question": ..., "answer": ...}'


def normalize_row(row: Row, where: str) -> Row:
    """Bring a row of a known layout to `question`, `answer`, `aliases`, `context`, `id`.

    Raises:
        DataError: No known layout fits, or a field of it is malformed.

    Example:
        >>> row = {"question": "How many?", "answer": "9 * 2 = 18\\n#### 18"}
        >>> normalize_row(row, "questions.jsonl:1")["answer"]
        '18'
    """
    try:
        if "passage" in row and "question" in row:
            typed(row, "answer", dict, where)
            return _drop(row)
        if "ref_text" in row:
            return _drop_dump(row)
        if "Question" in row and "Answer" in row:
            return _with_aliases({"question": row["Question"]}, [row["Answer"], *row.get("A2", [])])
        if "paragraphs" in row:
            _each_typed(row, "paragraphs", where)
            return _musique(row)
    except KeyError as error:
        raise DataError(f"{where}: missing field {error}; {_OTHERWISE}") from None
    except DataError as error:
        raise DataError(f"{error}; {_OTHERWISE}") from None
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{where}: {error}; {_OTHERWISE}") from None
    if "question" not in row:
        raise DataError(
            f"{where}: missing field 'question', and no known layout has {', '.join(row)}; "
            f"{_OTHERWISE}"
        )
    if "qid" in row and isinstance(row.get("answer"), bool):
        return {"question": row["question"], "answer": row["answer"], "id": row["qid"]}
    return {**row, "answer": final_answer(row.get("answer"))}


def final_answer(answer: Any) -> Any:
    """Of an answer as GSM8K writes it, what follows the working; any other as it is."""
    if isinstance(answer, str) and "\n#### " in f"\n{answer}":
        return answer.rpartition("#### ")[2].strip()
    return answer


def _each_typed(row: Row, name: str, where: str) -> None:
    for each in typed(row, name, list, where):
        if not isinstance(each, dict):
            raise DataError(f"{where}: field {name!r} must hold objects, not {type(each).__name__}")


def _drop(row: Row) -> Row:
    answers = [row["answer"], *_each(row.get("validated_answers") or [])]
    texts = [_drop_answer(answer) for answer in answers]
    question = {"question": row["question"], "context": row["passage"]}
    return _with_aliases(question | {"id": row["query_id"]}, texts)


def _each(validated: Any) -> list[Row]:
    """Validated answers; the hub keeps them as an object of lists."""
    if isinstance(validated, list):
        return validated
    names = ("number", "date", "spans")
    return [
        dict(zip(names, each, strict=True))
        for each in zip(*(validated[name] for name in names), strict=True)
    ]


def _drop_answer(answer: Row) -> str:
    """Number, else spans on lines of their own, else the date as day, month, year."""
    if str(answer["number"]).strip():
        return str(answer["number"])
    if answer["spans"]:
        return "\n".join(" ".join(span.split()) for span in answer["spans"])
    date = answer["date"]
    return " ".join(date[part] for part in ("day", "month", "year") if date.get(part))


def _drop_dump(row: Row) -> Row:
    passage, _, rest = row["context"].removeprefix("Passage: ").rpartition("\nQuestion: ")
    question = {"question": rest.removesuffix("\nAnswer:").strip(), "context": passage}
    if "id" in row:
        question["id"] = row["id"]
    return _with_aliases(question, row["ref_text"].split("|"))


def _musique(row: Row) -> Row:
    passages = [f"{each['title']}: {each['paragraph_text']}" for each in row["paragraphs"]]
    question = {"question": row["question"], "context": "\n\n".join(passages)}
    if not row.get("answerable", True):
        # No gold, as the paragraphs do not hold the answer; its answerable twin has its id.
        return question
    question["id"] = row["id"]
    if "answer" not in row:
        return question  # the test files are published without
    return _with_aliases(question, [row["answer"], *row.get("answer_aliases", [])])


def _with_aliases(question: Row, answers: list[Any]) -> Row:
    accepted = [text for text in answers if str(text).strip()]
    if not accepted:
        return question
    return question | {"answer": accepted[0], "aliases": accepted[1:]}
