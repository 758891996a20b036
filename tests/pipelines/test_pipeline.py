"""A pipeline streams, keeps order, and loses nothing."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from decompose_distill import (
    BackendError,
    Completion,
    Decomposer,
    Decomposition,
    Failure,
    Pipeline,
    Question,
    Request,
    Solution,
    Solver,
    Trace,
    collect,
)
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.pipelines.pipeline import MOST_HELD_FAILURES


class Backwards:
    """Answers three requests at a time, the last first."""

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        stream = iter(requests)
        while batch := list(itertools.islice(stream, 3)):
            for request in reversed(batch):
                yield Completion(request.id, "1. How old is Ada?")


class Echo:
    """Solves with the question's own text, and counts what it was given."""

    identity = "echo"

    def __init__(self) -> None:
        self.taken = 0

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        for decomposition in decompositions:
            self.taken += 1
            yield Solution(decomposition, decomposition.question.text)


def _questions(count: int) -> list[Question]:
    return [Question(f"Question {number}?") for number in range(count)]


def _script(text: str) -> str:
    return "" if "3" in text else "1. How old is Ada?"


def test_traces_come_in_the_order_of_the_questions() -> None:
    questions = _questions(8)
    traces = list(Pipeline(Decomposer(Backwards()), Echo()).run(questions))

    assert [trace.question for trace in traces] == questions


def test_unordered_traces_come_as_they_finish() -> None:
    questions = _questions(3)
    traces = list(Pipeline(Decomposer(Backwards()), Echo()).run(questions, ordered=False))

    assert [trace.question for trace in traces] == questions[::-1]


def test_a_failed_question_does_not_stop_the_others() -> None:
    traces = list(Pipeline(Decomposer(ScriptedBackend(_script)), Echo()).run(_questions(6)))

    assert [trace.failure.reason if trace.failure else None for trace in traces] == [
        None,
        None,
        None,
        "empty completion",
        None,
        None,
    ]


def test_a_repeated_question_has_a_trace_for_each_time() -> None:
    question = Question("Who?")
    traces = list(Pipeline(None, Echo()).run([question, question]))

    assert len(traces) == 2


def test_an_endless_stream_runs_in_a_window() -> None:
    solver = Echo()
    endless = (Question(f"Question {number}?") for number in itertools.count())
    run = Pipeline(Decomposer(ScriptedBackend(lambda text: "1. Who?")), solver).run(endless)

    assert [next(run).answer for _ in range(3)] == [f"Question {n}?" for n in range(3)]
    assert solver.taken <= 4
    run.close()


def test_an_endless_stream_of_failures_still_yields() -> None:
    endless = (Question(f"Question {number}?") for number in itertools.count())
    run = Pipeline(Decomposer(ScriptedBackend(lambda text: "")), Echo()).run(endless)
    traces = list(itertools.islice(run, 3 * MOST_HELD_FAILURES))

    assert all(trace.failure for trace in traces)


def test_without_decomposer_the_solver_gets_the_bare_question() -> None:
    solver = Solver(ScriptedBackend(lambda text: f"The answer is: {text}"), mode="direct")
    trace = Pipeline(None, solver)(Question("Who?"))

    assert trace.answer == "Question: Who?"


@pytest.mark.parametrize(
    ("mode", "seen"),
    [("joint", True), ("direct", False), ("cot", False), ("plan_and_solve", False)],
)
def test_only_the_joint_solver_sees_the_subquestions(mode: str, seen: bool) -> None:
    solver = Solver(ScriptedBackend(lambda text: text.replace("\n", " ")), mode=mode)  # type: ignore[arg-type]
    pipeline = Pipeline(Decomposer(ScriptedBackend(lambda text: "1. How old is Ada?")), solver)
    trace = pipeline(Question("Who?"))

    assert trace.solution is not None
    assert ("How old is Ada?" in trace.solution.text) is seen


def test_a_cut_off_completion_is_a_failure_not_an_answer() -> None:
    class Cut:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request.id, "1. How old is", "length")

    trace = Pipeline(Decomposer(Cut()), Echo())(Question("Who?"))

    assert trace.failure is not None
    assert (trace.failure.stage, trace.failure.reason) == ("decompose", "length")
    assert trace.failure.text == "1. How old is"


