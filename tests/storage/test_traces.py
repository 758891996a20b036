"""Traces survive the way to disk and back; what is malformed is named."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import (
    DataError,
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    Usage,
    read_traces,
    write_traces,
)
from decompose_distill.storage.traces import TraceStore, decode_trace, encode_trace

WORDS = st.text(min_size=1).filter(str.strip)
USAGES = st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9))


@st.composite
def _traces(draw: st.DrawFn) -> Trace:
    context = draw(st.none() | st.text())
    question = Question(draw(WORDS), draw(st.none() | st.text()), context, draw(_texts))
    sample = draw(st.integers(0, 99))
    subquestions = tuple(Subquestion(text) for text in draw(_texts))
    decomposition = Decomposition(question, subquestions, draw(st.text()), sample, draw(USAGES))
    if draw(st.booleans()):
        solution = Solution(decomposition, draw(st.text()), draw(st.text()), draw(USAGES))
        return Trace(question, solution, sample, draw(st.integers(0, 9)), draw(st.text()))
    stage = draw(st.sampled_from(["decompose", "solve"]))
    failed = decomposition if stage == "solve" else None
    words = draw(st.text()), draw(st.text()), draw(st.text())
    failure = Failure(question, stage, *words, failed, sample, draw(USAGES))  # type: ignore[arg-type]
    return Trace(question, failure, sample, draw(st.integers(0, 9)), draw(st.text()))


_texts = st.lists(st.text(), max_size=3).map(tuple)


@given(_traces())
def test_a_trace_survives_the_way_to_text_and_back(trace: Trace) -> None:
    assert decode_trace(encode_trace(trace), "here:1") == trace


def test_a_trace_written_before_solves_were_numbered_is_the_first() -> None:
    question = Question("Who?")
    line = encode_trace(Trace(question, Failure(question, "decompose", "length"), key="a"))

    assert '"solve"' not in line
    assert decode_trace(line, "here:1").solve == 0


def test_traces_are_read_in_the_order_written(tmp_path: Path, traces: tuple[Trace, ...]) -> None:
    write_traces(traces, tmp_path / "deep" / "traces.jsonl")

    assert tuple(read_traces(tmp_path / "deep" / "traces.jsonl")) == traces


FAULTS = {
    "not JSON": "{",
    "expected a JSON object, found list": "[]",
    "missing field 'schema'": "{}",
    "schema 99; this version reads schema 1": '{"schema": 99}',
    "missing field 'question'": '{"schema": 1}',
    "field 'question' must be dict, not str": '{"schema": 1, "question": "x"}',
    "question text is empty": '{"schema": 1, "question": {"text": " "}}',
    "missing field 'text'": '{"schema": 1, "question": {}}',
    "missing field 'sample'": '{"schema": 1, "question": {"text": "x"}}',
    "field 'sample' must be int, not bool": (
        '{"schema": 1, "sample": true, "question": {"text": "x"}}'
    ),
    "missing field 'failure'": '{"schema": 1, "sample": 0, "question": {"text": "x"}}',
    "missing field 'decomposition'": (
        '{"schema": 1, "sample": 0, "question": {"text": "x"}, "solution": {}}'
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_line_is_named_with_file_line_and_field(
    fault: str, tmp_path: Path, traces: tuple[Trace, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(encode_trace(traces[0]) + "\n" + FAULTS[fault] + "\n")

    with pytest.raises(DataError) as caught:
        list(read_traces(path))
    assert str(caught.value).startswith(f"{path}:2: {fault}")


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_any_json_is_a_trace_or_a_data_error(line: str) -> None:
    with pytest.raises(DataError, match="here:1"):
        decode_trace(line, "here:1")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file of traces"):
        list(read_traces(tmp_path / "nowhere.jsonl"))


@pytest.mark.parametrize("torn", ['{"schema": 1, "que', "{", '{"schema"' + "x" * 100_000])
def test_a_line_torn_by_a_kill_is_cut_off(
    torn: str, tmp_path: Path, traces: tuple[Trace, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(encode_trace(traces[0]) + "\n" + torn)
    with TraceStore(path) as journal:
        journal.add(traces[1])

    assert list(read_traces(path)) == list(traces[:2])


def test_a_file_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text('{"schema": 1, "que')
    with TraceStore(path):
        pass

    assert path.read_text() == ""


def test_writing_traces_leaves_the_old_file_where_it_fails(
    tmp_path: Path, traces: tuple[Trace, ...]
) -> None:
    path = tmp_path / "traces.jsonl"
    write_traces(traces, path)

    def broken() -> object:
        yield traces[0]
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        write_traces(broken(), path)  # type: ignore[arg-type]
    assert len(list(read_traces(path))) == len(traces)
