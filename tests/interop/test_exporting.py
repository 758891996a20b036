"""Exports hold what a student would be trained on, and come back as the traces they were."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposition,
    Failure,
    Message,
    Question,
    Solution,
    Subquestion,
    Trace,
    Usage,
    export_traces,
    filters,
    import_traces,
    prompts,
)
from decompose_distill.interop import Format
from decompose_distill.interop.training_formats import (
    ALPACA,
    COMPLETION,
    MESSAGES,
    SHAREGPT,
    ChatForm,
)
from decompose_distill.training.data.examples import Role
from tests.support.samples import PROMPT

WORDS = st.text(min_size=1).filter(str.strip)
STEPS = st.lists(st.from_regex(r"[A-Z][a-z ]{1,20}\?", fullmatch=True), min_size=1, max_size=4)


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def one() -> Trace:
    question = Question("How old are both?", answer="42", context="Ada is 40, Bob 2.")
    steps = (Subquestion("How old is Ada?"), Subquestion("How old is Bob?"))
    return Trace(question, Solution(Decomposition(question, steps), "42", "The answer is: 42"))


SYSTEM = {"role": "system", "content": "Split."}
ASKED = {"role": "user", "content": "How old are both?"}
SAID = {"role": "assistant", "content": "1. How old is Ada?\n2. How old is Bob?"}
FORMS: dict[Format, dict[str, object]] = {
    "trl": {"prompt": [SYSTEM, ASKED], "completion": [SAID]},
    "axolotl": {"messages": [SYSTEM, ASKED, SAID]},
    "llamafactory": {"messages": [SYSTEM, ASKED, SAID]},
    "sharegpt": {
        "conversations": [
            {"from": "system", "value": "Split."},
            {"from": "human", "value": "How old are both?"},
            {"from": "gpt", "value": SAID["content"]},
        ]
    },
    "alpaca": {
        "instruction": "How old are both?",
        "input": "",
        "output": SAID["content"],
        "system": "Split.",
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_each_format_has_the_fields_its_readers_document(
    form: Format, one: Trace, tmp_path: Path
) -> None:
    export_traces([one], tmp_path / "sft.jsonl", format=form, prompt=PROMPT)

    assert _rows(tmp_path / "sft.jsonl") == [FORMS[form]]


def test_a_solver_is_taught_what_its_target_says(one: Trace, tmp_path: Path) -> None:
    path = tmp_path / "sft.jsonl"
    export_traces([one], path, role="solver", format="axolotl")
    [row] = _rows(path)

    *_, asked, said = row["messages"]  # type: ignore[misc]
    assert "Context: Ada is 40" in asked["content"]
    assert "2. How old is Bob?" in asked["content"]
    assert said["content"] == "The answer is: 42"


def test_worked_examples_of_a_prompt_become_history_in_alpaca(one: Trace, tmp_path: Path) -> None:
    prompt = prompts.Prompt("", "{question}").with_examples([(Question("Who?"), (), "1. Who?")])
    export_traces([one], tmp_path / "sft.jsonl", format="alpaca", prompt=prompt)
    [row] = _rows(tmp_path / "sft.jsonl")

    assert row["history"] == [["Who?", "1. Who?"]]
    assert row["instruction"] == "How old are both?"
    assert "system" not in row


def test_counts_add_up_and_what_cannot_teach_is_told(
    traces: tuple[Trace, ...], tmp_path: Path
) -> None:
    question = Question("Why?")
    failed = Trace(question, Failure(question, "decompose", "length"))
    done = export_traces([*traces, failed], tmp_path / "sft.jsonl", keep=filters.correct)

    assert (done.kept, done.dropped) == (4, {"wrong answer": 4, "decompose: length": 1})
    assert str(done).endswith("kept 4 of 9 traces, dropped 4 wrong answer, 1 decompose: length")
    assert len(_rows(done.path)) == 4


def test_llamafactory_finds_its_entry_beside_those_of_others(one: Trace, tmp_path: Path) -> None:
    place = tmp_path / "dataset_info.json"
    place.write_text('{"mine": {"file_name": "mine.json"}}')
    export_traces([one], tmp_path / "steps.jsonl", format="llamafactory")
    known = json.loads(place.read_text())

    assert known["mine"] == {"file_name": "mine.json"}
    assert known["steps"]["file_name"] == "steps.jsonl"
    assert known["steps"]["columns"] == {"messages": "messages"}
    assert known["steps"]["tags"]["assistant_tag"] == "assistant"


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_dataset_info_is_named_and_nothing_written(
    content: str, one: Trace, tmp_path: Path
) -> None:
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(DataError, match=r"dataset_info\.json: "):
        export_traces([one], tmp_path / "steps.jsonl", format="llamafactory")

    assert not (tmp_path / "steps.jsonl").exists()


@pytest.mark.parametrize("form", ["trl", "hub", "llamafactory"])
def test_nothing_kept_is_an_error_and_makes_no_file(form: Format, tmp_path: Path) -> None:
    question = Question("Why?")
    failed = Trace(question, Failure(question, "decompose", "length"))
    with pytest.raises(DataError, match="nothing to write: kept 0 of 1 traces"):
        export_traces([failed], tmp_path / "out", format=form)

    assert list(tmp_path.iterdir()) == []


def test_a_file_and_a_folder_are_not_mixed_up(one: Trace, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is a folder"):
        export_traces([one], tmp_path)
    with pytest.raises(ConfigError, match="holds something"):
        export_traces([one], tmp_path, format="hub")
    with pytest.raises(ConfigError, match="format must be one of trl, axolotl"):
        export_traces([one], tmp_path / "x", format="csv")  # type: ignore[arg-type]


@st.composite
def _whole_traces(draw: st.DrawFn) -> Trace:
    """Any trace that was decomposed, solved or not."""
    texts = st.lists(st.text(), max_size=3).map(tuple)
    usages = st.builds(Usage, st.integers(0, 10**9), st.integers(0, 10**9))
    words = draw(WORDS), draw(st.none() | st.text()), draw(st.none() | st.text()), draw(texts)
    question, sample = Question(*words), draw(st.integers(0, 99))
    steps = tuple(Subquestion(text) for text in draw(texts))
    split = Decomposition(question, steps, draw(st.text()), sample, draw(usages))
    outcome: Solution | Failure = Solution(split, draw(st.text()), draw(st.text()), draw(usages))
    if draw(st.booleans()):
        said = draw(st.text()), draw(st.text()), draw(st.text())
        outcome = Failure(question, "solve", *said, split, sample, draw(usages))
    return Trace(question, outcome, sample, draw(st.integers(0, 9)), draw(st.text()))


@pytest.mark.parametrize("form", ["hub", "hub-parquet"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traces=st.lists(_whole_traces(), min_size=1, max_size=4))
def test_a_hub_folder_brings_every_trace_back_as_it_was(
    form: Format, traces: list[Trace], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if form == "hub-parquet":
        pytest.importorskip("pyarrow")
    place = tmp_path_factory.mktemp("hub")
    export_traces(traces, place, format=form, keep=filters.decomposed)

    assert list(import_traces(place)) == traces


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("role", ["decomposer", "solver"])
@settings(max_examples=15)
@given(asked=WORDS, context=st.none() | WORDS, steps=STEPS)
def test_question_context_and_subquestions_survive_the_way_through_a_chat(
    form: Format,
    role: Role,
    asked: str,
    context: str | None,
    steps: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    question = Question(asked, context=context)
    split = Decomposition(question, tuple(Subquestion(step.strip()) for step in steps))
    path = tmp_path_factory.mktemp("chat") / "sft.jsonl"
    export_traces([Trace(question, Solution(split, "x", "It is x."))], path, format=form, role=role)
    [back] = import_traces(path, role=role)

    assert back.question == question
    assert back.decomposition is not None
    assert back.decomposition.subquestions == split.subquestions


@pytest.mark.parametrize("form", [MESSAGES, COMPLETION, SHAREGPT, ALPACA])
@given(
    system=st.lists(WORDS, max_size=1),
    turns=st.lists(WORDS, min_size=2, max_size=6).filter(lambda turns: len(turns) % 2 == 0),
)
def test_a_chat_is_read_as_it_was_written(
    form: ChatForm, system: list[str], turns: list[str]
) -> None:
    chat = [Message("system", text) for text in system]
    chat += [Message("assistant" if odd % 2 else "user", text) for odd, text in enumerate(turns)]

    assert form.read(form.write(chat)) == chat


@pytest.mark.parametrize("form", [*FORMS, "hub", "hub-parquet"])
def test_what_stands_there_is_not_overwritten(
    form: Format, one: Trace, traces: tuple[Trace, ...], tmp_path: Path
) -> None:
    if form == "hub-parquet":
        pytest.importorskip("pyarrow")
    place = tmp_path / "out"
    first = export_traces([one], place, format=form)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    assert export_traces([one], place, format=form) == first
    with pytest.raises(ConfigError, match="exists with other content: name another file"):
        export_traces(traces, place, format=form)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_entry_of_another_data_set_is_not_overwritten(one: Trace, tmp_path: Path) -> None:
    index = '{"steps": {"file_name": "other.json"}}'
    (tmp_path / "dataset_info.json").write_text(index)
    with pytest.raises(ConfigError, match=r"dataset_info\.json names another data set 'steps'"):
        export_traces([one], tmp_path / "steps.jsonl", format="llamafactory")

    assert (tmp_path / "dataset_info.json").read_text() == index


def test_a_place_that_cannot_be_written_is_named(one: Trace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"sft\.jsonl: cannot write: "):
        export_traces([one], tmp_path / "file" / "sft.jsonl")
    with pytest.raises(ConfigError, match="is a file; give a new or empty folder"):
        export_traces([one], tmp_path / "file", format="hub")


@pytest.mark.parametrize("form", ["hub", "hub-parquet"])
def test_datasets_loads_the_folder_with_its_types(form: Format, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install 'decompose-distill[datasets]'")
    # The reader guesses types from the first 10 MB of a file: nothing in them has a failure.
    question = Question("How old are both?", context="Ada is 40, Bob 2. " * 5000)
    split = Decomposition(question, (Subquestion("How old is Ada?"),))
    solved = Trace(question, Solution(split, "42", "The answer is: 42"))
    failed = Trace(question, Failure(question, "solve", "length", decomposition=split))
    place = tmp_path / "out"
    export_traces(
        [*[solved] * 160, failed], place, format=form, keep=filters.decomposed, prompt=PROMPT
    )
    loaded = datasets.load_dataset(str(place), split="train", cache_dir=str(tmp_path / "cache"))

    assert len(loaded) == 161
    assert loaded[0]["prompt"] == FORMS["trl"]["prompt"]
    assert loaded[0]["decomposition"]["subquestions"] == ["How old is Ada?"]
    assert loaded[160]["failure"]["reason"] == "length"
    assert loaded[160]["solution"] is None
