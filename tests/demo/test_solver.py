"""The database: atomic subquestions are answered, anything else is unknown, nothing raises."""

from collections.abc import Iterator

import pytest

from decompose_distill.demo.solver import UNKNOWN, DatabaseSolver
from decompose_distill.demo.world import World, build_world
from decompose_distill.types import Decomposition, Failure, Question, Solution, Subquestion


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(seed=0)


@pytest.fixture(scope="module")
def solver(world: World) -> DatabaseSolver:
    return DatabaseSolver(world)


def plan(*steps: str) -> Decomposition:
    return Decomposition(Question("A question?"), tuple(map(Subquestion, steps)))


def solved(solver: DatabaseSolver, *steps: str) -> str:
    [outcome] = solver.solve([plan(*steps)])
    assert isinstance(outcome, Solution)
    return outcome.answer


def test_a_lookup_gives_what_is_recorded(world: World, solver: DatabaseSolver) -> None:
    assert solved(solver, "Who is Emma's boss?") == world.facts["boss", "Emma"]
    assert solved(solver, "Where does Emma live?") == world.facts["home", "Emma"]


def test_a_reference_stands_for_the_earlier_answer(world: World, solver: DatabaseSolver) -> None:
    boss = world.facts["boss", "Emma"]
    assert solved(solver, "Who is Emma's boss?", "How old is #1?") == world.facts["age", boss]


def test_case_and_surrounding_space_do_not_matter(solver: DatabaseSolver) -> None:
    assert solved(solver, "  how old is emma? ") == solved(solver, "How old is Emma?")


def test_numbers_are_added_and_subtracted(world: World, solver: DatabaseSolver) -> None:
    ages = [int(world.facts["age", name]) for name in ("Emma", "Jack")]
    assert solved(solver, "What is the total age of Emma and Jack?") == str(sum(ages))
    difference = solved(solver, "What is the difference in age of Emma and Jack?")
    assert difference == str(max(ages) - min(ages))


def test_what_two_lists_share_counts_once(world: World, solver: DatabaseSolver) -> None:
    spoken = [set(world.facts["languages", name].split(", ")) for name in ("Emma", "Jack")]
    answer = solved(solver, "How many languages have Emma and Jack?")
    assert answer == str(len(spoken[0] | spoken[1]))


def test_an_unknown_answer_makes_what_builds_on_it_unknown(solver: DatabaseSolver) -> None:
    steps = ("Who is Nobody's boss?", "What is the total age of #1 and Emma?")
    assert solved(solver, *steps) == UNKNOWN


def test_the_largest_of_several_is_found(world: World, solver: DatabaseSolver) -> None:
    people = ["Emma", "Jack", "Lucy"]
    oldest = max(people, key=lambda name: int(world.facts["age", name]))
    assert solved(solver, "Who is the oldest of Emma, Jack and Lucy?") == oldest
    assert solved(solver, "Who is older, Emma or Jack?") in people[:2]


@pytest.mark.parametrize(
    "step",
    [
        "How old is Emma's boss?",
        "Who is older, Emma or Emma's boss?",
        "Who is the oldest of Emma, York and Jack?",
        "How old is Emma and Jack?",
        "How old is York?",
        "How old is Nobody?",
        "How old is she?",
        "Why?",
        "",
        "Who is the oldest of , and ?",
        "What is the total age of 40 and 2?",
        "(((.+",
    ],
)
def test_what_is_not_atomic_or_not_recorded_is_unknown(solver: DatabaseSolver, step: str) -> None:
    assert solved(solver, step) == UNKNOWN


def test_a_question_that_was_not_decomposed_is_unknown(
    world: World, solver: DatabaseSolver
) -> None:
    outcomes = solver.solve(Decomposition(question, ()) for question in world.train)
    answers = {outcome.answer for outcome in outcomes if isinstance(outcome, Solution)}
    assert answers == {UNKNOWN}


@pytest.mark.parametrize("step", ["How old is #1?", "How old is #0?", "How old is #7?"])
def test_a_reference_to_no_earlier_step_is_a_failure(solver: DatabaseSolver, step: str) -> None:
    decomposition = plan(step)
    [outcome] = solver.solve([decomposition])
    assert isinstance(outcome, Failure)
    assert (outcome.stage, outcome.reason) == ("solve", "bad reference")
    assert outcome.decomposition is decomposition


def test_it_says_how_it_came_to_its_answer(world: World, solver: DatabaseSolver) -> None:
    [outcome] = solver.solve([plan("Who is Emma's boss?", "How old is #1?")])
    assert outcome.text.splitlines()[0] == f"Who is Emma's boss? {world.facts['boss', 'Emma']}"


def test_it_solves_one_decomposition_at_a_time(solver: DatabaseSolver) -> None:
    taken = 0

    def decompositions() -> Iterator[Decomposition]:
        nonlocal taken
        while True:
            taken += 1
            yield plan("How old is Emma?")

    next(solver.solve(decompositions()))
    assert taken == 1