def test_a_decomposition_cut_off_while_it_repeated_itself_is_read_up_to_there() -> None:
    text = "1. Who is Ada?\n2. Who is Bob?\n3. Who is Ada?\n4. Who is Bob?\n5. Who is A"

    class Round:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                yield Completion(request.id, text, "length")

    [found] = Decomposer(Round()).decompose([Question("Who?")])

    assert isinstance(found, Decomposition)
    assert [step.text for step in found.subquestions] == ["Who is Ada?", "Who is Bob?"]
    assert found.text == text


def test_a_failure_of_a_tool_that_says_only_the_question_is_of_its_decomposition() -> None:
    class Unsure:
        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
            return (Failure(each.question, "solve", "no such fact") for each in decompositions)

    samples = ((question, sample) for sample in range(2) for question in _questions(3))
    traces = list(Pipeline(Decomposer(ScriptedBackend(_script)), Unsure()).draw(samples))
    solved = [trace for trace in traces if trace.decomposition]

    assert [trace.sample for trace in solved] == [0, 0, 0, 1, 1, 1]
    assert all(trace.decomposition.sample == trace.sample for trace in solved)  # type: ignore[union-attr]


def test_a_tool_that_answers_another_sample_is_found_out() -> None:
    class Forgetful:
        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
            return (Solution(Decomposition(each.question, ()), "so") for each in decompositions)

    with pytest.raises(BackendError, match="which it was not given"):
        list(Pipeline(None, Forgetful()).draw([(Question("Who?"), 1)]))


def test_a_solver_that_drops_a_question_is_found_out() -> None:
    class Forgetful:
        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
            return (
                Solution(each, "so") for each in decompositions if "1" not in each.question.text
            )

    with pytest.raises(BackendError, match="dropped 1 questions"):
        list(Pipeline(None, Forgetful()).run(_questions(3)))


def test_a_decomposer_that_rewrites_the_question_is_found_out(tmp_path: Path) -> None:
    class Rewriting:
        identity = "rewriting"

        def decompose(
            self, questions: Iterable[Question], sample: int = 0
        ) -> Iterator[Decomposition]:
            return (Decomposition(Question(f"{each.text} Now."), ()) for each in questions)

    pipeline = Pipeline(Rewriting(), Echo())
    with pytest.raises(BackendError, match=r"answered question '.*', which it was not given"):
        collect(pipeline, _questions(1), tmp_path / "traces.jsonl", progress=False)


def test_decompositions_that_failed_are_traces_also_where_the_solver_ends_the_run() -> None:
    class Refusing:
        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            for _ in decompositions:
                raise BackendError("check the key")
            yield from ()

    script = ScriptedBackend(lambda text: "1. Why?" if "3" in text else "")
    traces: list[Trace] = []
    with pytest.raises(BackendError, match="check the key"):
        traces.extend(Pipeline(Decomposer(script), Refusing()).draw((q, 0) for q in _questions(5)))

    assert [trace.failure and trace.failure.stage for trace in traces] == ["decompose"] * 3


def test_a_backend_that_drops_a_request_is_found_out() -> None:
    class Silent:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            list(requests)
            yield from ()

    with pytest.raises(BackendError, match="left 3 requests unanswered"):
        list(Pipeline(Decomposer(Silent()), Echo()).run(_questions(3)))


def test_a_backend_that_answers_an_unknown_id_is_found_out() -> None:
    class Confused:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for _ in requests:
                yield Completion("nobody", "1. Who?")

    with pytest.raises(BackendError, match="unknown id 'nobody'"):
        list(Pipeline(Decomposer(Confused()), Echo()).run(_questions(1)))


def test_samples_are_drawn_with_consecutive_seeds() -> None:
    seeds: list[int] = []

    class Recorder:
        def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                seeds.append(request.sampling.seed)
                yield Completion(request.id, "1. Who?")

    pipeline = Pipeline(Decomposer(Recorder()), Solver(Recorder()))
    for sample in range(3):
        list(pipeline.run(_questions(1), sample=sample))

    assert seeds == [0, 0, 1, 1, 2, 2]


def test_an_unknown_solver_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="solver mode must be one of joint, direct, cot"):
        Solver(ScriptedBackend(str), mode="both")  # type: ignore[arg-type]
