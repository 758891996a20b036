"""Layouts of problems and tasks: SVAMP, MAWPS, MATH, BIG-bench, and keys in fields of their own."""

import re
from dataclasses import dataclass
from string import Formatter
from typing import Any

from decompose_distill.data.gold_answers import (
    Row,
    answer_text,
    boxed_answer,
    columns_of_choices,
    listed,
    marked_answer,
    of_kind,
    texts_of,
    with_golds,
)
from decompose_distill.errors import DataError

_KEYS = (
    "answerKey",
    "answerkey",
    "correct",
    "answer_idx",
    "answer_index",
    "correct_option",
    "label",
    "cop",
    "gold_label",
    "correct_answer",
)
"""Fields that name an option by its label or number."""
_DESCRIPTION = re.compile(r"\(description (?:\"([^\"]*)\"|([^()\"]*))\)")
_WITH_UNIT = re.compile(r"\s*(-?\d[\d,]*(?:\.\d+)?)\s*(\(.*\))?\s*")


def with_key(question: Row, row: Row) -> Row:
    """A question with options, and the field that names one of them, where the row has one.

    Example:
        >>> with_key({"options": ["yes", "no"]}, {"correct": "A", "rationale": "..."})
        {'options': ['yes', 'no'], 'key': ('correct', 'A')}
    """
    for name in _KEYS:
        if isinstance(row.get(name), str | int | float) and not isinstance(row[name], bool):
            from_1 = name == "gold_label" and type(row[name]) is int  # as QuALITY counts
            return question | {"key": (name, row[name] - 1 if from_1 else row[name])}
    return question


def is_word_problem(row: Row) -> bool:
    """Whether a row has a body beside its question."""
    return {"Body", "Question"} <= row.keys() or {"body", "question"} <= row.keys()


def read_word_problem(row: Row) -> Row:
    """SVAMP and ASDiv: the question cannot be answered without its body.

    Example:
        >>> row = {"ID": "c-1", "Body": "Ada has 3 eggs.", "Question": "How many?", "Answer": 3.0}
        >>> read_word_problem(row)
        {'question': 'Ada has 3 eggs. How many?', 'id': 'c-1', 'answer': ['3']}
    """
    row = lower(row)
    body, question = (of_kind(row[name], str, name).strip() for name in ("body", "question"))
    plain = {"question": f"{body} {question}".strip(), "id": row.get("id")}
    return with_golds(plain, _number_forms(row.get("answer")), "answer")


def _number_forms(answer: Any) -> list[Any]:
    """Of `"21.0"` the whole number; of `9 (apples)` the number before its unit, and all of it."""
    match = _WITH_UNIT.fullmatch(answer) if isinstance(answer, str) else None
    if match is None:
        return [answer]
    number = float(match[1].replace(",", ""))
    return [number, answer] if match[2] else [number]


def read_mawps(row: Row) -> Row:
    """MAWPS and its parts, such as MultiArith: numbers in a list.

    Example:
        >>> read_mawps({"iIndex": 7, "sQuestion": "What is 6 times 7?", "lSolutions": [42.0]})
        {'question': 'What is 6 times 7?', 'id': 7, 'answer': ['42']}
    """
    question = {"question": of_kind(row["sQuestion"], str, "sQuestion"), "id": row.get("iIndex")}
    return with_golds(question, of_kind(row["lSolutions"], list, "lSolutions"), "lSolutions")


def is_mathematics(row: Row) -> bool:
    """Whether a row has a problem, and what it comes to."""
    if not {"problem", "Problem"} & row.keys():
        return False
    return bool({"solution", "answer", "options"} & lower(row).keys())


def read_mathematics(row: Row) -> Row:
    """MATH, AIME and MathQA: the gold stands in `answer`, or boxed in `solution`.

    Example:
        >>> row = {"problem": "What is $6 / 8$?", "solution": r"It is $\\boxed{3/4}$."}
        >>> read_mathematics(row)
        {'question': 'What is $6 / 8$?', 'answer': '3/4'}
    """
    row = lower(row)
    plain = {"question": of_kind(row["problem"], str, "problem")}
    if options := row.get("options"):
        return with_key(plain | {"options": options, "answer": row.get("answer")}, row)
    if row.get("answer") is not None:
        return plain | {"answer": row["answer"]}
    solution = row.get("solution")
    return plain | {"answer": _final_of(solution) if isinstance(solution, str) else solution}


def _final_of(solution: str) -> str | None:
    """What a solution comes to; of one that marks nothing, only a number alone."""
    if re.fullmatch(r"\s*-?[\d.,/]+\s*", solution):
        return solution.strip()
    return boxed_answer(solution) or marked_answer(solution) or None


