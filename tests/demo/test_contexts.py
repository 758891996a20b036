"""Open book: the context holds what a question needs, and the rest of it does not answer it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill.demo import facts as names
from decompose_distill.demo.facts import COLLECTIONS, DECOYS, MEASURES, RELATIONS
from decompose_distill.demo.scripted_model import carry_out
from decompose_distill.demo.solver import Records
from decompose_distill.demo.world import (
    FORMS,
    World,
    build_world,
    needed,
    open_book,
    read_facts,
    state,
)
from decompose_distill.types import Question

EVERY_NAME = (*names.WOMEN, *names.MEN, *names.PLACES, *names.WORKS)


@pytest.fixture(scope="module", params=[0, 1])
def world(request: pytest.FixtureRequest) -> World:
    return build_world(request.param, train=150, unseen=50, recombined=50, deeper=50, familiar=50)


@pytest.fixture(scope="module")
def opened(world: World) -> World:
    return open_book(world)


def every(world: World) -> list[Question]:
    return [*world.train, *(q for questions in world.splits.values() for q in questions)]


def facts_of(question: Question) -> dict[tuple[str, str], str]:
    assert question.context
    return read_facts(question.context)


def answered(world: World, question: Question, facts: dict[tuple[str, str], str]) -> str | None:
    done = carry_out(world.compositions[question.text].plan(), Records(facts))
    return done[-1][1] if done else None


def test_a_context_holds_every_fact_the_question_needs(opened: World) -> None:
    for question in every(opened):
        facts = needed(opened.compositions[question.text], opened.facts)
        assert facts.items() <= facts_of(question).items()


def test_the_gold_plan_leads_to_the_gold_answer_by_the_context_alone(opened: World) -> None:
    for question in every(opened):
        assert answered(opened, question, facts_of(question)) == question.answer


def test_without_any_one_needed_fact_the_context_does_not_answer(opened: World) -> None:
    for question in every(opened):
        facts = facts_of(question)
        for record in needed(opened.compositions[question.text], opened.facts):
            rest = {each: value for each, value in facts.items() if each != record}
            assert answered(opened, question, rest) is None


def test_a_context_has_distractors_and_all_of_it_is_true(opened: World) -> None:
    for question in every(opened):
        facts = facts_of(question)
        assert facts.items() <= opened.facts.items()
        assert len(facts) == 9
        assert len(needed(opened.compositions[question.text], opened.facts)) <= 7


def test_what_is_asked_is_recorded_of_others_too(opened: World) -> None:
    """Else the only number of its kind in the context would be the answer's."""
    shown = 0
    for question in opened.train:
        asked = needed(opened.compositions[question.text], opened.facts)
        name = list(asked)[-1][0]
        shown += any(record[0] == name and record not in asked for record in facts_of(question))
    assert shown > 0.95 * len(opened.train)


def test_the_place_of_a_fact_does_not_tell_whether_it_is_needed(opened: World) -> None:
    first = [
        next(iter(facts_of(question))) in needed(opened.compositions[question.text], opened.facts)
        for question in opened.train
    ]
    assert 0.3 < sum(first) / len(first) < 0.7


def test_a_context_is_short(opened: World) -> None:
    assert max(len((question.context or "").split()) for question in every(opened)) <= 80


def test_opening_the_book_changes_nothing_but_the_context(world: World, opened: World) -> None:
    for before, after in zip(every(world), every(opened), strict=True):
        assert (before.text, before.answer) == (after.text, after.answer)
        assert before.id != after.id


def test_contexts_name_no_entity_of_the_other_part_of_the_world(opened: World) -> None:
    def named(questions: tuple[Question, ...]) -> set[str]:
        return {entity for question in questions for _, entity in facts_of(question)}

    trained = named(opened.train)
    assert named(opened.splits["familiar"]) & trained
    for split in ("unseen", "recombined", "deeper"):
        assert not named(opened.splits[split]) & trained


def test_the_same_seed_gives_the_same_contexts_however_many_questions(opened: World) -> None:
    fewer = open_book(build_world(opened.seed, train=10, unseen=5, familiar=5))
    assert fewer.train == opened.train[:10]
    assert fewer.splits["unseen"] == opened.splits["unseen"][:5]


def test_every_record_of_the_world_has_a_sentence() -> None:
    kinds = (MEASURES, DECOYS, COLLECTIONS)
    recorded = {each.name for kind in kinds for each in kind.values()} | set(RELATIONS)
    assert set(FORMS) == recorded


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(sorted(FORMS)), st.sampled_from(EVERY_NAME)),
        st.one_of(
            st.integers(0, 999_000).map(str),
            st.sampled_from(EVERY_NAME),
            st.lists(st.sampled_from(names.WATERS), min_size=1, unique=True).map(", ".join),
        ),
    )
)
def test_what_is_stated_is_read_back(facts: dict[tuple[str, str], str]) -> None:
    assert read_facts(" ".join(state(record, value) for record, value in facts.items())) == facts


@given(st.text(alphabet="Emma ageis.0123,' ", max_size=60))
def test_reading_any_text_gives_facts_or_none(text: str) -> None:
    assert isinstance(read_facts(text), dict)
