"""The scripted large model: what it decomposes, how it works, where and how it errs."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from decompose_distill import prompts
from decompose_distill.demo.scripted_model import (
    WORK_HABITS,
    ScriptedModel,
    gold_rationale,
    right,
    scripted_teacher,
    skip_hop,
    slip,
)
from decompose_distill.demo.solver import read_step
from decompose_distill.demo.world import World, build_world, needed, open_book, state
from decompose_distill.evaluation.harness import evaluate
from decompose_distill.parsing import parse_answer
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.solver import Mode, Solver
from decompose_distill.testing import check_backend
from decompose_distill.types import (
    Decomposition,
    Message,
    Question,
    Request,
    Sampling,
    Solution,
    Subquestion,
)


@pytest.fixture(scope="module", params=["closed", "open"])
def world(request: pytest.FixtureRequest) -> World:
    world = build_world(seed=0, train=400, familiar=50)
    return open_book(world) if request.param == "open" else world


def gold(world: World, question: Question) -> Decomposition:
    plan = world.compositions[question.text].plan()
    return Decomposition(question, tuple(map(Subquestion, plan)))


def share(world: World, decomposer: Decomposer | None, mode: Mode = "joint") -> float:
    solver = Solver(ScriptedModel(world), mode=mode)
    return evaluate(Pipeline(decomposer, solver), world.train, progress=False).mean


def test_it_keeps_the_rules_of_a_backend(world: World) -> None:
    question = world.train[0]
    check_backend(lambda: _Reworded(ScriptedModel(world), question))


class _Reworded:
    """The model, asked one of its own questions in place of what the kit asks."""

    identity = "scripted model, reworded"

    def __init__(self, model: ScriptedModel, question: Question) -> None:
        self.model, self.chat = model, prompts.COT.render(question)
        self.identity = f"reworded {model.identity}"

    def generate(self, requests: Iterator[Request]) -> Iterator[object]:
        yield from self.model.generate(replace(each, messages=self.chat) for each in requests)


def test_it_decomposes_as_the_teacher_does(world: World) -> None:
    write = scripted_teacher(world)
    for item in Decomposer(ScriptedModel(world)).decompose(world.train):
        assert item.text == write(item.question.text)


def test_the_gold_rationale_ends_in_the_gold_answer(world: World) -> None:
    for question in (*world.train, *(q for split in world.splits.values() for q in split)):
        rationale = gold_rationale(world, question)
        assert parse_answer(rationale) == question.answer
        steps = len(world.compositions[question.text].plan())
        assert len(rationale.splitlines()) == steps + 1


def test_given_the_gold_plan_it_is_mostly_right_and_errs_by_habit(world: World) -> None:
    habitual: dict[bool, list[bool]] = {True: [], False: []}
    plans = (gold(world, question) for question in world.train)
    for solution in Solver(ScriptedModel(world)).solve(plans):
        assert isinstance(solution, Solution)
        question = solution.decomposition.question
        asked = world.compositions[question.text]
        kinds = {("count", "person"), ("difference", "work")}
        right = solution.answer == question.answer
        habitual[(asked.operator, asked.kind) in kinds].append(right)
    assert sum(habitual[False]) / len(habitual[False]) > 0.9
    assert sum(habitual[True]) / len(habitual[True]) < 0.7
    assert len(WORK_HABITS) == 2


def test_two_stages_beat_one_call_and_working_beats_none(world: World) -> None:
    two_stages = share(world, Decomposer(ScriptedModel(world)))
    worked, short = share(world, None, "cot"), share(world, None, "direct")
    assert two_stages > worked + 0.1 > short + 0.1


def test_a_short_answer_has_no_working(world: World) -> None:
    solver = Solver(ScriptedModel(world), mode="direct")
    for solution in solver.solve(Decomposition(question, ()) for question in world.train):
        assert len(solution.text.splitlines()) == 1


def test_it_takes_a_misleading_plan_at_its_word(world: World) -> None:
    question = world.train[0]
    decoy = skip_hop(world.compositions[question.text]).plan()
    records = needed(skip_hop(world.compositions[question.text]), world.facts)
    told = replace(question, context=" ".join(state(*fact) for fact in records.items()))
    [solution] = Solver(ScriptedModel(world)).solve(
        [Decomposition(told, tuple(map(Subquestion, decoy)))]
    )
    assert len(solution.text.splitlines()) == len(decoy) + 1


def test_it_makes_a_plan_of_its_own_where_the_given_one_cannot_be_carried_out(
    world: World,
) -> None:
    plans = [Decomposition(q, (Subquestion("How old is #1?"),)) for q in world.train]
    for solution in Solver(ScriptedModel(world)).solve(plans):
        assert "How old is #1?" not in solution.text


def test_subquestions_of_another_question_lead_it_astray_by_knowledge() -> None:
    world = build_world(seed=0, train=100)
    mine, other = world.train[:2]
    plan = replace(gold(world, other), question=mine)
    [solution] = Solver(ScriptedModel(world)).solve([plan])
    assert isinstance(solution, Solution)
    assert solution.answer != mine.answer


def test_the_open_book_model_knows_nothing_that_the_context_does_not_say() -> None:
    world = build_world(seed=0, train=20)
    plans = [
        replace(gold(world, question), question=replace(question, context="It rains."))
        for question in world.train
    ]
    answers = {each.answer for each in Solver(ScriptedModel(world)).solve(plans)}
    assert answers == {"unknown"}


def test_the_same_request_has_the_same_answer_and_a_sample_another(world: World) -> None:
    def texts(sampling: Sampling, sample: int = 0) -> list[str]:
        pipeline = Pipeline(
            Decomposer(ScriptedModel(world), sampling=sampling),
            Solver(ScriptedModel(world), sampling=sampling),
        )
        traces = pipeline.run(world.train[:60], sample=sample)
        return [trace.outcome.text for trace in traces]

    assert texts(Sampling()) == texts(Sampling(), sample=1)
    warm = Sampling(temperature=0.7)
    assert texts(warm) == texts(warm)
    assert texts(warm) != texts(warm, sample=1)


def test_whatever_a_student_writes_it_answers(world: World) -> None:
    question = world.train[0]
    for words in ("?", "Main question", "No decomposition", "1. 2. 3.", "#9 #0", "Why?\nWhy?"):
        plan = Decomposition(question, (Subquestion(words),))
        [outcome] = Solver(ScriptedModel(world)).solve([plan])
        assert isinstance(outcome, Solution), words


def test_a_question_of_another_world_comes_back_as_an_error(world: World) -> None:
    request = Request("0", (Message("user", "Question: What is 6 times 7?"),))
    [completion] = ScriptedModel(world).generate([request])
    assert completion.finish == "error"
    assert "only the questions of its own world" in completion.error


def test_a_slip_is_always_wrong() -> None:
    for text in (
        "Who is older, Emma or Jack?",
        "What is the total age of Emma and Jack?",
        "What is the difference in age of Emma and Jack?",
        "How many languages have Emma and Jack?",
    ):
        step = read_step(text)
        assert step
        found = {"Emma": "40", "Jack": "2"} if "lang" not in text else {"Emma": "A", "Jack": "B"}
        assert slip(step, found)[1] != right(step, found)[1]
