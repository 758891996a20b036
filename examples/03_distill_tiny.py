"""Train a student in seconds, and put it back into the pipeline.

The student is a Llama of some 600,000 weights, made here; it learns one kind of question.
A pretrained one is `student="HuggingFaceTB/SmolLM2-135M-Instruct"`.
"""

from itertools import product
from random import Random

import decompose_distill as dd
from decompose_distill.backends import ScriptedBackend
from decompose_distill.demo import make_tiny_student

NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gina")
AGES = {name: 20 + 3 * place for place, name in enumerate(NAMES)}
STEPS = {"twice": "times 2", "three times": "times 3", "half of": "times 0.5", "minus": "times -1"}
PROMPT = dd.prompts.Prompt("", "{question}{subquestions}")


def speak(prompt: str) -> str:
    """The teacher: decomposes a question, or solves it where its subquestions are given."""
    question, _, subquestions = prompt.partition("\n\nSubquestions:\n")
    if not subquestions:
        name = question.split()[-2].removesuffix("'s")
        [step] = [step for words, step in STEPS.items() if words in question]
        return f"1. How old is {name}?\n2. What is #1 {step}?"
    age = sum(AGES[name] for name in AGES if f"is {name}?" in subquestions)
    factor = float(subquestions.rstrip("?").split()[-1])
    return f"The answer is: {age * factor:g}"


def main() -> None:
    questions = [
        dd.Question(f"What is {words} {name}'s age?", answer=f"{AGES[name] * factor:g}")
        for name, (words, factor) in product(AGES, zip(STEPS, (2, 3, 0.5, -1), strict=True))
    ]
    Random(0).shuffle(questions)
    train, heldout = questions[:22], questions[22:]
    teacher = ScriptedBackend(speak)
    solver = dd.Solver(teacher, prompt=PROMPT)
    pipeline = dd.Pipeline(dd.Decomposer(teacher, prompt=PROMPT), solver)
    dd.collect(pipeline, train, "traces.jsonl")

    texts = [f"{each.text}\n{speak(each.text)}" for each in train]
    base = make_tiny_student(texts, "base", hidden_size=128, layers=2, vocab_size=400)
    checkpoint = dd.distill(
        dd.read_traces("traces.jsonl"),
        student=base, output_dir="student", keep=dd.filters.correct, prompt=PROMPT,
        config=dd.DistillConfig(epochs=30, batch_size=4, learning_rate=2e-3),
    )  # fmt: skip
    student = dd.Decomposer.from_pretrained(checkpoint)
    for name, decomposer in (("teacher", pipeline.decomposer), ("student", student)):
        print(dd.evaluate(dd.Pipeline(decomposer, solver), heldout, name=name))


if __name__ == "__main__":
    main()
