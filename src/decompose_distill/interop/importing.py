"""Files that others wrote, as traces."""

import glob
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from decompose_distill.data import marked_answer, read_rows, unwrapped
from decompose_distill.errors import ConfigError, DataError, ParseError, check_path
from decompose_distill.interop import hub_dataset as hub
from decompose_distill.interop.training_formats import FORMS, PLAIN, ChatForm, Row
from decompose_distill.parsing import (
    format_answer,
    format_subquestions,
    parse_answer,
    parse_subquestions,
)
from decompose_distill.storage.traces import decode_trace
from decompose_distill.training.data.examples import TARGETS, Role
from decompose_distill.types import (
    Decomposition,
    Failure,
    Message,
    Question,
    Solution,
    Subquestion,
    Trace,
)

NOT_SOLVED = "not solved"
"""Reason of a trace whose source holds subquestions and no solution."""
_CALCULATOR = re.compile(r"<<[^<>]*>>")


def from_chat(chat: Sequence[Message], role: Role) -> Trace:
    """A chat as one role's half of a trace; its user turn holds the question.

    If that turn is written as our prompts write it, question, context and, for a solver,
    subquestions are taken out of it; else all of it is the question.

    Raises:
        DataError: It is not one question, perhaps behind a system turn, and one completion.

    Example:
        >>> chat = [Message("user", "Question: Who?"), Message("assistant", "1. Who wrote it?")]
        >>> from_chat(chat, "decomposer").question.text
        'Who?'
    """
    turns = [turn for turn in chat if turn.role != "system"]
    if [turn.role for turn in turns] != ["user", "assistant"] or len(chat) - len(turns) > 1:
        roles = ", ".join(turn.role for turn in chat) or "nothing"
        raise DataError(
            "a chat must be one user turn and one assistant turn, perhaps behind a system turn, "
            f"not {roles}"
        )
    prompt, reply = (turn.content for turn in turns)
    if not prompt.strip():
        raise DataError("the user turn is empty")
    question, listed = PLAIN.parse(prompt) or (Question(prompt), "")
    if role == "decomposer":
        return _trace(_decomposed(question, reply), None)
    return _trace(Decomposition(question, _listed(listed), listed), reply)


def _listed(text: str) -> tuple[Subquestion, ...]:
    try:
        return parse_subquestions(text) if text else ()
    except ParseError:
        return ()


def from_subq(row: Row, where: str) -> Iterator[Trace]:
    """A row of GSM8K-AI-SubQ: each of its lists of subquestions, with its answers, is a sample.

    Source: https://huggingface.co/datasets/DT6A/GSM8K-AI-SubQ.

    Raises:
        DataError: A field is of another type, or there are not as many questions as answers.
    """
    question = Question(_text(row, "problem", where), _gold(row.get("answer", ""), where) or None)
    decompositions, answered = (_texts(row, name, where) for name in ("questions", "answers"))
    if len(decompositions) != len(answered):
        raise DataError(
            f"{where}: field 'answers' holds {len(answered)} texts for "
            f"{len(decompositions)} 'questions'"
        )
    for sample, (steps, solution) in enumerate(zip(decompositions, answered, strict=True)):
        yield _trace(_decomposed(question, steps, sample), solution, sample)


def from_socratic(row: Row, where: str) -> Trace:
    """A row of GSM8K's Socratic version: a subquestion and its answer a line, then `#### n`.

    Source: https://github.com/openai/grade-school-math, `train_socratic.jsonl`. Its calculator
    marks, as `<<48/2=24>>`, are left out.

    Raises:
        DataError: A line of `answer` is neither.
    """
    *lines, last = _text(row, "answer", where).strip().splitlines()
    gold = _gold(last, where)
    if not gold or not lines:
        raise DataError(
            f"{where}: field 'answer' must be lines 'subquestion ** subanswer' and then '#### n'"
        )
    pairs = [line.split(" ** ", 1) for line in lines]
    for number, pair in enumerate(pairs, start=1):
        if len(pair) < 2 or not pair[0].strip():
            raise DataError(f"{where}: field 'answer': line {number} lacks 'subquestion ** '")
    question = Question(_text(row, "question", where), gold)
    steps = tuple(Subquestion(step.strip()) for step, _ in pairs)
    answers = [f"{number}. {answer.strip()}" for number, (_, answer) in enumerate(pairs, start=1)]
    text = _CALCULATOR.sub("", "\n".join([*answers, format_answer(gold)]))
    split = Decomposition(question, steps, format_subquestions(steps))
    return Trace(question, Solution(split, gold, text))


def _decomposed(question: Question, text: str, sample: int = 0) -> Decomposition | Failure:
    try:
        return Decomposition(question, parse_subquestions(text), text, sample)
    except ParseError as error:
        return Failure(question, "decompose", str(error), str(error), text, sample=sample)


