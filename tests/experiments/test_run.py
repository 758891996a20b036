"""The matrix: every cell measured once, whatever stops it, and refused early where it must be."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import (
    BackendError,
    BudgetExceeded,
    Completion,
    ConfigError,
    DataError,
    Decomposer,
    Decomposition,
    DistillConfig,
    Pipeline,
    Question,
    Request,
    Sampling,
    Solution,
    Solver,
    Student,
    Subquestion,
    Trace,
    TrainingError,
    Usage,
    paper,
    prompts,
    scores,
)
from decompose_distill.cost.ledger import SharedBudget
from decompose_distill.cost.pricing import Price
from decompose_distill.experiments.config import PaperConfig
from decompose_distill.experiments.measurement import shuffle_decompositions
from decompose_distill.experiments.result_cache import run_once
from decompose_distill.experiments.study_builder import DECOMPOSER, DISTILLED_SOLVER, traces_usd
from decompose_distill.experiments.values import Experiment, ExperimentSetup, TrainingTraces
from decompose_distill.experiments.variants import (
    BASELINE,
    COLUMNS,
    DECOMPOSERS,
    ROWS,
    SOLVERS,
    choose,
)
from decompose_distill.pipelines.solver import PROMPTS
from decompose_distill.reporting.study import Study
from decompose_distill.reporting.study_file import load_study
from tests.support.samples import PROMPT, QUESTIONS, make_trace, run_cli

TRAIN, TEST = (
    QUESTIONS,
    tuple(
        Question(f"How old are {first} and Gil together?", answer=str(40 + place))
        for place, first in enumerate(("Ada", "Bob", "Cleo", "Dan"))
    ),
)
ANSWERS = {question.text: question.answer or "" for question in (*TRAIN, *TEST)}


class Stopped(BaseException):
    """As Ctrl-C or a kill would: nothing catches it."""


class Counting:
    """A scripted model that notes what it was asked, and can stop the whole run."""

    def __init__(self, answer: Callable[[str], str], stop_after: int | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.identity = "counting"
        self._answer = answer
        self._stop_after = stop_after

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            if len(self.asked) == self._stop_after:
                raise Stopped
            text = request.messages[-1].content
            self.asked.append((request.messages[0].content[:20], text))
            yield Completion(request.id, self._answer(text), usage=Usage(9, 5))


def decompose(text: str) -> str:
    return make_trace(Question(text), "1").decomposition.text  # type: ignore[union-attr]


def solve(text: str) -> str:
    """Right behind a decomposition of the very question, else wrong."""
    asked = text.removeprefix("Question: ").split("\n")[0]
    steps = decompose(asked)
    return f"The answer is: {ANSWERS[asked] if steps in text else 7}"


def _student(tiny_dir: Path) -> Student:
    return Student(
        tiny_dir,
        decompose=PROMPT,
        solve=prompts.Prompt("Solve.", "{question}{subquestions}"),
        answer=prompts.Prompt("Answer.", "{question}"),
        sampling=Sampling(max_new_tokens=8),
        config=DistillConfig(epochs=1),
    )


def _pipeline(teacher: Counting, solver: Counting) -> Pipeline:
    return Pipeline(Decomposer(teacher, prompt=PROMPT), Solver(solver))


def _measure(base: Path, place: Path, pipeline: Pipeline | None = None, **changes: Any) -> Study:
    """The matrix over a few questions, with a tiny student."""
    usual: dict[str, Any] = {"train": TRAIN, "test": TEST, "student": _student(base)}
    usual |= {"output_dir": place, "say": lambda line: None, "progress": False}
    pipeline = pipeline or _pipeline(Counting(decompose), Counting(solve))
    return paper(pipeline, **{**usual, **changes})


def _accuracies(study: Study) -> dict[tuple[str, str], float]:
    return {cell.place: cell.mean for cell in study.cells}


def test_a_decomposer_is_asked_once_for_all_solvers_and_nothing_is_asked_twice(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, solver, other = Counting(decompose), Counting(solve), Counting(solve)
    lines: list[str] = []

    def run() -> Study:
        return _measure(
            tiny_dir,
            tmp_path,
            _pipeline(teacher, solver),
            rows=["none", "CoT", "teacher", "shuffled", "untrained few-shot", "S_D-R"],
            columns=["solver", "other", "S_E-A"],
            solvers={"other": Solver(other)},
            transfer={"elsewhere": TEST[:2]},
            say=lines.append,
        )

    study = run()
    asked = (len(teacher.asked), len(solver.asked), len(other.asked))
    again = run()

    assert len(teacher.asked) == len(TRAIN) + len(TEST) + 2
    measured = [*study.cells, *study.transfers[0].cells]
    reached = [
        result.trace
        for cell in measured
        if cell.column == "solver"
        for result in cell.reports[0].results
        if result.trace.decomposition is not None  # an untrained student may not get that far
    ]
    assert len(solver.asked) == len(TRAIN) + len(reached) >= 8 + 4 * len(TEST) + 2
    assert (len(teacher.asked), len(solver.asked), len(other.asked)) == asked
    assert _accuracies(again) == _accuracies(study)
    assert study.cell(BASELINE).mean == 1  # type: ignore[union-attr]
    assert study.cell(("shuffled", "solver")).mean == 0  # type: ignore[union-attr]
    assert study.cell(("none", "S_E-A")) is not None
    assert study.cell(("CoT", "S_E-A")) is None
    assert [grid.name for grid in study.transfers] == ["elsewhere"]
    assert [flow.name for flow in study.flows] == ["S_D-R", "S_E-A"]
    assert all(curve.train for curve in study.losses)
    assert study.masked_rows[0].tokens[-1] == "<|end|>"
    assert sum(line.startswith("teacher              solver ") for line in lines) == 4
    assert load_study(tmp_path) == again
    assert run_cli("report", tmp_path, monkeypatch=monkeypatch) == 0
    figures = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {cell["score_version"] for cell in figures["cells"]} == {scores.exact.version}


@pytest.mark.parametrize("stop_after", [0, 3, 13, 19])
def test_a_run_stopped_anywhere_goes_on_and_ends_in_the_same_table(
    tiny_dir: Path, tmp_path: Path, stop_after: int
) -> None:
    def run(place: Path, solver: Counting) -> Study:
        return _measure(
            tiny_dir,
            place,
            _pipeline(Counting(decompose), solver),
            rows=["none", "teacher", "shuffled", "untrained few-shot"],
            columns=["solver"],
        )

    straight, first, second = Counting(solve), Counting(solve, stop_after), Counting(solve)
    expected = _accuracies(run(tmp_path / "straight", straight))
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", first)

    assert _accuracies(run(tmp_path / "stopped", second)) == expected
    assert len(first.asked) == stop_after
    assert sorted(first.asked + second.asked) == sorted(straight.asked)


def test_seeds_are_repeats_of_what_is_trained_and_of_nothing_else(
    tiny_dir: Path, tmp_path: Path
) -> None:
    teacher, solver = Counting(decompose), Counting(solve)

    def run(*seeds: int) -> Study:
        return _measure(
            tiny_dir,
            tmp_path,
            _pipeline(teacher, solver),
            rows=["S_D-T"],
            seeds=seeds,
        )

    run(1)
    asked = len(teacher.asked)
    study = run(0, 1)

    assert len(teacher.asked) == asked
    assert len(solver.asked) <= len(TRAIN) + len(TEST) + 2 * len(TEST)
    assert len(study.cell(BASELINE).reports) == 1  # type: ignore[union-attr]
    assert len(study.cell(("S_D-T", "solver")).reports) == 2  # type: ignore[union-attr]
    assert [curve.name for curve in study.losses] == ["S_D-T, seed 0", "S_D-T, seed 1"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"rows": ["S_D-X"]}, ConfigError, "rows: unknown 'S_D-X'; did you mean 'S_D-"),
        ({"columns": ["S_D-R"]}, ConfigError, "columns: unknown 'S_D-R'; did you mean 'S_E-R'"),
        ({"rows": []}, ConfigError, "rows must name each once, and at least one"),
        ({"seeds": (1, 1)}, ConfigError, "seeds must be one or more different numbers"),
        ({"samples": 0}, ConfigError, "samples must be 1 or more, not 0"),
        ({"solves": 0}, ConfigError, "solves must be 1 or more, not 0"),
        ({"solves": 4}, ConfigError, "solves=4 would be the same 4 times, as the solver is"),
        ({"samples": 2}, ConfigError, "samples=2 would be the same 2 times, as the teacher is"),
        ({"usd_per_hour": Decimal(-1)}, ConfigError, "usd_per_hour must be 0 or more, not -1"),
        ({"budget_usd": 0}, ConfigError, "budget_usd must be above 0"),
        ({"budget_usd": 5}, ConfigError, "budget_usd needs a price for the teacher"),
        ({"solvers": {"solver": None}}, ConfigError, "cannot be named 'solver'"),
        ({"solvers": {"S_D-T": None}}, ConfigError, "cannot be named 'S_D-T'"),
        ({"transfer": {"": TEST}}, ConfigError, "transfer: give each of its sets of questions a"),
        ({"transfer": {"test": TEST}}, ConfigError, "transfer: give each .* and none the name 'te"),
        ({"train": (Question("Why?", " "),)}, DataError, "train: none of its 1 questions has a"),
        ({"test": ()}, DataError, "test: holds no question"),
        ({"transfer": {"drop": ()}}, DataError, "transfer 'drop': holds no question"),
        ({"test": (*TEST, Question("Why?", id=TEST[0].id))}, DataError, "two different quest"),
        ({"train": (Question("Why?"),)}, DataError, "train: none of its 1 questions has a gold"),
        ({"student": "/none"}, BackendError, "/none: no such model directory"),
        ({"output_dir": __file__}, ConfigError, "test_run.py is a file: name a directory"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(
    tiny_dir: Path,
    tmp_path: Path,
    change: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    teacher, solver = Counting(decompose), Counting(solve)

    with pytest.raises(error, match=words):
        _measure(tiny_dir, tmp_path, _pipeline(teacher, solver), **change)
    assert not teacher.asked + solver.asked


def test_a_student_without_room_for_a_prompt_is_refused(tiny_dir: Path, tmp_path: Path) -> None:
    student = replace(_student(tiny_dir), sampling=Sampling(max_new_tokens=512))
    with pytest.raises(ConfigError, match="max_new_tokens=512 leaves no room for a prompt in the"):
        _measure(tiny_dir, tmp_path, student=student)


def test_a_folder_that_another_process_works_in_is_refused(tiny_dir: Path, tmp_path: Path) -> None:
    teacher = Counting(decompose)
    with FileLock(tmp_path / "lock"), pytest.raises(ConfigError, match="another process is at"):
        _measure(tiny_dir, tmp_path, _pipeline(teacher, Counting(solve)))
    assert not teacher.asked


def test_a_pipeline_without_a_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pipeline needs a decomposer"):
        _measure(tmp_path, tmp_path, Pipeline(None, Solver(Counting(solve))))


def test_questions_trained_on_are_warned_of_and_mark_the_report(
    tiny_dir: Path, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="test: overlap: of 5 test questions, 1 also occur in"):
        study = _measure(
            tiny_dir,
            tmp_path,
            test=(*TEST, TRAIN[0]),
            rows=["untrained few-shot"],
        )

    assert "1 also occur in the training set" in study.warnings[0]
    assert study.cells[0].reports[0].overlap


def test_a_changed_input_is_measured_anew_and_a_change_back_found_again(
    tiny_dir: Path, tmp_path: Path
) -> None:
    asked = []
    for test in (TEST, TEST[:3], TEST):
        solver = Counting(solve)
        _measure(
            tiny_dir,
            tmp_path,
            _pipeline(Counting(decompose), solver),
            test=test,
            rows=["none"],
            columns=["solver"],
        )
        asked.append(len(solver.asked))

    assert asked == [8, 6, 0]


def test_a_release_that_asks_otherwise_measures_anew(
    tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = Counting(solve)

    def measure() -> int:
        pipeline = _pipeline(Counting(decompose), solver)
        _measure(tiny_dir, tmp_path, pipeline, rows=["CoT"], columns=["solver"])
        return len(solver.asked)

    first = measure()
    monkeypatch.setitem(PROMPTS, "cot", prompts.Prompt("Reason aloud.", "{question}"))
    assert measure() == first + len(TEST)


def test_a_student_is_known_by_the_traces_it_learned_from_and_not_by_the_name_of_the_score(
    tiny_dir: Path, tmp_path: Path
) -> None:
    def students(refused: str) -> int:
        def strict(answer: str, golds: Sequence[str]) -> float:
            return float(answer in golds and answer != refused)

        _measure(tiny_dir, tmp_path, rows=["S_D-R"], columns=["solver"], score=strict)
        return len([*(tmp_path / "students").glob("S_D-R*")])

    assert [students("no answer"), students("nor this one")] == [1, 1]
    assert students(TRAIN[0].answer or "") == 2


def test_a_student_changed_in_place_is_another_student(tiny_dir: Path, tmp_path: Path) -> None:
    base, place = shutil.copytree(tiny_dir, tmp_path / "base"), tmp_path / "out"

    def measured() -> int:
        _measure(
            base,
            place,
            rows=["untrained student"],
            columns=["solver"],
        )
        return len([*(place / "decompositions").glob("untrained-student*")])

    assert [measured(), measured()] == [1, 1]
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64] + bytes(64))
    assert measured() == 2


def test_one_budget_holds_for_all_files_and_a_larger_one_goes_on(
    tiny_dir: Path, tmp_path: Path
) -> None:
    # A token written costs a dollar; 512 are reserved for each request, 5 are written.
    teacher, solver = Counting(decompose), Counting(solve)

    def run(budget_usd: float) -> Study:
        return _measure(
            tiny_dir,
            tmp_path,
            _pipeline(teacher, solver),
            rows=["none"],
            columns=["solver"],
            budget_usd=budget_usd,
            prices={"counting": Price(Decimal(0), Decimal(1_000_000))},
        )

    words = r"^\$35.00 of budget_usd \$545.00 is spent .* run again with a larger budget_usd"
    with pytest.raises(BudgetExceeded, match=words):
        run(545)
    assert (len(teacher.asked), len(solver.asked)) == (4, 3)
    study = run(1000)

    assert (len(teacher.asked), len(solver.asked)) == (4, 8)
    cost = study.cell(BASELINE).cost  # type: ignore[union-attr]
    assert cost is not None
    assert cost.usd == 4 * (5 + 5)


def test_a_batch_is_accounted_for_at_its_price(tiny_dir: Path, tmp_path: Path) -> None:
    def cost(folder: str, *, batch: bool) -> Decimal | None:
        solver: Any = Counting(solve)
        solver.batch, solver.model = batch, "m"
        study = _measure(
            tiny_dir,
            tmp_path / folder,
            _pipeline(Counting(decompose), solver),
            rows=["teacher"],
            prices={"m": Price(Decimal(1), Decimal(1), batch_discount=Decimal("0.5"))},
        )
        cell = study.cell(BASELINE)
        assert cell
        assert cell.cost
        return next(each.usd for each in cell.cost.expenses if each.role == "solver")

    whole, half = cost("single", batch=False), cost("batch", batch=True)

    assert whole
    assert half == whole / 2


def test_traces_of_a_local_teacher_and_a_solver_with_a_price_cost_the_machine_and_the_price(
    tmp_path: Path,
) -> None:
    teacher, solver = Counting(decompose), Counting(solve)
    teacher.identity = "hf:teacher"
    setup = ExperimentSetup(
        config=PaperConfig(usd_per_hour=Decimal(2), progress=False),
        teacher=Decomposer(teacher, prompt=PROMPT),
        solvers={"solver": Solver(solver)},
        student=Student("/none"),
        train=TRAIN,
        splits={"": TEST},
        places=(),
        score=scores.exact,
        budget=SharedBudget(tmp_path, {"counting": Price(Decimal(0), Decimal(1_000_000))}),
    )
    split = Decomposition(TRAIN[0], (), usage=Usage(9, 5))
    training = TrainingTraces(
        (Trace(TRAIN[0], Solution(split, "1", usage=Usage(9, 7))),), scores.exact, seconds=1800
    )

    assert traces_usd(Experiment(setup, training), uplift=False) == 7 + 1


def test_a_pass_that_was_stopped_and_went_on_took_the_seconds_of_both_calls(
    tmp_path: Path,
) -> None:
    class Batched(Counting):
        """Takes as long for a batch of one as for any other, as a local model does."""

        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            while batch := list(islice(requests, 7)):
                time.sleep(0.1)
                yield from super().generate(batch)

    def run(solver: Counting) -> float | None:
        pipeline = Pipeline(None, Solver(solver, mode="direct"))
        done = run_once(
            tmp_path, {}, lambda: pipeline, TRAIN, SharedBudget(tmp_path), progress=False
        )
        return done.seconds

    with pytest.raises(Stopped):
        run(Batched(solve, stop_after=7))
    seconds = run(Batched(solve))

    assert seconds is not None
    assert 0.19 < seconds < 0.5  # two batches; 8 times the second one would be 0.8


def test_s_d_uplift_learns_only_what_the_solver_could_not_do_alone(
    tiny_dir: Path, tmp_path: Path
) -> None:
    easy = {question.text for question in TRAIN[:3]}

    def answer(text: str) -> str:
        asked = text.removeprefix("Question: ").split("\n")[0]
        return f"The answer is: {ANSWERS[asked]}" if asked in easy else solve(text)

    solver, warm = Counting(answer), Sampling(temperature=0.7)
    teacher = Decomposer(Counting(decompose), prompt=PROMPT, sampling=warm)
    pipeline = Pipeline(teacher, Solver(solver, sampling=warm))
    asked = {"rows": ["S_D-uplift"], "columns": ["solver"], "samples": 3, "solves": 2}
    study = _measure(tiny_dir, tmp_path, pipeline, **asked)

    assert study.flows[0].kept == len(TRAIN) - len(easy)
    assert dict(study.flows[0].dropped) == {
        "uplift +0.00 below 0.5": 3 * len(easy),
        "duplicate": 2 * (len(TRAIN) - len(easy)),  # this teacher says the same each time
    }
    alone = [text for system, text in solver.asked if system.startswith("Think step by step")]
    assert len(alone) == 2 * len(TRAIN)


@pytest.mark.parametrize("row", ["S_D-uplift", "S_D-R", "untrained few-shot"])
def test_a_row_that_nothing_is_kept_for_is_left_out_aloud(
    row: str, tiny_dir: Path, tmp_path: Path
) -> None:
    pipeline = _pipeline(Counting(decompose), Counting(lambda text: "The answer is: 7"))
    told = f"{row}: left out, as none of 8 traces was kept for it"

    with pytest.warns(UserWarning, match=told):
        study = _measure(tiny_dir, tmp_path, pipeline, rows=["none", row], columns=["solver"])

    assert study.warnings == (told,)
    assert [cell.row for cell in study.cells] == ["none", "teacher"]


@pytest.mark.filterwarnings("ignore:learning_rate=1e.30")
def test_a_student_that_cannot_be_trained_is_named_with_a_way_on_without_it(
    tiny_dir: Path, tmp_path: Path
) -> None:
    student = replace(_student(tiny_dir), config=DistillConfig(learning_rate=1e30))
    with pytest.raises(TrainingError, match=r"student S_D-T, seed 0: .* leave it out of rows"):
        _measure(tiny_dir, tmp_path, rows=["S_D-T"], student=student)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--plan"], 0, "ask teacher: 12 requests"),
        (["--plan", "--rows", "all", "--columns", "all"], 0, "70 cells: 10 rows, 8 columns"),
        (["--rows", "S_D-T,S_D-X"], 2, "rows: unknown 'S_D-X'; did you mean 'S_D-"),
        (["--solver", "openai:a"], 2, "--solver: name each once, not openai:a, openai:b, openai:a"),
        (["--usd-per-hour", "dear"], 2, "--usd-per-hour must be a number, not 'dear'"),
        (["--transfer", "gone.jsonl"], 2, "gone.jsonl: no such file of questions"),
        (["--transfer", "a/x.jsonl", "--transfer", "b/x.jsonl"], 2, "name the files differently"),
    ],
)
def test_the_command_says_what_it_takes_or_what_is_wrong_and_sends_nothing(
    options: list[str],
    code: int,
    told: str,
    tiny_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, asked in (("train", TRAIN), ("test", TEST)):
        rows = ({"question": each.text, "answer": each.answer} for each in asked)
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    models = ("--teacher", "openai:gpt-4.1-mini", "--solver", "openai:a", "--solver", "openai:b")
    server = ("--base-url", "http://127.0.0.1:9/v1", "--max-new-tokens", "64")
    asked = (
        "--student",
        tiny_dir,
        "--train",
        tmp_path / "train.jsonl",
        "--test",
        tmp_path / "test.jsonl",
    )
    place = ("--output-dir", tmp_path / "out")

    found = run_cli("paper", *models, *server, *asked, *place, *options, monkeypatch=monkeypatch)
    said = capsys.readouterr()

    assert found == code
    assert told in said.out + said.err
    assert not (tmp_path / "out").exists()


def test_the_command_report_needs_a_saved_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("report", tmp_path, monkeypatch=monkeypatch) == 2
    assert "no such study" in capsys.readouterr().err


def test_whichever_student_was_measured_alone_the_answer_on_top_is_about_it() -> None:
    assert {row for row, _ in DECOMPOSER} == {*DECOMPOSERS}
    assert {column for _, column in DISTILLED_SOLVER} == {*SOLVERS}


NAMES = st.lists(st.sampled_from(ROWS), min_size=1, unique=True)


@given(NAMES, st.lists(st.sampled_from([*COLUMNS, "gpt-4"]), min_size=1, unique=True))
def test_rows_and_columns_together_give_every_combination_and_the_baseline(
    rows: list[str], columns: list[str]
) -> None:
    places = choose(rows, columns, ["gpt-4"])

    assert len(set(places)) == len(places)
    assert set(places) == {(row, column) for row in rows for column in columns} | {BASELINE}


@given(NAMES)
def test_rows_alone_choose_among_the_usual_cells(rows: list[str]) -> None:
    places = choose(rows, None, ())

    assert set(places) == {
        each for each in choose(None, None, ()) if each[0] in rows or each == BASELINE
    }


@given(st.lists(st.booleans(), max_size=30))
def test_shuffled_gives_nobody_its_own_subquestions_and_each_to_about_one(
    splits: list[bool],
) -> None:
    traces = []
    for number, decomposed in enumerate(splits):
        question = Question(f"Question {number}?")
        steps = (Subquestion(f"Step of {number}?"),) if decomposed else ()
        traces.append(Trace(question, Solution(Decomposition(question, steps), "")))
    moved = [each.decomposition for each in shuffle_decompositions(traces)]
    given_out = [each.subquestions for each in moved if each and not each.declined]

    assert [each.question for each in moved if each] == [trace.question for trace in traces]
    assert all(
        step.text != f"Step of {number}?"
        for number, each in enumerate(moved)
        if each
        for step in each.subquestions
    )
    if sum(splits) > 1:
        assert len(given_out) == len(splits)
    if all(splits) and len(splits) > 1:
        assert len(set(given_out)) == len(splits)
