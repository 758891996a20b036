"""The controlled world: what is held out, what is not, and that every answer can be reached."""

import re
from collections.abc import Iterable

import pytest

from decompose_distill.demo import facts as names
from decompose_distill.demo.grammar import HELDOUT_WORDINGS, OPERATORS, WORDINGS, Operand
from decompose_distill.demo.solver import DatabaseSolver
from decompose_distill.demo.world import World, build_world
from decompose_distill.types import Decomposition, Question, Solution, Subquestion

EVERY_NAME = {*names.WOMEN, *names.MEN, *names.PLACES, *names.WORKS}


@pytest.fixture(scope="module", params=[0, 1])
def world(request: pytest.FixtureRequest) -> World:
    return build_world(seed=request.param)


def heldout(world: World) -> list[Question]:
    return [question for questions in world.splits.values() for question in questions]


def named(questions: Iterable[Question]) -> set[str]:
    return {word for q in questions for word in re.findall(r"\w+", q.text)} & EVERY_NAME


def test_the_splits_have_the_sizes_that_were_asked_for() -> None:
    world = build_world(seed=5, train=30, unseen=20, recombined=10, deeper=15)
    assert len(world.train) == 30
    sizes = {split: len(questions) for split, questions in world.splits.items()}
    assert sizes == {"unseen": 20, "recombined": 10, "deeper": 15}


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    assert build_world(seed=7) == build_world(seed=7)
    assert build_world(seed=7).train != build_world(seed=8).train


def test_the_heldout_questions_do_not_depend_on_how_many_are_trained() -> None:
    assert build_world(seed=7, train=10).splits == build_world(seed=7).splits


def test_familiar_questions_change_no_other_and_name_the_entities_of_training() -> None:
    world = build_world(seed=7, familiar=60)
    assert (world.train, world.facts) == (build_world(seed=7).train, build_world(seed=7).facts)
    assert {**world.splits, **build_world(seed=7).splits} == world.splits
    familiar = world.splits["familiar"]
    assert len(familiar) == 60
    assert not named(familiar) & named(heldout(build_world(seed=7)))
    assert len(named(familiar) & named(world.train)) > 0.9 * len(named(familiar))
    texts = [question.text for question in (*world.train, *heldout(world))]
    assert len(set(texts)) == len(texts)


def test_no_question_occurs_twice(world: World) -> None:
    texts = [question.text for question in (*world.train, *heldout(world))]
    assert len(set(texts)) == len(texts)


def test_no_name_has_two_meanings() -> None:
    entities = [*names.WOMEN, *names.MEN, *names.PLACES, *names.WORKS]
    everything = [*entities, *names.LANGUAGES, *names.WATERS, *names.PRIZES]
    assert len(set(everything)) == len(everything)


def test_heldout_questions_name_no_entity_of_training(world: World) -> None:
    assert not named(world.train) & named(heldout(world))


def test_heldout_answers_are_no_entity_of_training(world: World) -> None:
    answers = {question.answer for question in heldout(world)} & EVERY_NAME
    assert answers
    assert not answers & named(world.train)


def test_facts_never_lead_from_one_part_of_the_world_to_the_other(world: World) -> None:
    known, others = named(world.train), named(heldout(world))
    for (_, entity), value in world.facts.items():
        if value in EVERY_NAME and entity in known:
            assert value not in others


def test_wordings_of_heldout_questions_are_reserved() -> None:
    for operator in OPERATORS:
        assert not set(WORDINGS[operator]) & set(HELDOUT_WORDINGS[operator])
        assert len(WORDINGS[operator]) >= 2


def test_every_operator_is_trained_with_every_pair_of_chains_but_one(world: World) -> None:
    trained = {_form(world, question) for question in world.train}
    for pair in {pair for _, _, pair in trained}:
        assert len({operator for operator, _, other in trained if other == pair}) == 4


def test_unseen_questions_are_composed_as_training_questions_are(world: World) -> None:
    trained = {_form(world, question) for question in world.train}
    assert {_form(world, question) for question in world.splits["unseen"]} <= trained


def test_recombined_questions_join_trained_parts_that_were_never_trained_together(
    world: World,
) -> None:
    trained = {_form(world, question) for question in world.train}
    recombined = {_form(world, question) for question in world.splits["recombined"]}
    assert not recombined & trained
    assert {operator for operator, _, _ in recombined} == set(OPERATORS)
    assert {form[1:] for form in recombined} <= {form[1:] for form in trained}


def test_deeper_questions_have_exactly_one_hop_more_than_the_deepest_trained(world: World) -> None:
    deepest = max(world.compositions[question.text].hops for question in world.train)
    deeper = {world.compositions[question.text].hops for question in world.splits["deeper"]}
    assert deeper == {deepest + 1}


def test_the_gold_plan_leads_the_database_to_the_gold_answer(world: World) -> None:
    questions = [*world.train, *heldout(world)]
    plans = [
        Decomposition(question, tuple(map(Subquestion, world.compositions[question.text].plan())))
        for question in questions
    ]
    for question, solution in zip(questions, DatabaseSolver(world).solve(plans), strict=True):
        assert isinstance(solution, Solution)
        assert solution.answer == question.answer


def test_nobody_is_related_to_themselves_and_mothers_are_older(world: World) -> None:
    for (relation, entity), value in world.facts.items():
        assert value != entity
        if relation == "mother":
            assert int(world.facts["age", value]) >= int(world.facts["age", entity]) + 18


def test_an_operand_without_a_record_leads_nowhere(world: World) -> None:
    assert Operand("Nobody", ("boss", "mother")).follow(world.facts) is None


def _form(world: World, question: Question) -> tuple[str, str, tuple[tuple[str, ...], ...]]:
    asked = world.compositions[question.text]
    return asked.operator, asked.kind, asked.pair
