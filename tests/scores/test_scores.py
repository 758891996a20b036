"""Scores meet their semantics; without a gold answer there is no score."""

import time
from itertools import permutations
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decompose_distill import ConfigError, scores
from decompose_distill.scores.drop import _best_matching
from decompose_distill.scores.versioning import name_and_version

SCORED = ("exact", "contains", "drop_em", "drop_f1", "gsm8k", "gsm8k_strict", "gsm8k_paper")


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("72", "72", 1),
        ("72.0", "72", 1),
        ("$1,000", "1000", 1),
        ("-5", "5", 0),
        ("3.75", "3", 0),
        ("The Eiffel Tower.", "eiffel tower", 1),
        ("Paris", "London", 0),
        ("", "72", 0),
        ("the", "a", 0),
        ("C++", "C", 0),
        ("C#", "c#", 1),
        ("?", "!", 0),
        ("50 %", "50", 1),
    ],
)
def test_exact_compares_numbers_as_numbers_and_words_as_words(
    answer: str, gold: str, points: float
) -> None:
    assert scores.exact(answer, [gold]) == points


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("18", "9 * 2 = 18\n#### 18", 1),
        ("She earns $1,018.00 a day", "#### 1,018", 1),
        ("first 18 then 19", "#### 18", 0),
        ("-3", "#### -3", 1),
        ("3.75", "#### 3", 0),
        ("none", "#### 3", 0),
    ],
)
def test_gsm8k_takes_the_last_number(answer: str, gold: str, points: float) -> None:
    assert scores.gsm8k(answer, [gold]) == points


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("x^2 - 3x", "x^2 + 3x", 0),
        ("3 - 4", "3 + 4", 0),
        ("x - 3", "x + 3", 0),
        ("2 * 3", "2 / 3", 0),
        ("a < b", "a > b", 0),
        ("x \\leq 5", "x \\geq 5", 0),
        ("-x", "x", 0),
        ("√2", "2", 0),
        ("5 ± 2", "5 2", 0),
        ("A \\cup B", "A \\cap B", 0),
        ("[1, 2)", "(1, 2)", 0),
        ("x^2 + 3x", "x^{2}+3x", 1),
        ("x \\leq 5", "x≤5", 1),
        ("2 × 3", "2*3", 1),
        ("2 / 3", "\\frac23", 1),
        ("[1, 2)", "\\left[1,2\\right)", 1),
        ("5 \\pm \\sqrt{2}", "5\\pm\\sqrt2", 1),
        ("\\lambda", "λ", 1),
        ("20–30", "20-30", 1),
        ("- Oslo", "Oslo", 1),
        ("Oslo + Bergen", "Oslo Bergen", 1),
        ("well-known", "well known", 1),
        ("AC/DC", "AC DC", 1),
    ],
)
def test_exact_tells_what_is_done_with_numbers_from_something_else(
    answer: str, gold: str, points: float
) -> None:
    assert scores.exact(answer, [gold]) == scores.exact(gold, [answer]) == points


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        *(("1 4/5", "9/5", 1), ("-1 1/2", "-3/2", 1), ("-1 1/2", "3/2", 0), ("1½", "3/2", 1)),
        *(("4/5", "4 5", 0), ("1 1/2 cups", "3/2 cups", 1), ("-0", "0", 1), ("0.50", "0.5", 1)),
        *(("1,00 km", "100 km", 0), ("–5", "-5", 1), ("A-", "A", 0), ("B+", "B", 0)),
        *(("3.5.", "3.5", 1), ("(1, 2]", "[1, 2)", 0), ("(1, 2]", "(1,2]", 1), ("x²", "x2", 0)),
        *(("e.g. 5", "eg 5", 1), ("{1,2}", "1 2", 1), ("1e3", "1000", 1), ("the a", "a the", 0)),
        *(("हिन्दी", "हिन्द", 0), ("e\u0301", "é", 1), ("The Hague", "hague", 1), ("6÷2", "6/2", 1)),
    ],
)
def test_exact_holds_signs_that_make_another_thing_and_no_others(
    answer: str, gold: str, points: float
) -> None:
    assert scores.exact(answer, [gold]) == scores.exact(gold, [answer]) == points


