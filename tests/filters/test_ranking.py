"""The best traces of a question are chosen whatever their order; sizes are capped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import (
    ConfigError,
    Decomposition,
    Failure,
    Question,
    Solution,
    Subquestion,
    Trace,
    filters,
)

ASKED = tuple(Question(f"How old is {name}?", answer="42") for name in ("Ada", "Bob"))


def _trace(
    answer: str, *steps: str, question: Question = ASKED[0], sample: int = 0, solve: int = 0
) -> Trace:
    split = Decomposition(question, tuple(map(Subquestion, steps)), sample=sample)
    return Trace(question, Solution(split, answer, f"It is {answer}"), sample, solve)


def _kept(traces: list[Trace], most: int = 1, **options: object) -> list[Trace]:
    keep = filters.best_per_question(traces, most, **options)  # type: ignore[arg-type]
    return list(filters.screen(traces, keep).kept)


def test_a_right_answer_beats_a_short_one() -> None:
    wrong, right = _trace("7", "Who?"), _trace("42", "Who is it, and how old?")

    assert _kept([wrong, right]) == [right]


def test_among_right_answers_the_higher_uplift_and_then_the_shorter_wins() -> None:
    short, helps, longer = _trace("42", "A?"), _trace("42", "B, or C?"), _trace("42", "Long one?")
    alone = [_trace("7", solve=n) for n in range(2)]
    solves = [short, _trace("7", "A?", solve=1), helps, longer, _trace("7", "Long one?", solve=1)]
    measured = filters.measure_uplift((solves, alone))

    assert _kept([short, helps, longer], measured=measured) == [helps]
    assert _kept([short, helps, longer], 2, measured=measured) == [short, helps]
    assert _kept([longer, helps, short]) == [short]


def test_the_places_of_a_question_go_to_different_decompositions() -> None:
    solves = [_trace("42", "A?", solve=n) for n in range(3)]
    other = _trace("7", "Longer?", sample=1)

    assert _kept([*solves, other], 2) == [solves[0], other]


def test_a_failed_decomposition_takes_no_place_and_keeps_its_reason() -> None:
    failed = Trace(ASKED[0], Failure(ASKED[0], "decompose", "length"))
    keep = filters.best_per_question([failed, _trace("7", "Who?")])

    assert keep(failed) == "decompose: length"
    assert keep(_trace("7", "Who?")) is None


_TRACES = st.lists(
    st.builds(
        lambda answer, steps, question, sample, solve: _trace(
            answer, *steps, question=question, sample=sample, solve=solve
        ),
        st.sampled_from(["42", "7", "8"]),
        st.lists(st.sampled_from(["A?", "B?", "Longer?"]), max_size=3),
        st.sampled_from(ASKED),
        st.integers(0, 2),
        st.integers(0, 2),
    ),
    max_size=12,
    unique=True,
)


def test_traces_alike_but_for_the_words_are_chosen_in_any_order() -> None:
    traces = [_trace("42"), _trace("42", "A?"), _trace("42", "B?")]

    assert set(_kept(traces, 2)) == set(_kept(traces[::-1], 2))


@given(_TRACES, st.integers(1, 3), st.randoms())
def test_the_choice_is_the_same_in_any_order_and_within_the_cap(
    traces: list[Trace], most: int, rng: object
) -> None:
    kept = _kept(traces, most)
    shuffle_decompositions = list(traces)
    rng.shuffle(shuffle_decompositions)  # type: ignore[attr-defined]

    assert set(_kept(shuffle_decompositions, most)) == set(kept)
    for question in ASKED:
        mine = [trace for trace in traces if trace.question == question]
        splits = {trace.decomposition.subquestions for trace in mine if trace.decomposition}
        best = [trace for trace in kept if trace.question == question]
        assert len(best) == min(most, len(splits))
        if any(filters.correct(trace) is None for trace in mine):
            assert any(filters.correct(trace) is None for trace in best)


def test_the_number_of_subquestions_is_held_in_a_range() -> None:
    traces = [_trace("42", *["Who?"] * count) for count in range(5)]
    screened = filters.screen(traces, filters.subquestion_count(1, 3))

    assert screened.kept == tuple(traces[1:4])
    assert screened.dropped == {"0 subquestions": 1, "4 subquestions": 1}
    assert len(filters.screen(traces, filters.subquestion_count(2)).kept) == 3


def test_a_length_is_counted_over_what_the_role_reads_and_writes() -> None:
    trace = _trace("42", "Who?")  # 15 + len("1. Who?") characters, and 8 of the solution

    assert filters.length_cap(22)(trace) is None
    assert filters.length_cap(21)(trace) == "longer than 21"
    assert filters.length_cap(30, role="solver")(trace) is None
    assert filters.length_cap(29, role="solver")(trace) == "longer than 29"


def test_a_length_can_be_counted_in_tokens() -> None:
    def words(text: str) -> int:
        return len(text.split())

    assert filters.length_cap(6, measure=words)(_trace("42", "Who?")) is None
    assert filters.length_cap(5, measure=words)(_trace("42", "Who?")) == "longer than 5"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: filters.best_per_question([], 0),
        lambda: filters.subquestion_count(3, 2),
        lambda: filters.subquestion_count(-1),
        lambda: filters.length_cap(0),
        lambda: filters.length_cap(9, role="teacher"),  # type: ignore[arg-type]
    ],
)
def test_a_range_that_keeps_nothing_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError):
        wrong()  # type: ignore[operator]
