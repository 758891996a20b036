"""One question through the two-stage pipeline.

A function stands in for the teacher. For a real one, put
`dd.load_backend("openai:MODEL", base_url="http://localhost:8000/v1")` in its place.
"""

import decompose_distill as dd
from decompose_distill.backends import ScriptedBackend


def speak(prompt: str) -> str:
    """Decompose a question; solve it where its subquestions are given."""
    if "Subquestions:" in prompt:
        return "Ada is 40. Bob is 2. 40 + 2 = 42.\nThe answer is: 42"
    return "1. How old is Ada?\n2. How old is Bob?\n3. What is #1 plus #2?"


def main() -> None:
    teacher = ScriptedBackend(speak)
    pipeline = dd.Pipeline(dd.Decomposer(teacher), dd.Solver(teacher))
    trace = pipeline(dd.Question("How old are Ada and Bob together?", answer="42"))

    print(trace.question.text)
    if trace.decomposition and trace.solution:
        for number, step in enumerate(trace.decomposition.subquestions, start=1):
            print(f"  {number}. {step.text}")
        print(trace.solution.text)
    print("answer:", trace.answer)
    print("usage:", trace.usage)


if __name__ == "__main__":
    main()
