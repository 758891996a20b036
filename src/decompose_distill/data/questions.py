"""Questions from the hub or from files, in their published layouts or with fields named."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from decompose_distill.data.question_formats import final_answer, normalize_row
from decompose_distill.data.readers import read_rows
from decompose_distill.errors import ConfigError, DataError, MissingExtraError
from decompose_distill.storage.jsonl import typed
from decompose_distill.types import Question

HUB = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "drop": ("EleutherAI/drop", None, "validation"),
    "bamboogle": ("chiayewken/bamboogle", None, "test"),
    "strategyqa": ("ChilleD/StrategyQA", None, "test"),
    "musique": ("dgslibisey/MuSiQue", None, "validation"),
}
"""By name: repository, configuration, and the split that figures are quoted on."""
KNOWN = ("question", "answer", "context", "aliases", "id")


def load_questions(
    source: str | Path, *, split: str | None = None, fields: Mapping[str, str] | None = None
) -> tuple[Question, ...]:
    """Read questions from a file, or a dataset from the hub by its name.

    Files are JSON lines, JSON, CSV or `.tsv`, also with `.gz`. The layouts that GSM8K, DROP,
    Bamboogle, StrategyQA and MuSiQue were published in are known by their content; otherwise
    fields are `question` (required), `answer`, `context`, `aliases`, `id`, and others are ignored.
    Answers may be numbers, or yes and no as JSON's `true` and `false`; a list of them are all
    accepted.

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
    name, path = str(source), Path(source)
    if name in HUB and not path.is_file():  # a folder may be called so, too
        return _decode(_hub_rows(name, split), fields, name)
    if split is not None:
        raise ConfigError(f"split is of datasets from the hub ({', '.join(HUB)}), not of {name}")
    if not path.is_file():
        raise DataError(f"{path}: no such file of questions, nor one of {', '.join(HUB)}")
    return _decode(read_rows(path), fields, name)


def _decode(
    rows: Iterable[tuple[str, Any]], fields: Mapping[str, str] | None, name: str
) -> tuple[Question, ...]:
    questions: list[Question] = []
    first: dict[str, tuple[Question, str]] = {}
    for where, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
        plain = _renamed(row, fields, where) if fields else normalize_row(row, where)
        question = _question(plain, fields or {}, where)
        other, there = first.setdefault(question.id, (question, where))
        if (question.text, question.context) != (other.text, other.context):
            raise DataError(f"{where}: field 'id': {question.id!r} is another question at {there}")
        questions.append(question)
    if not questions:
        raise DataError(f"{name}: holds no question")
    return tuple(questions)


def _renamed(row: dict[str, Any], fields: Mapping[str, str], where: str) -> dict[str, Any]:
    for ours in fields:
        if ours not in KNOWN:
            raise ConfigError(f"fields: unknown name {ours!r}; known: {', '.join(KNOWN)}")
    for theirs in fields.values():
        if theirs not in row:
            raise DataError(f"{where}: missing field {theirs!r}; it has {', '.join(row)}")
    plain = {ours: row[ours] for ours in KNOWN if ours in row}
    plain |= {ours: row[theirs] for ours, theirs in fields.items()}
    if "question" not in plain:
        raise DataError(f"{where}: missing field 'question'")
    return plain


def _question(plain: Mapping[str, Any], fields: Mapping[str, str], where: str) -> Question:
    """A question of named values; `fields` tells what the file calls them."""
    theirs = {ours: fields.get(ours, ours) for ours in KNOWN}
    if isinstance(name := plain.get("id"), int):
        plain = {**plain, "id": str(name)}
    text, context, name = (
        None
        if plain.get(ours) is None
        else typed({theirs[ours]: plain[ours]}, theirs[ours], str, where)
        for ours in ("question", "context", "id")
    )
    if text is None or not text.strip():
        raise DataError(f"{where}: field {theirs['question']!r} is empty")
    both = (_answers(plain.get(ours), theirs[ours], where) for ours in ("answer", "aliases"))
    answer, *aliases = dict.fromkeys(chain(*both)) or (None,)
    return Question(text, answer, context or None, tuple(aliases), name or "")


def _answers(value: Any, field: str, where: str) -> Iterator[str]:
    """One accepted answer or a list of them; none where it is blank."""
    for each in value if isinstance(value, list) else [value]:
        if not isinstance(each, str | int | float | None):
            kind = type(each).__name__
            raise DataError(f"{where}: field {field!r} must hold text or numbers, not {kind}")
        if isinstance(each, bool):
            yield "yes" if each else "no"
        elif each is not None and str(each).strip():
            yield str(final_answer(each))


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