def test_f1_counts_words_as_often_as_they_occur() -> None:
    assert scores.f1("red red ball", ["red ball ball"]) == pytest.approx(2 / 3)
    assert scores.f1("red", ["red big ball"]) == pytest.approx(0.5)
    assert scores.f1("blue", ["red"]) == 0


def test_letters_of_scripts_without_blanks_are_words() -> None:
    assert scores.contains("加尔达湖在意大利", ["加尔达湖"]) == 1
    assert scores.contains("他生于1987年。", ["1987年"]) == 1
    assert scores.contains("他生于11987年", ["1987年"]) == 0
    assert scores.contains("เมืองหลวงคือกรุงเทพ", ["กรุงเทพ"]) == 1
    assert scores.f1("大阪市", ["大阪"]) == pytest.approx(0.8)
    assert scores.f1("東京", ["大阪"]) == 0


def test_a_letter_that_names_something_is_no_article() -> None:
    assert scores.exact("vitamin A", ["vitamin"]) == 0
    assert scores.exact("a vitamin", ["vitamin"]) == 1
    assert scores.exact('a "red" ball', ["red ball"]) == 1
    assert scores.contains("option A: Rome", ["A"]) == 1
    assert scores.contains("a Roman", ["A"]) == 0


def test_signs_without_end_are_compared_in_linear_time() -> None:
    start = time.process_time()
    scores.exact("| " * 50_000, ["> " * 50_000])

    assert time.process_time() - start < 5  # 100 s where it is quadratic


def test_a_score_without_a_name_or_a_version_is_told_too() -> None:
    class Close:
        def __call__(self, answer: str, golds: object) -> float:
            return 0.5

    assert name_and_version(Close()) == ("score", None)
    assert name_and_version(scores.exact) == ("exact", scores.exact.version)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said", ["1'000", "1’000", "1{,}000", "1\\,000", "1,\\!000", "1\u202f000", "1\u00a0000"]
)
def test_gsm8k_reads_thousands_that_no_comma_parts(said: str) -> None:
    assert scores.gsm8k(f"She has {said} apples", ["#### 1000"]) == 1
    assert scores.gsm8k(f"She has {said} apples", ["#### 0"]) == 0


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("U.S.", "US"),
        ("Washington, D.C.", "Washington DC"),
        ("9 a.m.", "9 am"),
        ("J.K. Rowling", "J. K. Rowling"),
        ("J.K. Rowling", "J K Rowling"),
        ("1\u202f000 km", "1,000 km"),
    ],
)
def test_initials_and_thousands_are_the_same_however_they_are_parted(
    answer: str, gold: str
) -> None:
    assert scores.exact(answer, [gold]) == scores.exact(gold, [answer]) == 1
    assert scores.f1(answer, [gold]) == 1
    assert scores.contains(f"It was {answer} then", [gold]) == 1


@pytest.mark.parametrize("name", ["exact", "gsm8k", "gsm8k_strict"])
def test_numbers_are_compared_in_all_their_digits(name: str) -> None:
    score = getattr(scores, name)

    assert score("1" * 30 + "2", ["1" * 30 + "3"]) == 0
    assert score("9" * 1_000_001, ["1"]) == 0


@pytest.mark.parametrize("name", SCORED)
def test_one_gold_alone_is_not_taken_for_its_letters(name: str) -> None:
    assert getattr(scores, name)("72", "72") == 1
    assert getattr(scores, name)("7", "72") == 0


def test_a_semicolon_of_the_gold_parts_no_spans_of_the_answer() -> None:
    gold = "Texas (157,000; 0.6%) and New Jersey (134,500; 1.5%)"

    assert (scores.drop_em(gold, [gold]), scores.drop_f1(gold, [gold])) == (1, 1)
    assert scores.drop_em("red; blue", ["a; b", "blue\nred"]) == 1


def test_the_best_of_several_golds_counts() -> None:
    assert scores.exact("NYC", ["New York", "nyc"]) == 1
    assert scores.f1("red ball", ["blue", "red ball"]) == 1


@pytest.mark.parametrize("score", [scores.exact, scores.f1, scores.gsm8k])
def test_without_a_gold_answer_there_is_no_score(score: scores.Score) -> None:
    assert score("72", []) is None


