"""Training data of other tools is read as traces, or refused by file, line and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decompose_distill import ConfigError, DataError, Failure, Trace, filters, import_traces
from decompose_distill.interop.importing import Role


def _import(path: Path, *rows: Any, role: Role = "decomposer") -> list[Trace]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(import_traces(path, role=role))


def _steps(trace: Trace) -> list[str]:
    assert trace.decomposition is not None
    return [step.text for step in trace.decomposition.subquestions]


def _chat(*turns: str) -> list[dict[str, str]]:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles.get(turn[0], turn[0]), "content": turn[2:]} for turn in turns]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": _chat("u Is Ada over 9?", "a 1. How old is Ada?")},
        {"messages": _chat("s Split.", "u Is Ada over 9?", "a 1. How old is Ada?")},
        {"prompt": "Is Ada over 9?", "completion": "1. How old is Ada?"},
        {
            "prompt": _chat("s Split.", "u Is Ada over 9?"),
            "completion": _chat("a 1. How old is Ada?"),
            "source": "elsewhere",
        },
    ],
)
def test_a_chat_is_one_half_of_a_trace(row: dict[str, Any], tmp_path: Path) -> None:
    [split] = _import(tmp_path / "x.jsonl", row)
    [solved] = _import(tmp_path / "x.jsonl", row, role="solver")

    assert split.question.text == solved.question.text == "Is Ada over 9?"
    assert _steps(split) == ["How old is Ada?"]
    assert filters.decomposed(split) is None
    assert filters.complete(split) == "solve: not solved"
    assert solved.answer == "1. How old is Ada?"
    assert _steps(solved) == []


BERGEN = "Is Bergen larger than Narvik?"
TASK = "Split the question into smaller ones."
CITIES = ["How many people live in Bergen?", "How many people live in Narvik?"]
SAID = "1. How many people live in Bergen?\n2. How many people live in Narvik?"
SHARED = [{"from": "human", "value": BERGEN}, {"from": "gpt", "value": SAID}]
OTHERS: dict[str, tuple[str, Any]] = {
    "alpaca": (BERGEN, {"instruction": BERGEN, "input": "", "output": SAID}),
    "alpaca without input": (BERGEN, {"instruction": BERGEN, "output": SAID}),
    "alpaca with a task": (BERGEN, {"instruction": TASK, "input": BERGEN, "output": SAID}),
    "alpaca with a system turn": (
        BERGEN,
        {"instruction": BERGEN, "input": "", "output": SAID, "system": TASK, "history": []},
    ),
    "alpaca, both": (
        f"{TASK}\n\nBergen or Narvik",
        {"instruction": TASK, "input": "Bergen or Narvik", "output": SAID},
    ),
    "alpaca, the task in input": (BERGEN, {"instruction": "", "input": BERGEN, "output": SAID}),
    "sharegpt": (BERGEN, {"id": "x", "conversations": SHARED}),
    "sharegpt with a system turn": (
        BERGEN,
        {"conversations": [{"from": "system", "value": TASK}, *SHARED]},
    ),
    "conversations with roles": (
        BERGEN,
        {"conversations": _chat(f"s {TASK}", f"u {BERGEN}", f"a {SAID}")},
    ),
    "content in parts": (
        BERGEN,
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": TASK}]},
                {"role": "user", "content": [{"type": "text", "text": BERGEN}]},
                {"role": "assistant", "content": SAID},
            ]
        },
    ),
    "as our prompts write it": (BERGEN, {"prompt": f"Question: {BERGEN}", "completion": SAID}),
}


@pytest.mark.parametrize("wrap", ["lines", "list", "data"])
@pytest.mark.parametrize("name", OTHERS)
def test_training_data_of_others_gives_question_and_subquestions(
    name: str, wrap: str, tmp_path: Path
) -> None:
    question, row = OTHERS[name]
    wrapped = {"lines": row, "list": [row], "data": {"version": 1, "data": [row]}}[wrap]
    (tmp_path / "x.json").write_text(json.dumps(wrapped))
    [trace] = import_traces(tmp_path / "x.json")

    assert trace.question.text == question
    assert _steps(trace) == CITIES


def test_an_input_beside_a_question_is_its_context(tmp_path: Path) -> None:
    row = {"instruction": BERGEN, "input": "Bergen has 290,000 people.", "output": SAID}
    [trace] = _import(tmp_path / "x.jsonl", row)

    assert (trace.question.text, trace.question.context) == (BERGEN, "Bergen has 290,000 people.")


def test_a_solver_s_chat_gives_its_subquestions_back(tmp_path: Path) -> None:
    asked = f"Context: A map.\n\nQuestion: {BERGEN}\n\nSubquestions:\n{SAID}"
    row = {"prompt": asked, "completion": "The answer is: yes"}
    [trace] = _import(tmp_path / "x.jsonl", row, role="solver")

    assert (trace.question.context, trace.question.text) == ("A map.", BERGEN)
    assert (_steps(trace), trace.answer) == (CITIES, "yes")


def test_a_completion_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    row = {"prompt": "Is Ada over 9?", "completion": "Let me think."}
    [trace] = _import(tmp_path / "x.jsonl", row)

    assert isinstance(trace.outcome, Failure)
    assert (trace.outcome.reason, trace.outcome.text) == ("no subquestions found", "Let me think.")


def test_each_sample_of_ai_subq_is_a_trace(tmp_path: Path) -> None:
    row = {
        "problem": "How many in all?",
        "questions": ["Q1: How many here?\nQ2: How many there?", "Q1: How many?"],
        "answers": ["A1: 16-3=13.\nA2: 5.\n\nFinal answer: 18", "A1: none\n\nFinal answer: 7"],
        "answer": "#### 18",
    }
    first, second = _import(tmp_path / "x.jsonl", row)

    assert _steps(first) == ["How many here?", "How many there?"]
    assert (first.answer, first.question.answer, first.sample) == ("18", "18", 0)
    assert (second.answer, second.sample) == ("7", 1)
    assert [filters.correct(each) for each in (first, second)] == [None, "wrong answer"]


def test_a_socratic_row_is_a_right_trace_without_calculator_marks(tmp_path: Path) -> None:
    answer = (
        "How many in May? ** She sold 48/2 = <<48/2=24>>24 in May.\n"
        "How many in all? ** She sold 48+24 = <<48+24=72>>72.\n#### 72"
    )
    [trace] = _import(tmp_path / "x.jsonl", {"question": "How many clips?", "answer": answer})

    assert _steps(trace) == ["How many in May?", "How many in all?"]
    assert trace.solution is not None
    assert trace.solution.text == (
        "1. She sold 48/2 = 24 in May.\n2. She sold 48+24 = 72.\nThe answer is: 72"
    )
    assert filters.correct(trace) is None


def test_a_json_list_and_a_byte_order_mark_are_read_too(tmp_path: Path) -> None:
    row = json.dumps({"prompt": "Why?", "completion": "1. Who?"})
    (tmp_path / "list.json").write_text(f"[{row}, {row}]")
    (tmp_path / "mark.jsonl").write_text(f"\ufeff{row}\n\n{row}\n", encoding="utf-8")

    assert len(list(import_traces(tmp_path / "list.json"))) == 2
    assert len(list(import_traces(tmp_path / "mark.jsonl"))) == 2


SUBQ = {"problem": "Why?", "questions": ["Q1: Who?"], "answers": ["x"]}
FAULTS: list[tuple[Any, str]] = [
    ([], "expected a JSON object, found list"),
    ({}, r"no known layout has the fields \(none\); known: messages; prompt"),
    ({"text": "Why?"}, "no known layout has the fields text; known"),
    ({"messages": "Why?"}, "field 'messages' must be a list, not str"),
    ({"messages": ["Why?"]}, "field 'messages', turn 1: expected a JSON object, found str"),
    ({"messages": [{"role": "user"}]}, "field 'messages', turn 1: field 'content' must be str"),
    ({"messages": []}, "field 'messages': a chat must be one user turn and .* not nothing"),
    ({"messages": _chat("u a", "a b", "u c", "a d")}, "not user, assistant, user, assistant"),
    ({"conversations": _chat("t x")}, "field 'role': 't' is none of system"),
    ({"conversations": [{"from": "human"}]}, "turn 1: field 'value' must be str"),
    ({"instruction": "Split.", "output": 3}, "field 'output' must be str, not int"),
    ({"instruction": " ", "input": " ", "output": "x"}, "'instruction': the user turn is empty"),
    ({"instruction": "a", "output": "b", "history": [["c"]]}, "field 'history' must hold pairs"),
    ({"instruction": "a", "output": "b", "history": [["c", "d"]]}, "not user, assistant, user"),
    ({"messages": _chat("u ", "a b")}, "field 'messages': the user turn is empty"),
    ({"prompt": " ", "completion": "x"}, "field 'prompt': the user turn is empty"),
    ({"prompt": "x", "completion": 3}, "field 'prompt' must be a list, not str"),
    ({**SUBQ, "problem": 3}, "field 'problem' must be a text that is not empty"),
    ({**SUBQ, "questions": "Q1"}, "field 'questions' must be a list of strings"),
    ({**SUBQ, "answers": [3]}, "field 'answers' must be a list of strings"),
    ({**SUBQ, "answers": []}, "field 'answers' holds 0 texts for 1 'questions'"),
    ({**SUBQ, "answer": 3}, "field 'answer' must be str, not int"),
    ({"question": "Why?", "answer": "72"}, "field 'answer' must be lines 'subquestion"),
    ({"question": "Why?", "answer": 72}, "field 'answer' must be a text"),
    ({"question": "", "answer": "A? ** b\n#### 72"}, "field 'question' must be a text"),
    ({"question": "Why?", "answer": "A?\n#### 72"}, "field 'answer': line 1 lacks"),
    ({"schema": 1}, "missing field 'question'"),
]


@pytest.mark.parametrize(("row", "fault"), FAULTS)
def test_a_malformed_row_is_named_with_file_line_and_field(
    row: Any, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    good = {"prompt": "Why?", "completion": "1. Who?"}
    with pytest.raises(DataError, match=rf"x\.jsonl:2: .*{fault}"):
        _import(path, good, row)


@pytest.mark.parametrize("line", [b"{", b'{"prompt": "\xff"}', b"nonsense"])
def test_a_line_that_is_no_json_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n" + line)
    with pytest.raises(DataError, match=r"x\.jsonl:2: not (JSON|UTF-8)"):
        list(import_traces(path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "prompt", "completion", "problem", "questions"])
                | st.sampled_from(["answers", "answer", "question", "role", "content", "schema"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_gives_traces_or_a_data_error(tmp_path: Path, row: Any) -> None:
    try:
        traces = _import(tmp_path / "x.jsonl", row)
    except DataError as error:
        told = str(error)
    else:
        told = "x.jsonl:" * all(isinstance(trace, Trace) for trace in traces)
    assert "x.jsonl:" in told


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(import_traces(tmp_path / "nowhere.jsonl"))
    with pytest.raises(DataError, match="holds no data/train"):
        list(import_traces(tmp_path))
    with pytest.raises(ConfigError, match="role must be one of"):
        list(import_traces(tmp_path, role="teacher"))  # type: ignore[arg-type]


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pip install 'decompose-distill[datasets]'")
    (tmp_path / "x.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"x\.parquet: not Parquet"):
        list(import_traces(tmp_path / "x.parquet"))