def read_big_bench(row: Row) -> Row:
    """BIG-bench and BBH: `target`, or the best of `target_scores`, which are the options.

    Example:
        >>> read_big_bench({"input": "Is 9 odd?", "target_scores": {"yes": 1, "no": 0}})["answer"]
        ['yes']
        >>> read_big_bench({"input": "Q: Is 9 odd?\\nA:", "target": "yes"})
        {'question': 'Q: Is 9 odd?\\nA:', 'context': None, 'answer': ['yes']}
    """
    question = {
        "question": of_kind(row["input"], str, "input"),
        "context": row.get("task_prefix") or None,
    }
    scores, target = row.get("target_scores"), row.get("target")
    if not scores:
        return with_golds(question, target if isinstance(target, list) else [target], "target")
    scores = of_kind(scores, dict, "target_scores")
    points = {option: _points(score) for option, score in scores.items()}
    best = [option for option, score in points.items() if score == max(points.values())]
    options = texts_of(scores, "target_scores")
    return with_golds(question | {"options": options}, best, "target_scores")


def _points(score: object) -> float:
    return float(score) if isinstance(score, int) else of_kind(score, float, "target_scores")


def read_big_bench_hub(row: Row) -> Row:
    """BIG-bench as on the hub; its `inputs` mostly show the options already.

    Example:
        >>> row = {"inputs": "Is 9 odd?", "targets": ["yes"]}
        >>> read_big_bench_hub(row | {"multiple_choice_targets": ["yes", "no"]})["answer"]
        ['yes']
    """
    question: Row = {"question": of_kind(row["inputs"], str, "inputs")}
    options = of_kind(row.get("multiple_choice_targets") or [], list, "multiple_choice_targets")
    if not all(str(option) in question["question"] for option in options):
        question["options"] = texts_of(options, "multiple_choice_targets")
    targets = row["targets"]
    return with_golds(question, targets if isinstance(targets, list) else [targets], "targets")


def has_correct_answer(row: Row) -> bool:
    """Whether a row has the right option in a field of its own."""
    named = lower(row)
    if any(named.get(name) for name in ("options", "choices")) or columns_of_choices(row):
        return False  # of which it names one
    return "question" in named and named.get("correct_answer") is not None


def read_correct_answer(row: Row) -> Row:
    """GPQA and SciQ: the right option and the wrong ones in fields of their own.

    Example:
        >>> row = {"Question": "Is 9 odd?", "Correct Answer": "yes", "Incorrect Answer 1": "no"}
        >>> [str(option) for option in read_correct_answer(row)["options"]]
        ['- no', '- yes']
    """
    row = lower(row)
    wrong = (name for name in row if re.fullmatch(r"(incorrect_answer|distractor)_?\d", name))
    right = answer_text(row["correct_answer"], "correct_answer")
    options = [right, *(row[name] for name in wrong if row[name] not in (None, ""))]
    question = {
        "question": of_kind(row["question"], str, "question"),
        "context": row.get("support") or None,
    }
    if len(options) > 1:
        question["options"] = texts_of(options, "correct_answer")
    return question | {"answer": right}


def read_truthful(row: Row) -> Row:
    """TruthfulQA: options, of which those labelled 1 are right; the file has these first.

    Example:
        >>> targets = {"choices": ["Yes.", "No."], "labels": [1, 0]}
        >>> read_truthful({"question": "Is 9 odd?", "mc1_targets": targets})["answer"]
        ['Yes.']
    """
    targets = of_kind(row["mc1_targets"], dict, "mc1_targets")
    choices, labels = (
        of_kind(targets[name], list, "mc1_targets") for name in ("choices", "labels")
    )
    right = [choice for choice, label in zip(choices, labels, strict=True) if label == 1]
    question = {"question": row["question"], "options": texts_of(choices, "mc1_targets")}
    return with_golds(question, right, "mc1_targets")


def has_best_answer(row: Row) -> bool:
    """Whether a row names the best of several right answers."""
    return {"best_answer", "question"} <= lower(row).keys()


def read_best_answer(row: Row) -> Row:
    """TruthfulQA without options; its table parts the right answers by semicolons.

    Example:
        >>> row = {"Question": "Is 9 odd?", "Best Answer": "Yes", "Correct Answers": "Yes; It is"}
        >>> read_best_answer(row)
        {'question': 'Is 9 odd?', 'answer': ['Yes', 'It is']}
    """
    row = lower(row)
    others = row.get("correct_answers") or []
    others = others.split(";") if isinstance(others, str) else of_kind(others, list, "others")
    golds = [row["best_answer"], *(text.strip() for text in others)]
    return with_golds({"question": row["question"]}, dict.fromkeys(golds), "best_answer")


