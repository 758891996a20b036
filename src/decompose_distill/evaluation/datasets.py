"""Questions from files."""

import json
from pathlib import Path
from typing import Any

from decompose_distill.errors import DataError
from decompose_distill.journal import decode_question
from decompose_distill.types import Question


def load_questions(path: str | Path) -> tuple[Question, ...]:
    """Read questions from JSON lines.

    Fields of a line: `question` (required), `answer`, `context`, `aliases` (other accepted
    answers), `id`; others are ignored. GSM8K's own files fit as they are, with `scores.gsm8k`.

    Raises:
        DataError: The file is missing or empty, or a line is malformed; the message names file,
            line and field.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "questions.jsonl")
        >>> _ = path.write_text('{"question": "What is 6 times 7?", "answer": "42"}')
        >>> load_questions(path)[0].answer
        '42'
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file of questions (JSON lines)")
    with path.open(encoding="utf-8") as lines:
        questions = tuple(
            _decode(line, f"{path}:{number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )
    if not questions:
        raise DataError(f"{path}: holds no question")
    return questions


def _decode(line: str, where: str) -> Question:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    if "question" not in row:
        raise DataError(f"{where}: missing field 'question'")
    if isinstance(row.get("answer"), int | float):
        row["answer"] = str(row["answer"])
    return decode_question({**row, "text": row["question"]}, where)
