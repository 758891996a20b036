"""Collect traces into a file, go on after a stop, and screen them."""

import decompose_distill as dd
from decompose_distill.backends import ScriptedBackend

AGES = {"Ada": 40, "Bob": 2, "Cleo": 30, "Dan": 12}


def speak(prompt: str) -> str:
    """A teacher that cannot add Cleo, and has nothing to say of Dan."""
    first, second = [word for word in prompt.split() if word in AGES][:2]
    if "Dan" in (first, second):
        return ""
    if "Subquestions:" not in prompt:
        return f"- How old is {first}?\n- How old is {second}?\n- What is #1 plus #2?"
    total = AGES[first] + AGES[second]
    return f"The answer is: {total - 1 if second == 'Cleo' else total}"


def main() -> None:
    teacher = ScriptedBackend(speak)
    pipeline = dd.Pipeline(dd.Decomposer(teacher), dd.Solver(teacher))
    questions = [
        dd.Question(
            f"How old are {first} and {second} together?", answer=str(AGES[first] + AGES[second])
        )
        for first, second in (("Ada", "Bob"), ("Ada", "Cleo"), ("Bob", "Ada"), ("Cleo", "Dan"))
    ]

    print(dd.collect(pipeline, questions[:2], "traces.jsonl"))  # stopped half-way
    print(dd.collect(pipeline, questions, "traces.jsonl"))  # asks only for the rest

    traces = list(dd.read_traces("traces.jsonl"))
    print("complete:", dd.filters.screen(traces, dd.filters.complete))
    print("correct:", dd.filters.screen(traces, dd.filters.correct))


if __name__ == "__main__":
    main()
