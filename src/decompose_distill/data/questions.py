"""Questions from the hub or from files, in their published layouts or with fields named."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from decompose_distill.data.gold_answers import answer_text
from decompose_distill.data.question_formats import is_question, normalize_row, with_parts
from decompose_distill.data.readers import read_rows, unwrapped
from decompose_distill.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    check_path,
    nearest,
    wrong_kind,
)
from decompose_distill.types import Question, as_question

HUB: Mapping[str, tuple[str, str | None, str]] = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "drop": ("EleutherAI/drop", None, "validation"),
    "bamboogle": ("chiayewken/bamboogle", None, "test"),
    "strategyqa": ("ChilleD/StrategyQA", None, "test"),
    "musique": ("dgslibisey/MuSiQue", None, "validation"),
}
"""By name: repository, configuration, and the split that figures are quoted on."""
QuestionSource = str | Path | Iterable[Question | str]
"""What is taken for questions: a file's path, a dataset's name, values or their texts."""
KNOWN = ("question", "answer", "context", "aliases", "options", "id")
"""Our names of the fields of a question."""
_UNREADABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, and halves of surrogate pairs: what no tokenizer and no server takes."""


def load_questions(
    source: str | Path, *, split: str | None = None, fields: Mapping[str, str] | None = None
) -> tuple[Question, ...]:
    """Read questions from a file, or a dataset from the hub by its name.

    Files are JSON lines, JSON, CSV or `.tsv`, also with `.gz`. Published layouts are known by
    their content: GSM8K, MATH, SVAMP, DROP, SQuAD, HotpotQA, MuSiQue, BIG-bench, multiple choice
    and others (the reference of file formats has them all). Otherwise fields are `question`
    (required), `answer`, `context`, `aliases`, `options`, `id`, and others are ignored.
    Answers may be numbers, or yes and no as JSON's `true` and `false`; a list of them are all
    accepted. Options of multiple choice are shown below the question; label and text of the
    right one are accepted.

    Args:
        source: A path, or `gsm8k`, `drop`, `bamboogle`, `strategyqa`, `musique`.
        split: Of a dataset from the hub; by default the one figures are quoted on.
        fields: Our name → the file's, as `{"question": "problem", "answer": "solution"}`.

    Raises:
        DataError: The file is missing, empty, of no known layout, or a row is malformed; the
            message names file, line and field.
        ConfigError: `fields` has an unknown name, or `split` was given for a file.
        MissingExtraError: A dataset from the hub needs `decompose-distill[datasets]`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "questions.jsonl")
        >>> _ = path.write_text('{"question": "What is 6 times 7?", "answer": "42"}')
        >>> load_questions(path)[0].answer
        '42'
    """
    check_path("source", source)
    if unknown := set(fields or ()) - set(KNOWN):
        name = min(unknown)
        raise ConfigError(f"fields: unknown name {name!r}; {nearest(name, KNOWN)}")
    name, path = str(source), Path(source)
    if name in HUB and not path.is_file():  # a folder may be called so, too
        return _decode(_hub_rows(name, split), fields or {}, name)
    if split is not None:
        raise ConfigError(f"split is of datasets from the hub ({', '.join(HUB)}), not of {name}")
    if path.is_dir():
        raise DataError(f"{path} is a folder: name a file of questions in it")
    if not path.is_file():
        raise DataError(f"{path}: no such file of questions, nor one of {', '.join(HUB)}")
    return _decode(read_rows(path), fields or {}, name)


def as_questions(source: QuestionSource) -> Iterable[Question]:
    """Questions as they come, or those of a file, or of a dataset by its name.

    Raises:
        ConfigError: They are something else; the message says what.
        DataError: The file is missing or malformed.

    Example:
        >>> [question.text for question in as_questions(["Who is older?"])]
        ['Who is older?']
    """
    if isinstance(source, str | Path):
        return load_questions(source)
    if not isinstance(source, Iterable):
        raise wrong_kind("questions", source, "a path, or values as load_questions reads them")
    return map(as_question, source)


