"""LaTeX is written plainly, and numbers are read with the signs that belong to them."""

import pytest

from decompose_distill import scores
from decompose_distill.scores.numeric import as_number, without_latex

LATEX = {
    r"\frac12": "1/2",
    r"1\frac12": "1 1/2",
    r"a1\frac12": "a1 1/2",
    r"2\frac 3 4": "2 3/4",
    r"\frac{a+b}{c}": "(a+b)/c",
    r"\frac{\sqrt{2}}{2}": "√2/2",
    r"\frac{-1}{2}": "-1/2",
    r"x=\dfrac{3}{4}": "x=3/4",
    r"\sqrt2": "√2",
    r"\sqrt{a+b}": "√(a+b)",
    r"\sqrt\frac12": "√(1/2)",
    "x^{a+b}": "x^(a+b)",
    "x^{10}": "x^10",
    "x_{ij}": "x_ij",
    "a_{i+1}": "a_(i+1)",
    r"\text{5 km}": "5 km",
    r"\text{a} \mathrm{b}": "a b",
    r"5^{\circ}C": "5°C",
    r"90^\circ": "90°",
    r"\boxed{\text{Oslo}}": "Oslo",
    r"\varphi": "φ",
    r"\Omega": "Ω",
    r"\Lambda": "Λ",
    r"\foo": r"\foo",
    "$x^2$": "x^2",
    "$$x+1$$": "x+1",
    r"\(x\)": "x",
    r"\[x\]": "x",
    r"\$5": "$5",
    r"50\%": "50%",
    r"a\,b": "a b",
    r"1\,000": "1,000",
    "1{,}000{,}000": "1,000,000",
    "1'0000": "1'0000",
    r"\left(1,2\right)": "(1,2)",
    r"\{1,2\}": "{1,2}",
    r"\frac1": r"\frac1",
    "a^{b": "a^{b",
    "a}": "a}",
    r"\text{}": r"\text{}",
    "$5 and $6": "$5 and $6",
}


def test_latex_is_written_plainly_or_left_as_it_is() -> None:
    assert {text: without_latex(text) for text in LATEX} == LATEX


def test_a_number_is_one_with_or_without_signs_that_belong_to_it() -> None:
    numbers = {"-3": -3, "5.": 5, "$-5": -5, "-$5": -5, "$.5": 0.5, "12,34,567": 1234567, "5 %": 5}

    assert {text: float(as_number(text) or 0) for text in numbers} == numbers
    for text in ("1,2", "1,00", "3 or 4", "5 km", "", "1e3", "1/2"):
        assert as_number(text) is None


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        *(("16-3", "3"), ("5 m^2", "5"), ("2 m2 or 5 m2", "5"), ("CO2", "2"), ("USD2", "2")),
        *(("USD7 m2", "7"), ("Rs5", "5"), ("kr7", "7"), ("1,2", "2"), ("1,234,5", "5")),
        *(("12,34,567", "1234567"), ("x^(2)", "2"), ("m27 or 27", "27"), ("٣", "3"), ("5,", "5")),
    ],
)
def test_gsm8k_reads_the_last_number_that_stands_for_itself(answer: str, gold: str) -> None:
    assert scores.gsm8k(answer, [gold]) == 1
    assert scores.gsm8k(answer, ["99"]) == 0
