"""Questions from the hub or from files, in their published layouts or with fields named."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from decompose_distill.errors import ConfigError, DataError, MissingExtraError
from decompose_distill.evaluation.files import read_rows
from decompose_distill.evaluation.layouts import recognise
from decompose_distill.journal import decode_question
from decompose_distill.types import Question

HUB = {
    "gsm8k": ("openai/gsm8k", "main", "test"),
    "drop": ("EleutherAI/drop", None, "validation"),
    "bamboogle": ("chiayewken/bamboogle", None, "test"),
    "strategyqa": ("ChilleD/StrategyQA", None, "test"),
    "musique": ("dgslibisey/MuSiQue", None, "validation"),
}
"""By name: repository, configuration, and the split that figures are quoted on."""


def load_questions(
    source: str | Path, *, split: str | None = None, fields: Mapping[str, str] | None = None
) -> tuple[Question, ...]:
    """Read questions from a file, or a dataset from the hub by its name.

    Files are JSON lines, JSON or CSV, also with `.gz`. The layouts that GSM8K, DROP, Bamboogle,
    StrategyQA and MuSiQue were published in are known by their content; otherwise fields are
    `question` (required), `answer`, `context`, `aliases`, `id`, and others are ignored.

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
    for where, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
        plain = _renamed(row, fields, where) if fields else recognise(row, where)
        if isinstance(answer := plain.get("answer"), int | float):
            plain["answer"] = ("no", "yes")[answer] if isinstance(answer, bool) else str(answer)
        if isinstance(plain.get("id"), int):
            plain["id"] = str(plain["id"])
        questions.append(decode_question({**plain, "text": plain["question"]}, where))
    if not questions:
        raise DataError(f"{name}: holds no question")
    return tuple(questions)


def _renamed(row: dict[str, Any], fields: Mapping[str, str], where: str) -> dict[str, Any]:
    known = ("question", "answer", "context", "aliases", "id")
    for ours in fields:
        if ours not in known:
            raise ConfigError(f"fields: unknown name {ours!r}; known: {', '.join(known)}")
    for theirs in fields.values():
        if theirs not in row:
            raise DataError(f"{where}: missing field {theirs!r}; it has {', '.join(row)}")
    plain = {ours: row[ours] for ours in known if ours in row}
    plain |= {ours: row[theirs] for ours, theirs in fields.items()}
    if "question" not in plain:
        raise DataError(f"{where}: missing field 'question'")
    return plain


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
