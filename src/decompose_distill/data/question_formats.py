"""The published layouts of question files, known by the fields of a row.

A `Layout` brings a row to our names: `question`, `answer`, `aliases`, `context`, `id` and
`options`. What all layouts share is read after it: passages, options and the key to them.
`LAYOUTS` holds them in the order in which they are tried; the last takes our own names.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from decompose_distill.data import passage_layouts, task_layouts
from decompose_distill.data.gold_answers import (
    Row,
    chosen,
    columns_of_choices,
    of_kind,
    read_choices,
    with_choices,
)
from decompose_distill.data.passage_layouts import passages
from decompose_distill.errors import DataError

_OTHERWISE = (
    'of a file of your own, name the fields: fields={"question": ..., "answer": ...}, '
    "or on the command line --fields question=...,answer=..."
)
_SPELLINGS = {
    "question": ("question", "question_stem", "query", "prompt"),
    "answer": (
        *("answer", "gold", "gold_answer", "gold_answers", "golden_answers"),
        *("ground_truth", "reference_answer", "expected_answer", "final_answer", "target"),
        *("final_decision", "answerkey"),
    ),
    "aliases": ("aliases", "a2"),
    "context": (
        *("context", "passage", "article", "passages", "contexts", "ctxs", "documents"),
        *("document", "story", "paragraph", "narrative", "table"),
    ),
    "id": ("id",),
    "options": ("options", "choices"),
}
"""Our names, and how published files spell them, in any case and with blanks for `_`."""
_QUESTIONS = frozenset(("question", "question_stem"))
"""Names of a question with or without its answer; "prompt" may be of something else."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a family of data sets writes a question."""

    name: str
    fits: Callable[[Row], bool]
    read: Callable[[Row], Row]


def layout_of(row: Row) -> Layout | None:
    """The first layout that fits a row.

    Example:
        >>> layout_of({"Body": "Ada has 3 eggs.", "Question": "How many?", "Answer": 3.0}).name
        'SVAMP'
    """
    return next((layout for layout in LAYOUTS if layout.fits(row)), None)


def is_question(row: Row) -> bool:
    """Whether a row is of a known layout.

    Example:
        >>> is_question({"question": "Who?"}), is_question({"data": []})
        (True, False)
    """
    return _is_own(row) or layout_of(row) is not None


def normalize_row(row: Row, where: str) -> Row:
    """Bring a row of a known layout to `question`, `answer`, `aliases`, `context`, `id`.

    Raises:
        DataError: No known layout fits, or a field of it is malformed.

    Example:
        >>> row = {"question": "Which is 3 times 4?", "options": ["A)12", "B)15"], "correct": "A"}
        >>> normalize_row(row, "questions.jsonl:1")
        {'question': 'Which is 3 times 4?\\nOptions:\\nA) 12\\nB) 15', 'answer': ['A', '12']}
    """
    if _is_trace(row):
        raise DataError(
            f"{where}: this is a trace: read_traces reads it, or audit, distill and export"
        )
    layout = layout_of(row)
    if layout is None:
        fields = ", ".join(map(str, row)) or "(none)"
        raise DataError(
            f"{where}: missing field 'question', and no known layout has {fields}; {_advice(row)}"
        )
    try:
        return with_parts(layout.read(row))
    except KeyError as error:
        fault = f"missing field {error} of {layout.name}"
    except DataError as error:
        fault = str(error)
    except (TypeError, AttributeError, IndexError, ValueError) as error:
        fault = f"a field of {layout.name} is malformed ({error})"
    raise DataError(f"{where}: {fault}; {_OTHERWISE}")


def with_parts(row: Row, fields: Mapping[str, str] | None = None) -> Row:
    """Of a row with our names, the passages as one text, and the options below the question.

    Args:
        row: With our names.
        fields: Our name → the file's, for errors.

    Raises:
        DataError: Passages, options or the key to them are malformed; names the field.

    Example:
        >>> with_parts({"question": "Who?", "context": [["Ada", ["Ada wrote it."]]]})
        {'question': 'Who?', 'context': 'Ada: Ada wrote it.'}
    """
    plain = {name: value for name, value in row.items() if name not in ("options", "key")}
    theirs = {name: name for name in row} | dict(fields or {})
    if "context" in row:
        plain["context"] = passages(row["context"], theirs["context"])
    if not row.get("options") or not isinstance(row.get("question"), str):
        return plain
    choices = read_choices(row["options"], theirs["options"])
    if not choices:
        return plain
    field, key = row.get("key", (theirs.get("answer", "answer"), row.get("answer")))
    golds = chosen(key, choices, field, is_label="key" in row)
    return plain | {"question": with_choices(row["question"], choices), "answer": golds}


def _is_trace(row: Row) -> bool:
    return {"schema", "key", "sample"} <= set(row)


def _advice(row: Row) -> str:
    named = {"messages", "conversations", "instruction", "completion", "response", "output"}
    if named & set(row) or {"role", "content"} <= set(row) or {"from", "value"} <= set(row):
        return "this is training data: import_traces reads it"
    return _OTHERWISE