def read_possible_answers(row: Row) -> Row:
    """PopQA: all answers, in a table as a list in one cell.

    Example:
        >>> read_possible_answers({"question": "Is 9 odd?", "possible_answers": '["yes", "true"]'})
        {'question': 'Is 9 odd?', 'id': None, 'answer': ['yes', 'true']}
    """
    question = {"question": row["question"], "id": row.get("id")}
    golds = of_kind(listed(row["possible_answers"], "possible_answers"), list, "possible_answers")
    return with_golds(question, golds, "possible_answers")


def read_web_questions(row: Row) -> Row:
    """WebQuestions: the answers are written as a list of descriptions.

    Example:
        >>> value = '(list (description Oslo) (description "New York"))'
        >>> read_web_questions({"utterance": "where is it?", "targetValue": value})
        {'question': 'where is it?', 'answer': ['Oslo', 'New York']}
    """
    value = of_kind(row["targetValue"], str, "targetValue")
    golds = [quoted or plain for quoted, plain in _DESCRIPTION.findall(value)]
    return with_golds({"question": row["utterance"]}, golds, "targetValue")


@dataclass(frozen=True, slots=True)
class ChoiceSet:
    """How a data set writes questions whose options stand in fields of their own."""

    name: str
    question: str
    """The question, with the names of the row's fields in braces."""
    options: tuple[str, ...]
    """Fields of one option each, or the one field of them all."""
    key: str = "label"
    first: int = 0
    """What the key says of the first option."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields by which a row of this set is known."""
        named = (name for _, name, _, _ in Formatter().parse(self.question) if name)
        return (*named, *self.options)


CHOICE_SETS = (
    ChoiceSet("HellaSwag", "{ctx}", ("endings",)),
    ChoiceSet("PIQA", "{goal}", ("sol1", "sol2")),
    ChoiceSet("WinoGrande", "{sentence}", ("option1", "option2"), "answer", first=1),
    ChoiceSet("COPA", "{premise} What is the {question} of this?", ("choice1", "choice2")),
    ChoiceSet("Social IQa", "{question}", ("answerA", "answerB", "answerC"), first=1),
    ChoiceSet("Cosmos QA", "{question}", ("answer0", "answer1", "answer2", "answer3")),
)


def read_choice_set(kind: ChoiceSet, row: Row) -> Row:
    """HellaSwag, PIQA, WinoGrande, COPA, Social IQa, Cosmos QA: the key counts the options.

    Raises:
        DataError: A field of the question is no text, or the key no number of an option.

    Example:
        >>> row = {"goal": "Open it.", "sol1": "Push.", "sol2": "Pull.", "label": 1}
        >>> read_choice_set(CHOICE_SETS[1], row)
        {'question': 'Open it.', 'options': ['Push.', 'Pull.'], 'key': ('label', 1)}
    """
    options = row[kind.options[0]] if len(kind.options) == 1 else [row[n] for n in kind.options]
    texts = {name: of_kind(row[name], str, name) for name in {*kind.fields} - {*kind.options}}
    question: Row = {"question": kind.question.format_map(texts), "options": options}
    question |= {name: row[name] for name in ("id", "context") if row.get(name) is not None}
    key = row.get(kind.key)
    if key in (None, "", -1, "-1"):
        return question  # the test files are published without
    text = answer_text(key, kind.key)
    if not text.isdecimal() or int(text) < kind.first:
        raise DataError(
            f"field {kind.key!r} must count the options from {kind.first}, not be {text!r}"
        )
    return question | {"key": (kind.key, int(text) - kind.first)}


def has_stem(row: Row) -> bool:
    """Whether the question is an object with its options."""
    return isinstance(row.get("question"), dict) and "stem" in row["question"]


def read_stem(row: Row) -> Row:
    """ARC, CommonsenseQA and OpenBookQA in their own files: the options are in the question.

    Example:
        >>> choices = [{"label": "A", "text": "yes"}, {"label": "B", "text": "no"}]
        >>> row = {"question": {"stem": "Is 9 odd?", "choices": choices}, "answerKey": "A"}
        >>> read_stem(row)["question"], read_stem(row)["key"]
        ('Is 9 odd?', ('answerKey', 'A'))
    """
    question = of_kind(row["question"], dict, "question")
    stem = {"question": of_kind(question["stem"], str, "stem"), "options": question.get("choices")}
    return with_key(stem | {"id": row.get("id")}, row)


def read_strategy(row: Row) -> Row:
    """StrategyQA: yes or no, the facts not shown.

    Example:
        >>> read_strategy({"qid": "s", "question": "Is 9 odd?", "answer": True, "facts": []})
        {'question': 'Is 9 odd?', 'answer': True, 'id': 's'}
    """
    return {"question": row["question"], "answer": row["answer"], "id": row["qid"]}


def lower(row: Row) -> Row:
    """A row whose names are in lower case, with `_` for a space.

    Example:
        >>> lower({"Final answer": "5"})
        {'final_answer': '5'}
    """
    return {str(name).lower().replace(" ", "_"): value for name, value in row.items()}
