"""What was trained on and is measured is found, warned of, and marked."""

import pytest

from decompose_distill import Pipeline, Question, Solver, evaluate
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.evaluation.contamination import find_overlap

LONG = "A robe takes two bolts of blue fiber and half that much white fiber, how many bolts?"
PIPELINE = Pipeline(None, Solver(ScriptedBackend(lambda text: "3")))


def test_the_same_words_are_exact_and_a_changed_number_is_near() -> None:
    trained = [Question(LONG.upper()), Question("Who was the first king of all the Franks?")]
    changed = Question("Who was the first king of all the Saxons?")
    other = Question("Which of the two rivers is the longer one in summer?")
    overlap = find_overlap(trained, [Question(LONG), changed, other])

    assert overlap.exact == (Question(LONG).id,)
    assert overlap.near == (changed.id,)


def test_punctuation_left_out_is_no_difference_and_another_sign_is_one() -> None:
    written, plain = Question("Jane's rent is $1,200; whose?"), Question("janes rent is 1200 whose")
    plus, minus, negative = (Question(f"What is {sum}?") for sum in ("3 + 4", "3 - 4", "3 + -4"))

    assert find_overlap([plain], [written]).exact == (written.id,)
    assert not find_overlap([plus], [minus, negative])


def test_the_same_question_about_another_passage_is_another_question() -> None:
    trained, measured = (Question(LONG, context=passage) for passage in ("one", "two"))

    assert not find_overlap([trained], [measured])
    assert find_overlap([trained], [trained])


def test_a_turn_of_phrase_shared_by_many_says_nothing() -> None:
    measured = [Question(f"How many apples are there in the box of number {n}?") for n in range(60)]

    assert not find_overlap([Question("How many apples are there in the box of Ada?")], measured)


def test_a_contaminated_report_warns_and_is_marked() -> None:
    question = Question(LONG, answer="3")
    with pytest.warns(UserWarning, match="overlap: of 1 test questions, 1 also occur in"):
        report = evaluate(PIPELINE, [question], trained_on=[question], progress=False)

    assert "CONTAMINATED" in str(report)
    assert report.to_json()["contamination"] == {"exact": [question.id], "near": [], "n": 1}


def test_a_clean_report_says_that_it_was_looked_at() -> None:
    question = Question(LONG, answer="3")
    report = evaluate(PIPELINE, [question], trained_on=[Question("Why?")], progress=False)

    assert "CONTAMINATED" not in str(report)
    assert report.to_json()["contamination"] == {"exact": [], "near": [], "n": 1}