def _read_own(row: Row) -> Row:
    """Our own names and their spellings: GSM8K, SQuAD, HotpotQA, TriviaQA, AQuA, MMLU, BoolQ.

    Example:
        >>> _read_own({"question": "Who?", "answers": {"text": ["Ada", "A."], "answer_start": []}})
        {'question': 'Who?', 'answer': ['Ada', 'A.']}
        >>> _read_own({"Question": "Is 9 odd?", "A": "yes", "B": "no", "Answer": "A"})["options"]
        {'A': 'yes', 'B': 'no'}
    """
    plain: Row = {}
    row = task_layouts.lower(row) | row
    for ours, names in _SPELLINGS.items():
        if name := next((name for name in names if row.get(name) is not None), None):
            plain[ours] = row[name]
    if isinstance(plain.get("context"), list | dict) and "_id" in row:
        plain.setdefault("id", row["_id"])  # HotpotQA
    answers = row.get("answers")
    if options := plain.get("options") or columns_of_choices(row):
        if isinstance(row.get("text"), str) and str(plain["question"]) not in row["text"]:
            plain.setdefault("context", row["text"])  # LogiQA
        return task_layouts.with_key(plain | {"options": options}, row)
    if isinstance(answers, list) and type(row.get("label")) is int:  # ReClor
        return task_layouts.with_key(plain | {"options": answers}, row)
    if "answer" not in plain and task_layouts.with_key({}, row) == {}:  # FreshQA
        answers = answers or [row[name] for name in row if re.fullmatch(r"answer_\d", name)]
    return plain | {"answer": [] if row.get("is_impossible") else _accepted(plain, answers)}


def _accepted(plain: Row, answers: Any) -> list[Any]:
    """What counts as right: `answer`, with its aliases as TriviaQA has it, and all of `answers`."""
    answer = plain.get("answer")
    if isinstance(answer, dict):
        answer = {str(name).lower(): value for name, value in answer.items()}
        if "value" not in answer:
            raise DataError("field 'answer' must hold text or numbers, not dict")
        answer = [answer["value"], *of_kind(answer.get("aliases") or [], list, "aliases")]
    if isinstance(answers, dict) and isinstance(answers.get("text"), list):  # SQuAD on the hub
        answers = answers["text"]
    answers = of_kind(answers or [], list, "answers")
    texts = [text for accepted in answers for text in _texts(accepted)]
    known = answer if isinstance(answer, list) else [answer]
    return [gold for gold in (*known, *texts) if gold is not None]


def _texts(accepted: Any) -> list[Any]:
    """An accepted answer with its aliases, also as ComplexWebQuestions has them."""
    if not isinstance(accepted, dict):
        return [accepted]
    text = accepted["answer"] if "answer" in accepted else accepted["text"]
    return [text, *of_kind(accepted.get("aliases") or [], list, "aliases")]


def _has(*names: str) -> Callable[[Row], bool]:
    needed = frozenset(names)
    return lambda row: needed <= row.keys()


def _is_own(row: Row) -> bool:
    named = task_layouts.lower(row).keys()
    if not named.isdisjoint(_QUESTIONS):
        return True
    asked = not named.isdisjoint(_SPELLINGS["question"]) and "completion" not in named
    return asked and not named.isdisjoint((*_SPELLINGS["answer"], *_SPELLINGS["options"]))


def _is_strategy(row: Row) -> bool:
    return {"question", "qid"} <= row.keys() and isinstance(row.get("answer"), bool)


LAYOUTS = (
    Layout("DROP", passage_layouts.is_drop, passage_layouts.read_drop),
    Layout("DROP in one text", _has("ref_text"), passage_layouts.read_drop_dump),
    Layout("FinQA", _has("pre_text", "qa"), passage_layouts.read_report),
    Layout("NarrativeQA", passage_layouts.is_narrative, passage_layouts.read_narrative),
    Layout("MuSiQue", _has("question", "paragraphs"), passage_layouts.read_musique),
    Layout("SVAMP", task_layouts.is_word_problem, task_layouts.read_word_problem),
    Layout("MAWPS", _has("sQuestion", "lSolutions"), task_layouts.read_mawps),
    Layout("BIG-bench", _has("input", "target"), task_layouts.read_big_bench),
    Layout("BIG-bench", _has("input", "target_scores"), task_layouts.read_big_bench),
    Layout("BIG-bench", _has("inputs", "targets"), task_layouts.read_big_bench_hub),
    Layout("MATH", task_layouts.is_mathematics, task_layouts.read_mathematics),
    Layout("GPQA", task_layouts.has_correct_answer, task_layouts.read_correct_answer),
    Layout("TruthfulQA", _has("question", "mc1_targets"), task_layouts.read_truthful),
    Layout("TruthfulQA", task_layouts.has_best_answer, task_layouts.read_best_answer),
    Layout("PopQA", _has("question", "possible_answers"), task_layouts.read_possible_answers),
    Layout("WebQuestions", _has("utterance", "targetValue"), task_layouts.read_web_questions),
    Layout("ARC", task_layouts.has_stem, task_layouts.read_stem),
    Layout("StrategyQA", _is_strategy, task_layouts.read_strategy),
    *(
        Layout(kind.name, _has(*kind.fields), partial(task_layouts.read_choice_set, kind))
        for kind in task_layouts.CHOICE_SETS
    ),
    Layout("own names", _is_own, _read_own),
)
"""In the order in which they are tried."""
