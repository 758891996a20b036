"""A calculator as the solver: anything with a method `solve` can take the role."""

import re
from collections.abc import Iterable, Iterator

import decompose_distill as dd
from decompose_distill.backends import ScriptedBackend

STEP = re.compile(r"What is (\S+) (plus|minus|times) (\S+)\?")


class Calculator:
    """Answers steps such as `What is #1 times 7?`, one after the other."""

    identity = "calculator 1"

    def solve(
        self, decompositions: Iterable[dd.Decomposition]
    ) -> Iterator[dd.Solution | dd.Failure]:
        for decomposition in decompositions:
            known: dict[str, int] = {}
            try:
                for number, step in enumerate(decomposition.subquestions, start=1):
                    known[f"#{number}"] = answer = calculate(step.text, known)
                yield dd.Solution(decomposition, str(answer), f"{known}")
            except ValueError as error:
                yield dd.Failure(
                    decomposition.question, "solve", "not a calculation", str(error),
                    decomposition=decomposition, sample=decomposition.sample,
                )  # fmt: skip


def calculate(text: str, known: dict[str, int]) -> int:
    if not (match := STEP.fullmatch(text)):
        raise ValueError(f"not a calculation: {text!r}")
    left, right = (known[word] if word in known else int(word) for word in (match[1], match[3]))
    return {"plus": left + right, "minus": left - right, "times": left * right}[match[2]]


def speak(question: str) -> str:
    if "eggs" in question:
        return "1. What is 16 minus 7?\n2. What is #1 times 2?"
    return "1. Who knows?"


def main() -> None:
    pipeline = dd.Pipeline(dd.Decomposer(ScriptedBackend(speak)), Calculator())
    for text in ("She has 16 eggs, eats 7 and sells the rest at 2 each. How much?", "Why?"):
        trace = pipeline(dd.Question(text))
        print(text, "→", trace.answer or f"failed: {trace.failure and trace.failure.message}")


if __name__ == "__main__":
    main()