def _trace(split: Decomposition | Failure, text: str | None, sample: int = 0) -> Trace:
    """What the text of a solution makes of a decomposition; `None` if there is none."""
    if isinstance(split, Failure):
        return Trace(split.question, split, sample)
    reason = NOT_SOLVED
    if text is not None:
        try:
            return Trace(split.question, Solution(split, parse_answer(text), text), sample)
        except ParseError as error:
            reason = str(error)
    failure = Failure(split.question, "solve", reason, reason, text or "", split, sample)
    return Trace(split.question, failure, sample)


def _gold(answer: Any, where: str) -> str:
    """What follows the mark of GSM8K's final answer; empty if it is not there."""
    if not isinstance(answer, str):
        raise DataError(f"{where}: field 'answer' must be str, not {type(answer).__name__}")
    return marked_answer(answer)


def _text(row: Row, name: str, where: str) -> str:
    text = row[name]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: field {name!r} must be a text that is not empty")
    return text


def _texts(row: Row, name: str, where: str) -> list[str]:
    texts = row[name]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: field {name!r} must be a list of strings")
    return texts


_SUBQ = {"problem", "questions", "answers"}
_SOCRATIC = {"question", "answer"}


def import_traces(path: str | Path, *, role: Role = "decomposer") -> Iterator[Trace]:
    """Read another tool's training data as traces, one by one.

    Each row is known by its fields: a chat in `messages`, a `prompt` and `completion` (chats or
    plain texts), ShareGPT's `conversations`, Alpaca's `instruction`, `input` and `output`, the
    layout of GSM8K-AI-SubQ (`problem`, `questions`, `answers`), that of GSM8K's Socratic version
    (`question`, `answer` of `subquestion ** subanswer` lines), or a trace of ours. Chats hold at
    most a system turn, one user turn with the question, and the completion; they say only one
    half of a trace:

    - for a decomposer the completion holds subquestions, and the trace ends in the failure
      `solve: not solved`, which `filters.decomposed` keeps;
    - for a solver it holds the solution, and nothing was decomposed.

    A completion that cannot be read becomes a failure, as if a model had just written it.

    Args:
        path: JSON lines (read as a stream), JSON, CSV or Parquet, also with `.gz` but for
            Parquet; or a folder that `export_traces` wrote for the hub; or a pattern of several,
            such as `shards/*.parquet`, in the order of their names.
        role: What the completions of chats are.

    Raises:
        ConfigError: The role is unknown.
        DataError: A row is malformed or of no known layout; names file, line and field.
        MissingExtraError: Parquet needs `decompose-distill[datasets]`.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "sft.jsonl")
        >>> row = {"prompt": "Is Ada over 9?", "completion": "1. How old is Ada?"}
        >>> _ = path.write_text(json.dumps(row))
        >>> next(import_traces(path)).decomposition.subquestions
        (Subquestion(text='How old is Ada?'),)
    """
    if role not in TARGETS:
        raise ConfigError(f"role must be one of {', '.join(TARGETS)}, not {role!r}")
    check_path("path", path)
    for where, row in _rows(Path(path)):
        yield from _traces(row, where, role)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_dir():
        files = sorted([*path.glob("data/train-*.jsonl"), *path.glob("data/train-*.parquet")])
        if not files:
            raise DataError(f"{path}: holds no data/train-*.jsonl or data/train-*.parquet")
        for file in files:
            yield from _rows(file)
    elif not path.is_file() and (several := sorted(map(Path, glob.glob(str(path))))):
        for file in several:
            yield from _rows(file)
    elif not path.is_file():
        raise DataError(f"{path}: no such file")
    elif path.suffix == ".parquet":
        for number, row in enumerate(hub.read_parquet(path), start=1):
            yield f"{path}: row {number}", row
    else:
        for where, row in read_rows(path):
            yield from unwrapped(where, row, _is_known)


def _is_known(row: Row) -> bool:
    fields = ({"schema"}, _SUBQ, _SOCRATIC)
    return any(form.fits(row) for form in FORMS) or any(known <= set(row) for known in fields)


def _traces(row: Any, where: str, role: Role) -> Iterator[Trace]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    row = hub.present(row)
    form = next((form for form in FORMS if form.fits(row)), None)
    if "schema" in row:
        yield decode_trace(json.dumps(row, default=str), where)
    elif form is not None:
        yield _from_form(form, row, where, role)
    elif set(row) >= _SUBQ:
        yield from from_subq(row, where)
    elif set(row) >= _SOCRATIC:
        yield from_socratic(row, where)
    else:
        raise DataError(
            f"{where}: no known layout has the fields {', '.join(map(str, row)) or '(none)'}; "
            "known: messages; prompt, completion; conversations; instruction, output; "
            "problem, questions, answers; question, answer"
        )


def _from_form(form: ChatForm, row: Row, where: str, role: Role) -> Trace:
    try:
        return from_chat(form.read(row), role)
    except DataError as error:
        fields = "" if str(error).startswith("field") else f"field {form.fields[0]!r}: "
        raise DataError(f"{where}: {fields}{error}") from None
