"""load_backend finds built-in schemes and plugins, and explains what it cannot find."""

import sys
from pathlib import Path

import pytest

from decompose_distill import (
    ConfigError,
    DataError,
    Decomposer,
    Pipeline,
    Question,
    Solver,
    Trace,
    collect,
    load_backend,
    read_traces,
    write_traces,
)
from decompose_distill.backends.replay import ScriptedBackend
from tests.support.samples import make_trace


@pytest.mark.parametrize("name", ["gpt-4.1", "openai:", ""])
def test_a_name_without_scheme_or_model_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must be written 'scheme:model'"):
        load_backend(name)


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown backend scheme 'gtp'; known: hf, openai"):
        load_backend("gtp:4")


def test_base_url_goes_with_openai_only(tiny_dir: Path) -> None:
    with pytest.raises(ConfigError, match="base_url goes with 'openai:'"):
        load_backend(f"hf:{tiny_dir}", base_url="http://localhost:8000/v1")


def test_batches_take_no_number_of_requests_in_flight() -> None:
    with pytest.raises(ConfigError, match="max_in_flight does not go with batches"):
        load_backend("openai:gpt-4.1", max_in_flight=8, batches="traces.jsonl.batches")


def test_a_plugin_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parrot.py").write_text(
        "from decompose_distill import Completion\n"
        "class Parrot:\n"
        "    def __init__(self, model): self.model = model\n"
        "    def generate(self, requests):\n"
        "        for request in requests: yield Completion(request.id, f'1. {self.model}?')\n"
    )
    info = tmp_path / "parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[decompose_distill.backends]\nparrot = parrot:Parrot\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    backend = load_backend("parrot:polly")
    [outcome] = Decomposer(backend).decompose([Question("Who?")])
    sys.modules.pop("parrot")

    assert outcome.text == "1. polly?"


def test_recorded_traces_are_replayed_through_both_roles(
    tmp_path: Path, traces: tuple[Trace, ...]
) -> None:
    write_traces(traces, tmp_path / "traces.jsonl")
    backend = load_backend(f"replay:{tmp_path / 'traces.jsonl'}")
    replayed = Pipeline(Decomposer(backend), Solver(backend)).run(
        trace.question for trace in traces
    )

    assert [trace.answer for trace in replayed] == [trace.answer for trace in traces]


def test_every_solve_is_replayed_as_it_was_recorded(tmp_path: Path) -> None:
    question, path = Question("Who?"), tmp_path / "traces.jsonl"
    answers = iter(range(9))
    solver = ScriptedBackend(lambda text: f"The answer is: {next(answers)}")
    pipeline = Pipeline(Decomposer(ScriptedBackend(lambda text: "1. Why?")), Solver(solver))
    collect(pipeline, [question], path, samples=2, solves=3, progress=False)
    recorded = load_backend(f"replay:{path}")
    again = tmp_path / "again.jsonl"
    pipeline = Pipeline(Decomposer(recorded), Solver(recorded))
    collect(pipeline, [question], again, samples=2, solves=3, progress=False)

    assert [trace.answer for trace in read_traces(again)] == list("012345")


def test_a_question_id_with_slashes_is_replayed(tmp_path: Path) -> None:
    question = Question("How old are Ada and Bob together?", id="train/17/3")
    write_traces([make_trace(question, "40")], tmp_path / "traces.jsonl")
    backend = load_backend(f"replay:{tmp_path / 'traces.jsonl'}")

    assert Pipeline(Decomposer(backend), Solver(backend))(question).answer == "40"


def test_what_was_not_recorded_is_an_error_of_that_question(
    tmp_path: Path, traces: tuple[Trace, ...]
) -> None:
    write_traces(traces, tmp_path / "traces.jsonl")
    backend = load_backend(f"replay:{tmp_path / 'traces.jsonl'}")
    trace = Pipeline(Decomposer(backend), Solver(backend))(Question("Who else?"))

    assert trace.failure is not None
    assert "holds no trace of question" in trace.failure.message


def test_a_solution_recorded_for_other_subquestions_is_not_replayed(tmp_path: Path) -> None:
    question = Question("How old are Ada and Bob together?")
    write_traces([make_trace(question, "40")], tmp_path / "traces.jsonl")
    backend = load_backend(f"replay:{tmp_path / 'traces.jsonl'}")
    trace = Pipeline(None, Solver(backend))(question)

    assert trace.failure is not None
    assert "other subquestions" in trace.failure.message


def test_an_empty_file_of_traces_cannot_be_replayed(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text("")

    with pytest.raises(DataError, match="holds no trace to replay"):
        load_backend(f"replay:{tmp_path / 'traces.jsonl'}")
