"""Files that would be misread are refused, and the error names file, line and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decompose_distill import DataError, Question, load_questions
from decompose_distill.data import read_rows

FAULTS: dict[str, tuple[str, str, str]] = {
    "nan": ("a.jsonl", '{"question": "x", "answer": NaN}', ":1: field 'answer' is nan: leave"),
    "infinity": (
        "a.json",
        '[{"question": "x", "answer": -Infinity}]',
        ": row 1: field 'answer' is",
    ),
    "a number too large": (
        "a.jsonl",
        '{"question": "x", "answer": 1e999}',
        "field 'answer' is inf",
    ),
    "nan in a list": (
        "a.jsonl",
        '{"question": "x", "aliases": [1, NaN]}',
        "field 'aliases' is nan",
    ),
    "nan as target": ("a.jsonl", '{"input": "x", "target": NaN}', ":1: field 'target' is nan"),
    "nan as context": ("a.jsonl", '{"question": "x", "context": NaN}', ":1: field 'context' must"),
    "nan as option": (
        "a.jsonl",
        '{"question": "x", "options": ["a", NaN]}',
        "field 'options' is nan",
    ),
    "nan in a table": ("a.csv", "question,answer\nWho?,NaN\n", ":2: field 'answer' is nan"),
    "digits": (
        "a.jsonl",
        '{"question": "x", "answer": %s}' % ("9" * 5000),
        ":1: not JSON: Exceeds",
    ),
    "nul": ("a.jsonl", r'{"question": "a\u0000b"}', r":1: field 'question' holds '\x00' at char"),
    "half a pair": ("a.jsonl", r'{"question": "\ud83d"}', r":1: field 'question' holds '\ud83d'"),
    "half a gold": (
        "a.jsonl",
        r'{"question": "x", "answer": "\udc00"}',
        ":1: field 'answer' holds",
    ),
    "twice": (
        "a.jsonl",
        '{"question": "x", "question": "y"}',
        ":1: not JSON: field 'question' stands",
    ),
    "a column twice": ("a.csv", "question,answer,answer\nx,1,2\n", ":1: column 'answer' stands"),
    "deep": ("a.json", "[" * 100_000, "a.json: nested deeper than 100 levels"),
    "deep objects": ("a.json", '{"question":' * 100_000, "a.json: nested deeper than 100 levels"),
    "deep in line 2": (
        "a.jsonl",
        '{"question": "x"}\n{"question": "y", "answer": ' + "[" * 150_000,
        "a.jsonl:2: nested deeper than 100 levels",
    ),
    "deep and whole": (
        "a.jsonl",
        '{"question": "x", "answer": ' + "[" * 500 + "]" * 500 + "}",
        "a.jsonl:1: field 'answer' is nested deeper than 100 levels",
    ),
    "deep wrappers": (
        "a.json",
        '{"data": ' * 50 + '{"question": "x"}' + "}" * 50,
        "missing field 'question'",
    ),
    "no such option": (
        "a.jsonl",
        '{"question": "x", "options": ["a", "b"], "correct": "F"}',
        ":1: field 'correct': 'F' is none of the options A) a; B) b",
    ),
    "an option too far": (
        "a.jsonl",
        '{"question": "x", "options": ["a", "b"], "answer": 2}',
        ":1: field 'answer': '2' is none of the options A) a; B) b",
    ),
    "a label that says another": (
        "a.jsonl",
        '{"question": "x", "options": ["B", "A"], "answer": "A"}',
        ":1: field 'answer': 'A' is the label of one option and the text of another",
    ),
    "options of a kind unknown": (
        "a.jsonl",
        '{"question": "x", "options": true}',
        ":1: field 'options' must be a list of options, not bool",
    ),
    "titles without texts": (
        "a.jsonl",
        '{"question": "x", "context": {"title": ["a", "b"], "sentences": [["c"]]}}',
        ":1: field 'context': 2 titles for 1 passages",
    ),
    "context of numbers": (
        "a.jsonl",
        '{"question": "x", "context": 3}',
        ":1: field 'context' must be text or passages, not int",
    ),
    "a list of sentences that is none": (
        "a.jsonl",
        '{"question": "x", "context": [["a", [1]]]}',
        ":1: field 'context' must hold sentences as text",
    ),
    "a table named as lines": (
        "a.jsonl",
        "question,answer\nWho?,Ada\n",
        "a.jsonl:1: not JSON: it begins with 'question,answer'; a table of cells must be",
    ),
    "a broken first line": (
        "a.jsonl",
        '{"question": "x"\n{"question": "y"}\n',
        "a.jsonl:1: not JSON",
    ),
    "a broken document": (
        "a.json",
        '[\n{"question": "x"},\n{"question" "y"}]',
        "a.json:3: not JSON",
    ),
    "traces": (
        "a.jsonl",
        '{"schema": 1, "key": "", "sample": 0}',
        "this is a trace: read_traces reads it",
    ),
    "training data": (
        "a.jsonl",
        '{"messages": []}',
        "this is training data: import_traces reads it",
    ),
    "nothing inside": ("a.json", '{"data": []}', "a.json: holds no question"),
    "two lists": (
        "a.json",
        '{"train": [{"question": "x"}], "test": [{"question": "y"}]}',
        "no known layout has train, test",
    ),
    "answers by count": (
        "a.jsonl",
        '{"question": "x", "answers": 3}',
        "field 'answers' must be list",
    ),
    "a table's cell": (
        "a.csv",
        "question,options,answer\nx,red or blue,red\n",
        ":2: field 'options' must be a list of options, not the text 'red or blue'",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_would_be_misread_is_refused_with_file_line_and_field(
    name: str, tmp_path: Path
) -> None:
    file, content, fault = FAULTS[name]
    path = tmp_path / file
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        load_questions(path)

    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


def test_utf_16_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("question\nWho?\n".encode("utf-16"))

    with pytest.raises(DataError, match=r"a\.csv:1: not UTF-8 but UTF-16; save it as UTF-8"):
        load_questions(tmp_path / "a.csv")


def test_a_folder_is_no_file_of_questions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder: name a file of questions in it"):
        load_questions(tmp_path)


NAMES = (
    "question answer answers context paragraphs options choices correct input target data qas "
    "target_scores text label title sentences Body Question passage query_id problem solution "
    "answerKey id stem query prompt best_answer possible_answers utterance targetValue "
    "narrative table document summary qa pre_text gold_label answer_0"
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["A", "B", "A) x", "a ) 1 , b ) 2", "[1, 2]", "#### 3", "\\boxed{4"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=15,
)


@settings(max_examples=300)
@given(value=VALUES, fields=st.none() | st.just({"question": "text", "answer": "label"}))
def test_any_json_gives_questions_or_a_data_error_that_names_the_file(
    value: Any, fields: dict[str, str] | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        [*_, last] = load_questions(path, fields=fields)
    except DataError as error:
        last, told = None, str(error)

    assert isinstance(last, Question) or str(path) in told


def test_memory_holds_one_line_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text('{"question": "Who?"}\n' + "{" * 10)  # the fault is behind the first row

    assert next(read_rows(path)) == (f"{path}:1", {"question": "Who?"})
