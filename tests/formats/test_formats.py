"""What users have on disk is read by every later version, and finished work is found there.

The files were written at commit 20e4c1d, see `make.py`; each test works on a copy.
"""

import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import decompose_distill as dd
from decompose_distill import load_backend
from decompose_distill.cost.pricing import Price, read_prices
from decompose_distill.reporting import Cell, Study
from decompose_distill.reporting.study_file import load_study
from decompose_distill.training.checkpoints.manifest import load_losses, load_manifest
from tests.formats import recorded
from tests.formats.recorded import CONFIG, FILES, LORA, QUESTIONS, SPLIT, TRAIN, WORK
from tests.support.samples import run_cli

COLLECTED = "collected/traces.jsonl"
TWICE: dict[str, Any] = {"samples": 2, "solves": 2, "progress": False}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, as working directory: models and outputs have relative names."""
    place = shutil.copytree(FILES, tmp_path / "files")
    monkeypatch.chdir(place)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    return place


def unasked(request: dd.Request) -> dd.Completion:
    raise AssertionError(f"asked again: {request}")


def _told(trace: dd.Trace) -> tuple[object, ...]:
    """Every value that a trace had when the files were written."""
    split, failure = trace.decomposition, trace.failure
    steps = split and ([each.text for each in split.subquestions], split.text, split.usage)
    why = failure and (failure.stage, failure.reason, failure.message)
    outcome = (trace.answer, why, trace.outcome.text, trace.outcome.usage)
    return (trace.question, trace.sample, trace.solve, trace.key, steps, outcome)


def _traces(path: str) -> list[tuple[object, ...]]:
    return [_told(trace) for trace in dd.read_traces(path)]


def _spend(collected: dd.Collected) -> dict[str, tuple[object, ...]]:
    return {
        each.role: (each.phase, each.requests, each.usage, each.usd, each.unanswered)
        for each in collected.spend
    }


def _files(folder: str) -> set[Path]:
    reports = ("lock", "report.html", "report.md")
    every = {path for path in Path(folder).rglob("*") if path.is_file()}
    every -= {*Path(folder, "figures").glob("*"), *Path(folder, "tables").glob("*")}
    return {path for path in every if path.suffix != ".lock" and path.name not in reports}


def _holds(new: Any, old: Any) -> bool:
    """Whether plain data holds all that is in an older one; it may hold further fields."""
    if isinstance(old, dict):
        return all(name in new and _holds(new[name], each) for name, each in old.items())
    if isinstance(old, list):
        return len(new) == len(old) and all(map(_holds, new, old))
    return bool(new == old)


def _lasting(figures: Any) -> Any:
    """Figures without prose, settings, and intervals, whose method may become a better one."""
    if isinstance(figures, list):
        return [_lasting(row) for row in figures]
    if not isinstance(figures, dict):
        return figures
    passing = {"answer", "settings", "score_version", "ci_low", "ci_high"}
    return {name: _lasting(row) for name, row in figures.items() if name not in passing}


def _unversioned(study: Study) -> Study:
    """A study without prose and without its score's version, which may become a better one."""

    def bare(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
        return tuple(
            replace(
                cell, reports=tuple(replace(report, score_version="") for report in cell.reports)
            )
            for cell in cells
        )

    grids = tuple(replace(grid, cells=bare(grid.cells)) for grid in study.transfers)
    return replace(study, settings={}, cells=bare(study.cells), transfers=grids)


def test_no_durable_key_changes() -> None:
    old, new = json.loads(Path("keys.json").read_text()), recorded.keys()

    assert old.keys() == new.keys()
    for kind in old:
        assert json.loads(json.dumps(new[kind])) == old[kind], kind


def test_traces_are_read_with_the_values_that_were_written() -> None:
    dd.collect(recorded.pipeline(), QUESTIONS, "fresh.jsonl", **TWICE)
    first, second, *_ = dd.read_traces(COLLECTED)
    reasons = [trace.failure and trace.failure.reason for trace in dd.read_traces(COLLECTED)]

    assert _traces(COLLECTED) == _traces("fresh.jsonl")
    assert first.question == dd.Question("How old are Ada and Eve together?", answer="40")
    assert (first.sample, first.solve, second.sample, second.solve) == (0, 0, 0, 1)
    assert (first.key, first.answer, second.answer) == ("7534fc18ab11a713", "40", "7")
    assert first.decomposition == dd.Decomposition(
        first.question,
        (
            dd.Subquestion("How old are Ada and Eve together in 1?"),
            dd.Subquestion("What is #1?"),
        ),
        "1. How old are Ada and Eve together in 1?\n2. What is #1?",
        0,
        dd.Usage(33, 56),
    )
    assert reasons.count("no subquestions found") == 2
    assert reasons.count("length") == 6  # of decompositions 2, of solutions 4
    assert reasons.count("empty completion") == 4


def test_a_finished_collection_asks_nothing_and_leaves_the_file_alone() -> None:
    before = Path(COLLECTED).read_bytes()
    pipeline = recorded.pipeline(unasked, unasked)
    plan = dd.plan(pipeline, QUESTIONS, COLLECTED, samples=2, solves=2)

    collected = dd.collect(pipeline, QUESTIONS, COLLECTED, **TWICE)

    assert (collected.asked, collected.found) == (0, 28)
    assert _spend(collected) == {
        "decomposer": ("collect", 16, dd.Usage(308, 736), Decimal("0.0013008"), 0),
        "solver": ("collect", 24, dd.Usage(2128, 216), Decimal("0.0011968"), 4),
    }
    assert collected.spent_usd == Decimal("0.00356")
    assert (plan.missing, plan.total) == (0, 32)
    assert Path(COLLECTED).read_bytes() == before


def test_what_only_the_journal_of_requests_holds_is_not_asked_again() -> None:
    before = _traces(COLLECTED)
    Path(COLLECTED).unlink()

    collected = dd.collect(
        recorded.pipeline(unasked, unasked), QUESTIONS, COLLECTED, **TWICE, budget_usd=0.01
    )

    assert collected.asked == 28
    assert collected.saved_usd == Decimal("0.0024976")
    assert _traces(COLLECTED) == before


def test_a_stopped_collection_asks_only_for_what_is_missing() -> None:
    asked: list[str] = []

    def solve(request: dd.Request) -> dd.Completion:
        asked.append(request.id)
        return recorded.solve(request)

    dd.collect(recorded.pipeline(), QUESTIONS, "fresh.jsonl", **TWICE)
    assert len(list(dd.read_traces("stopped/traces.jsonl"))) == 12

    collected = dd.collect(
        recorded.pipeline(second=solve), QUESTIONS, "stopped/traces.jsonl", **TWICE
    )

    assert (collected.found, collected.asked, len(asked)) == (11, 17, 15)
    assert _spend(collected)["solver"] == (
        "collect",
        25,
        dd.Usage(2128, 216),
        Decimal("0.0011968"),
        10,
    )
    assert _traces("stopped/traces.jsonl") == _traces("fresh.jsonl")


def test_fields_that_may_be_absent_are_read_as_before() -> None:
    path, pipeline = "older/traces.jsonl", recorded.single(unasked)
    first, cut, last = dd.read_traces(path)

    questions = (QUESTIONS[0], dd.Question("Who is older?", id="our/own id"), QUESTIONS[3])
    collected = dd.collect(pipeline, questions, path, progress=False)

    assert (first.question, first.solve, first.answer) == (QUESTIONS[0], 0, "40")
    assert cut.question == dd.Question("Who is older?", id="our/own id")
    assert (cut.failure and cut.failure.reason, cut.decomposition) == ("length", None)
    assert (last.question, last.answer) == (QUESTIONS[3], "36")
    assert (collected.asked, collected.found) == (0, 3)
    assert _spend(collected) == {
        "solver": ("collect", 1, dd.Usage(34, 9), Decimal("0.000028"), 2)  # priced only now
    }


@contextmanager
def _batch_server(calls: list[str], custom_ids: list[str]) -> Iterator[str]:
    """A server at which the batch has ended; it takes no other."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            body = {"messages": [{"content": "four"}]}
            rows: list[Any] = [{"status": "completed", "output_file_id": "file_2"}]
            if self.path.endswith("/content"):
                rows = [recorded.answered({"custom_id": n, "body": body}) for n in custom_ids]
            self.send_response(200)
            self.end_headers()
            self.wfile.write("\n".join(map(json.dumps, rows)).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_batch_under_way_is_awaited_and_not_submitted_again() -> None:
    register = Path("batched/traces.jsonl.batches").read_text().splitlines()
    calls: list[str] = []

    with _batch_server(calls, json.loads(register[3])["custom_ids"]) as url:
        pipeline = recorded.batched(url, lambda seconds: None)
        collected = dd.collect(pipeline, QUESTIONS[:3], "batched/traces.jsonl", progress=False)

    assert calls == ["/v1/batches/batch_2", "/v1/files/file_2/content"]
    assert (collected.found, collected.asked, collected.failed.total()) == (1, 2, 0)
    assert [trace.answer for trace in dd.read_traces("batched/traces.jsonl")] == ["43", "4", "4"]
    assert _spend(collected) == {"solver": ("collect", 3, dd.Usage(51, 15), None, 0)}


def test_recorded_traces_are_replayed() -> None:
    backend = load_backend(f"replay:{COLLECTED}")
    replayed = dd.Pipeline(dd.Decomposer(backend), dd.Solver(backend)).run(QUESTIONS[:3], sample=1)

    assert [trace.answer for trace in replayed] == ["40", "41", "Zoë"]


def test_questions_and_prices_that_a_user_wrote_are_read() -> None:
    older, many, gsm8k = dd.load_questions("given/questions.jsonl")

    assert (older.golds, gsm8k.golds) == (("Ada", "Ada Byron"), ("4",))
    assert many == dd.Question("How many?", answer="7", context="There are 7.", id="q2")
    assert read_prices("given/prices.json") == {
        "some-model": Price(Decimal("0.4"), Decimal("1.6"), Decimal("0.25"))
    }


@pytest.mark.parametrize("layout", ["trl", "axolotl"])
def test_exported_examples_are_read_back(layout: str) -> None:
    splits = list(dd.import_traces(f"exported/decomposer-{layout}.jsonl"))
    solved = list(dd.import_traces(f"exported/solver-{layout}.jsonl", role="solver"))
    traces = list(dd.read_traces(COLLECTED))
    learned = [trace for trace in traces if trace.solution]

    assert [trace.decomposition and trace.decomposition.subquestions for trace in splits] == [
        trace.decomposition and trace.decomposition.subquestions for trace in learned
    ]
    assert [trace.answer for trace in solved] == [trace.answer for trace in learned]


@pytest.mark.parametrize("folder", ["hub", "parquet"])
def test_an_exported_folder_gives_the_traces_back(folder: str) -> None:
    if folder == "parquet":
        pytest.importorskip("pyarrow", reason="pip install 'decompose-distill[datasets]'")
    half_a_pair = QUESTIONS[6].id if folder == "parquet" else ""
    expected = [
        _told(trace)
        for trace in dd.read_traces(COLLECTED)
        if trace.decomposition and trace.question.id != half_a_pair
    ]

    assert [_told(trace) for trace in dd.import_traces(f"exported/{folder}")] == expected


def test_a_checkpoint_is_read_and_stays_as_it_is() -> None:
    student = dd.Decomposer.from_pretrained("trained/full")
    manifest = load_manifest("trained/full", role="decomposer")
    [outcome] = student.decompose([replace(TRAIN[0], id="q")])

    assert (student.prompt, outcome.question.id) == (SPLIT, "q")
    assert student.sampling == dd.Sampling(max_new_tokens=56)
    assert (manifest.target, manifest.base_model) == ("subquestions", "base")
    assert manifest.config["learning_rate"] == 5e-3
    assert manifest.figures["steps"] == len(load_losses("trained/full").train) == 8
    assert len(load_losses("trained/full").validation) == 4
    with pytest.raises(dd.ConfigError, match="output_dir trained/full exists with other content"):
        recorded.distill("trained/full", progress=False)


def test_checkpoints_of_a_solver_and_of_an_older_version_are_read() -> None:
    Path("trained/solver/losses.json").unlink()

    assert dd.Solver.from_pretrained("trained/solver").prompt == WORK
    assert load_losses("trained/solver").train == ()
    with pytest.raises(dd.CheckpointError, match="was trained as solver, not as decomposer"):
        dd.Decomposer.from_pretrained("trained/solver")


def test_an_adapter_is_read_on_its_base_model() -> None:
    pytest.importorskip("peft")
    student = dd.Decomposer.from_pretrained("trained/lora")

    assert student.prompt == SPLIT
    assert len(list(student.decompose(TRAIN[:1]))) == 1


@pytest.mark.parametrize(
    ("half", "whole", "weights", "config"),
    [
        ("half", "full", "model.safetensors", CONFIG),
        ("half-lora", "lora", "adapter_model.safetensors", LORA),
    ],
)
def test_a_killed_training_goes_on_from_its_state_to_the_same_end(
    half: str,
    whole: str,
    weights: str,
    config: dd.DistillConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if config.lora_rank:
        pytest.importorskip("peft")
    state = json.loads(Path(f"trained/{half}.partial/step-00000002/state.json").read_text())

    checkpoint = recorded.distill(f"trained/{half}", config=config)

    assert "going on after step 2" in capsys.readouterr().err
    assert load_losses(checkpoint).train[:2] == tuple(state["losses"])
    mine, theirs = load_losses(checkpoint), load_losses(f"trained/{whole}")
    assert mine.train == pytest.approx(theirs.train, rel=1e-3)  # processors round differently
    one, other = load_file(checkpoint / weights), load_file(f"trained/{whole}/{weights}")
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-3, atol=1e-3)


def test_another_training_does_not_go_on_from_a_state_and_writes_the_same_rows() -> None:
    rows = Path("trained/half.partial/rows")
    before = [(rows / name).read_bytes() for name in ("ids.bin", "names.jsonl")]
    config = replace(CONFIG, learning_rate=1e-3)

    with pytest.raises(dd.ConfigError, match="holds an unfinished run with another config"):
        recorded.distill("trained/half", config=config, progress=False)
    assert [(rows / name).read_bytes() for name in ("ids.bin", "names.jsonl")] == before
    with pytest.raises(dd.ConfigError, match="holds an unfinished run with another data"):
        recorded.distill("trained/half", validation=0.5, progress=False)


def test_a_finished_matrix_asks_nothing_and_trains_nothing() -> None:
    saved, figures = load_study("paper"), json.loads(Path("paper/report.json").read_text())
    before = _files("paper")

    study = recorded.paper(unasked, unasked)

    assert _files("paper") == before
    assert _unversioned(study) == _unversioned(saved)
    assert load_study("paper") == study
    assert {cell.place: cell.mean for cell in saved.cells if cell.mean} == {
        ("teacher", "solver"): 1
    }
    assert [flow.name for flow in saved.flows] == ["S_D-uplift", "answer-only"]
    again = json.loads(Path("paper/report.json").read_text())
    assert _holds(again, _lasting(figures))


def test_a_matrix_finds_its_traces_where_a_pass_was_not_finished() -> None:
    marks = [*Path("paper").glob("training/*/done-*"), *Path("paper").glob("*/teacher-s*/done-*")]
    traces = {mark.parent / "traces.jsonl" for mark in marks}
    before = {path: path.read_bytes() for path in traces}
    for mark in marks:
        mark.unlink()

    recorded.paper(unasked, unasked)

    assert len(marks) == 5
    assert {path: path.read_bytes() for path in traces} == before
    assert all(mark.is_file() for mark in marks)


def test_a_report_is_written_anew_from_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = json.loads(Path("paper/report.json").read_text())
    Path("paper/report.json").unlink()

    assert run_cli("report", "paper", monkeypatch=monkeypatch) == 0
    assert _holds(json.loads(Path("paper/report.json").read_text()), _lasting(figures))


def test_a_study_of_another_format_is_refused_by_its_number() -> None:
    path = Path("paper/study.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        text = lines.read().replace('"format": 2', '"format": 1', 1)
    path.write_bytes(gzip.compress(text.encode()))

    with pytest.raises(dd.DataError, match="format 1; this version reads format 2"):
        load_study("paper")
