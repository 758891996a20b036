"""The scripted teacher: mostly right, and wrong in ways a student can learn."""

import re
from collections import defaultdict

import pytest

from decompose_distill.demo import scripted_model as script
from decompose_distill.demo.scripted_model import PLAN_HABITS, numbered, scripted_teacher
from decompose_distill.demo.solver import DatabaseSolver
from decompose_distill.demo.world import World, build_world
from decompose_distill.types import Decomposition, Question, Solution, Subquestion


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=0)


def is_right(world: World, question: Question, text: str) -> bool:
    steps = re.findall(r"^\d+\. (.+)$", text, flags=re.MULTILINE)
    decomposition = Decomposition(question, tuple(map(Subquestion, steps)), text)
    [outcome] = DatabaseSolver(world).solve([decomposition])
    return isinstance(outcome, Solution) and outcome.answer == question.answer


@pytest.mark.parametrize("seed", range(5))
def test_it_is_wrong_on_about_a_quarter_of_the_training_questions(seed: int) -> None:
    world = build_world(seed)
    write = scripted_teacher(world)
    right = sum(is_right(world, question, write(question.text)) for question in world.train)
    assert 0.70 <= right / len(world.train) <= 0.78


def test_it_is_mostly_wrong_on_its_habits_and_mostly_right_elsewhere(world: World) -> None:
    write, right = scripted_teacher(world), defaultdict(list)
    for question in world.train:
        asked = world.compositions[question.text]
        outcome = is_right(world, question, write(question.text))
        right[asked.operator, asked.kind].append(outcome)
    for kind, outcomes in right.items():
        share = sum(outcomes) / len(outcomes)
        assert share < 0.5 if kind in PLAN_HABITS else share > 0.8


def test_a_habit_is_the_same_mistake_every_time(world: World) -> None:
    write = scripted_teacher(world)
    for question in world.train:
        asked = world.compositions[question.text]
        habit = PLAN_HABITS.get((asked.operator, asked.kind))
        if habit:
            assert write(question.text) in (numbered(asked.plan()), habit(asked))


def test_it_answers_the_same_question_the_same_way(world: World) -> None:
    first, again = scripted_teacher(world), scripted_teacher(build_world(seed=0))
    texts = [question.text for question in world.train]
    assert [first(text) for text in texts] == [again(text) for text in reversed(texts)][::-1]


@pytest.mark.parametrize("habit", PLAN_HABITS.values())
def test_a_wrong_plan_is_hardly_ever_right_by_chance(world: World, habit: script.Fault) -> None:
    kinds = {kind for kind, fault in PLAN_HABITS.items() if fault is habit}
    asked = [
        question
        for question in world.train
        if (world.compositions[question.text].operator, world.compositions[question.text].kind)
        in kinds
    ]
    lucky = [is_right(world, q, habit(world.compositions[q.text])) for q in asked]
    assert sum(lucky) <= 0.05 * len(lucky)


def test_prose_holds_no_numbered_step(world: World) -> None:
    asked = world.compositions[world.train[0].text]
    assert not re.search(r"^\d", script.prose(asked), flags=re.MULTILINE)
