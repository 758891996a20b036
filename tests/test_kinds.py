"""Values of another kind than meant: taken where that is plain, else refused by name at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import decompose_distill as dd
from decompose_distill.backends.replay import ScriptedBackend

BACKEND = ScriptedBackend(lambda text: "The answer is: 42")
ALONE = dd.Pipeline(None, dd.Solver(BACKEND, mode="direct"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dd.Decomposer("openai:m"), "backend must be .* load_backend.* not str"),  # type: ignore[arg-type]
        (lambda: dd.Decomposer(ScriptedBackend), "backend must be .* not ScriptedBackend"),  # type: ignore[arg-type]
        (lambda: dd.Decomposer(BACKEND, prompt="Split."), "prompt must be a Prompt.* not str"),  # type: ignore[arg-type]
        (lambda: dd.Solver(BACKEND, sampling={"seed": 3}), "sampling must be .* not dict"),  # type: ignore[arg-type]
        (lambda: dd.Pipeline(BACKEND, BACKEND), "decomposer must .*Decomposer.backend"),  # type: ignore[arg-type]
        (lambda: dd.Pipeline(None, BACKEND), "solver must .*Solver.backend.* not Scripted"),  # type: ignore[arg-type]
        (lambda: ALONE({"question": "Why?"}), "questions must be .* not dict"),  # type: ignore[arg-type]
        (lambda: dd.evaluate(ALONE, 3, progress=False), "questions must be a path.* not int"),  # type: ignore[arg-type]
        (lambda: dd.evaluate(ALONE, [{}], progress=False), "questions must be .* not dict"),  # type: ignore[list-item]
        (
            lambda: dd.evaluate(ALONE, [], score="exat", progress=False),
            "score cannot be .exat.; did",
        ),  # type: ignore[arg-type]
        (
            lambda: dd.filters.screen([], "corect"),
            "keep cannot be .corect.; did you mean .correct.",
        ),  # type: ignore[arg-type]
        (lambda: dd.filters.screen([{}], "correct"), "traces must be .* not dict"),  # type: ignore[list-item]
        (lambda: dd.filters.screen(3, "correct"), "traces must be paths.* not int"),  # type: ignore[arg-type]
        (lambda: dd.Question(3), "text must be text, not int"),  # type: ignore[arg-type]
        (lambda: dd.Question("How many?", answer=42), "answer must be text or None, not int"),  # type: ignore[arg-type]
        (lambda: dd.Sampling(temperature="hot"), "temperature must be a number or None, not str"),  # type: ignore[arg-type]
        (lambda: dd.Sampling(seed=0.5), "seed must be a whole number or None, not float"),  # type: ignore[arg-type]
        (lambda: dd.prompts.Prompt("Split.", 3), "user must be text, not int"),  # type: ignore[arg-type]
        (lambda: dd.DistillConfig(learning_rate="1e-4"), "learning_rate must be a number, not str"),  # type: ignore[arg-type]
        (lambda: dd.DistillConfig(epochs=1.5), "epochs must be a whole number, not float"),  # type: ignore[arg-type]
        (lambda: dd.PaperConfig(seeds=3), "seeds must be a tuple, not int"),  # type: ignore[arg-type]
        (lambda: dd.Student(3), "model must be text or Path, not int"),  # type: ignore[arg-type]
        (lambda: dd.load_backend(3), "backend 3 must be written 'scheme:model'"),  # type: ignore[arg-type]
        (lambda: dd.load_questions(3), "source must be a path"),  # type: ignore[arg-type]
        (lambda: dd.read_traces(3), "path must be a path, as text or Path, not int"),  # type: ignore[arg-type]
        (lambda: dd.write_traces([3], "t.jsonl"), "traces must be Trace values.* not int"),  # type: ignore[list-item]
        (lambda: dd.collect(BACKEND, ["Why?"], "t.jsonl"), "pipeline must be .* not Scripted"),  # type: ignore[arg-type]
        (lambda: dd.collect(ALONE, ["Why?"], 3), "path must be a path, as text or Path, not int"),  # type: ignore[arg-type]
        (lambda: dd.collect(ALONE, ["Why?"], "t", samples="2"), "samples must be a whole number"),  # type: ignore[arg-type]
    ],
)
def test_another_kind_is_a_config_error_that_names_the_argument(
    call: Callable[[], Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dd.ConfigError, match=words):
        call()


def test_what_is_plain_is_taken(tmp_path: Path, traces: tuple[dd.Trace, ...]) -> None:
    file, kept = tmp_path / "questions.jsonl", tmp_path / "traces.jsonl"
    file.write_text('{"question": "What is 6 times 7?", "answer": "42"}\n')
    dd.write_traces(traces, kept)

    assert ALONE("What is 6 times 7?").answer == "42"
    assert [trace.answer for trace in ALONE.run(["What is 6 times 7?"])] == ["42"]
    assert dd.collect(ALONE, file, tmp_path / "t.jsonl", progress=False).asked == 1
    assert dd.plan(ALONE, str(file)).missing == 1
    report = dd.evaluate(ALONE, str(file), score="contains", progress=False)
    assert (report.score_name, report.mean) == ("contains", 1.0)
    assert report.rescore("f1").score_name == "f1"
    assert len(dd.filters.screen(kept, "correct").kept) == 4
    assert dd.export_traces(str(kept), tmp_path / "sft.jsonl", keep="correct").kept == 4
    correct = dd.filters.correct_by("exact")
    assert sum(correct(trace) is None for trace in traces) == 4
    assert dd.Question("Who?", answer="Ada", aliases="Ada L.").golds == ("Ada", "Ada L.")  # type: ignore[arg-type]
    assert dd.PaperConfig(rows="S_D-R").rows == ("S_D-R",)  # type: ignore[arg-type]


def test_a_student_learns_from_a_file_by_the_name_of_a_filter(
    tmp_path: Path, tiny_dir: Path, learned: tuple[dd.Trace, ...]
) -> None:
    dd.write_traces(learned, tmp_path / "traces.jsonl")
    checkpoint = dd.distill(
        tmp_path / "traces.jsonl",
        student=tiny_dir,
        output_dir=tmp_path / "student",
        keep="correct",
        config=dd.DistillConfig(epochs=1),
        progress=False,
    )

    assert (checkpoint / "decompose_distill.json").is_file()