def unique_questions(questions: QuestionSource) -> tuple[Question, ...]:
    """Each question once: of one id the last, with whatever gold it has.

    Raises:
        DataError: Two questions of one id differ in text or context, as those of two files do
            that both count from 1.

    Example:
        >>> len(unique_questions([Question("Why?"), Question("Why?"), Question("Who?")]))
        2
    """
    unique: dict[str, Question] = {}
    for question in as_questions(questions):
        first = unique.setdefault(question.id, question)
        if not same_question(first, question):
            raise DataError(
                f"two different questions have the id {question.id!r}, {first.text[:80]!r} and "
                f"{question.text[:80]!r}: give each one of its own, or none"
            )
        unique[question.id] = question
    return tuple(unique.values())


def same_question(question: Question, other: Question) -> bool:
    """Whether a model is asked the same; the id and the gold answers do not tell.

    Example:
        >>> same_question(Question("Why?", id="1"), Question("Why?", answer="so", id="2"))
        True
    """
    return (question.text, question.context) == (other.text, other.context)


def _decode(
    rows: Iterable[tuple[str, Any]], fields: Mapping[str, str], name: str
) -> tuple[Question, ...]:
    questions: list[Question] = []
    first: dict[str, tuple[Question, str]] = {}
    for outer, wrapper in rows:
        for where, row in unwrapped(outer, wrapper, partial(_is_question, fields=fields)):
            question = _question(row, fields, where)
            other, there = first.setdefault(question.id, (question, where))
            if not same_question(question, other):
                raise DataError(
                    f"{where}: field 'id': {question.id!r} is another question at {there}"
                )
            questions.append(question)
    if not questions:
        raise DataError(f"{name}: holds no question")
    return tuple(questions)


def _is_question(row: dict[str, Any], fields: Mapping[str, str]) -> bool:
    return fields["question"] in row if "question" in fields else is_question(row)


def _question(row: Any, fields: Mapping[str, str], where: str) -> Question:
    if isinstance(row, str) and not fields:  # a list of texts
        row = {"question": row}
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    if not fields:
        return _built(normalize_row(row, where), {}, where)
    try:
        plain = with_parts(_renamed(row, fields), fields)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    return _built(plain, fields, where)


def _renamed(row: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    for theirs in fields.values():
        if theirs not in row:
            raise DataError(f"missing field {theirs!r}; it has {', '.join(map(str, row))}")
    plain = {ours: row[ours] for ours in KNOWN if ours in row}
    plain |= {ours: row[theirs] for ours, theirs in fields.items()}
    if "question" not in plain:
        raise DataError("missing field 'question'")
    return plain


def _built(plain: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Question:
    """A question of named values; `fields` tells what the file calls them."""
    theirs = {ours: fields.get(ours, ours) for ours in KNOWN}
    if type(plain.get("id")) is int:
        plain = {**plain, "id": str(plain["id"])}
    text, context, name = (
        None if plain.get(ours) is None else _text(plain[ours], f"{where}: field {theirs[ours]!r}")
        for ours in ("question", "context", "id")
    )
    if text is None or not text.strip():
        raise DataError(f"{where}: field {theirs['question']!r} is empty")
    both = (_answers(plain.get(ours), theirs[ours], where) for ours in ("answer", "aliases"))
    answer, *aliases = dict.fromkeys(chain(*both)) or (None,)
    return Question(text, answer, context or None, tuple(aliases), name or "")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{field} must be str, not {type(value).__name__}")
    if match := _UNREADABLE.search(value):
        raise DataError(f"{field} holds {match[0]!a} at character {match.start() + 1}")
    return value


def _answers(value: Any, field: str, where: str) -> Iterator[str]:
    """One accepted answer or a list of them; none if it is blank."""
    for answer in value if isinstance(value, list) else [value]:
        if answer is None:
            continue
        try:
            text = answer_text(answer, field)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        if text.strip():
            yield _text(text, f"{where}: field {field!r}")


def _hub_rows(name: str, split: str | None) -> Iterable[tuple[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"{name} comes from the hub: pip install 'decompose-distill[datasets]', "
            "or give the path of a file"
        ) from error
    repository, configuration, quoted = HUB[name]
    split = split or quoted
    try:
        rows = datasets.load_dataset(repository, configuration, split=split)
    except Exception as error:  # its own errors have no base in common with those of the network
        raise DataError(f"{name}: cannot load {repository}, split {split!r}: {error}") from error
    return ((f"{repository}[{split}]:{number}", dict(row)) for number, row in enumerate(rows, 1))
