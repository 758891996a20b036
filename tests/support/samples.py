"""Questions, traces and a command line that many tests share."""

import sys
from pathlib import Path

import pytest

from decompose_distill import Decomposition, Question, Solution, Subquestion, Trace, prompts

PROMPT = prompts.Prompt("Split.", "{question}")
QUESTIONS = tuple(
    Question(f"How old are {first} and {second} together?", answer=str(40 + place))
    for place, (first, second) in enumerate(
        (first, second) for first in ("Ada", "Bob", "Cleo", "Dan") for second in ("Eve", "Finn")
    )
)


def make_trace(question: Question, answer: str, sample: int = 0) -> Trace:
    """A finished trace with the decomposition that fits the question."""
    people = [word for word in question.text.split() if word in "Ada Bob Cleo Dan Eve Finn"]
    steps = [f"How old is {person}?" for person in people] + ["What is #1 plus #2?"]
    subquestions = tuple(Subquestion(step) for step in steps)
    text = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    decomposition = Decomposition(question, subquestions, text, sample)
    return Trace(question, Solution(decomposition, answer, f"The answer is: {answer}"), sample)


def run_cli(*arguments: str | Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command line in this process; gives its exit code."""
    from decompose_distill.cli import main

    monkeypatch.setattr(sys, "argv", ["decompose-distill", *map(str, arguments)])
    try:
        main()
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0