def test_a_gold_without_number_cannot_be_scored_as_a_number() -> None:
    assert scores.gsm8k("72", ["unknown"]) is None


@pytest.mark.parametrize("score", [getattr(scores, name) for name in (*SCORED, "f1", "yes_no")])
@given(answer=st.text(), gold=st.text())
def test_any_text_scores_between_0_and_1(score: scores.Score, answer: str, gold: str) -> None:
    points = score(answer, [gold])

    assert points is None or 0 <= points <= 1


@given(st.text(min_size=1).filter(str.strip))
def test_an_answer_equals_itself(answer: str) -> None:
    assert scores.exact(answer, [answer]) == 1
    assert scores.f1(answer, [answer]) == 1


def _golden() -> list[tuple[str, str, list[str], float | None]]:
    lines = Path(__file__).with_name("golden_scores.txt").read_text(encoding="utf-8").splitlines()
    cases = []
    for answer, golds, points in (line.split(" | ") for line in lines if line[0] != "#"):
        accepted = [gold.strip() for gold in golds.replace("¶", "\n").split("¦")]
        for name, each in zip(SCORED, points.split(), strict=True):
            known = None if each == "-" else float(each)
            cases.append((name, answer.replace("¶", "\n").strip(), accepted, known))
    return cases


GOLDEN = _golden()


def test_the_golden_suite_is_no_smaller_than_promised() -> None:
    assert len(set(map(str, GOLDEN))) >= 300


@pytest.mark.parametrize("name", SCORED)
def test_a_score_meets_its_golden_cases(name: str) -> None:
    score = getattr(scores, name)
    faults = [
        (answer, golds, points, score(answer, golds))
        for scored, answer, golds, points in GOLDEN
        if scored == name and score(answer, golds) != points
    ]

    assert not faults


@pytest.mark.parametrize(
    ("answer", "gold", "points"),
    [
        ("Yes", "yes", 1),
        ("yes.", "True", 1),
        ("**No**, it is not", "no", 1),
        ("No, but yes if asked", "no", 1),
        ("It is false", "no", 1),
        ("either yes or no", "yes", 0),
        ("Not true.", "no", 1),
        ("It is not true", "yes", 0),
        ("That isn't true", "no", 1),
        ("It is not false", "yes", 1),
        ("No, that is not true", "no", 1),
        ("I do not know", "no", 0),
        ("maybe", "yes", 0),
        ("nothing", "no", 0),
        ("", "no", 0),
        ("yes", "42", None),
    ],
)
def test_yes_no_reads_one_verdict(answer: str, gold: str, points: float | None) -> None:
    assert scores.yes_no(answer, [gold]) == points


def test_every_score_of_ours_has_a_version() -> None:
    ours = [getattr(scores, name) for name in get_args(scores.ScoreName)]

    assert all(score.version for score in ours)


@given(st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=5))
def test_spans_are_aligned_as_well_as_any_pairing_could(gains: list[list[int]]) -> None:
    table = [[float(gain) for gain in row] for row in gains]
    size = max(len(table), 3)
    square = [[*row, *[0.0] * (size - 3)] for row in table]
    square += [[0.0] * size] * (size - len(table))
    pairings = permutations(range(size))
    best = max(sum(square[row][column] for row, column in enumerate(each)) for each in pairings)

    assert _best_matching(table) == best


def test_a_score_of_a_users_own_is_found_by_module_and_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scores_of_mine.py").write_text("def close(answer, golds): return 0.5\nX = 1\n")
    monkeypatch.chdir(tmp_path)

    assert scores.as_score("scores_of_mine:close")("1", ("2",)) == 0.5
    with pytest.raises(ConfigError, match=r"no function 'clsoe'; did you mean 'close'\?"):
        scores.as_score("scores_of_mine:clsoe")
    with pytest.raises(ConfigError, match="no function 'X'"):
        scores.as_score("scores_of_mine:X")
    with pytest.raises(ConfigError, match="cannot import 'scores_of_nobody'"):
        scores.as_score("scores_of_nobody:close")
    with pytest.raises(ConfigError, match=r"cannot be 'exat'; did you mean 'exact'\?"):
        scores.as_score("exat")
