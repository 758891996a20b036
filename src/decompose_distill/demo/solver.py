"""A database with arithmetic as the solver: it answers atomic subquestions and nothing else."""

from collections.abc import Iterable, Iterator

from decompose_distill.demo.atomic_steps import Records, combine, read_step
from decompose_distill.demo.world import World
from decompose_distill.types import Decomposition, Failure, Solution

UNKNOWN = "unknown"
"""What the database answers when it has no such record."""


class DatabaseSolver:
    """Answers each subquestion in turn; the last answer is the answer to the question.

    A subquestion is atomic when it asks one thing of entities it names or refers to as `#n`.
    Anything else is answered "unknown", as a database without such a record would; so is a
    question that was not decomposed.

    Example:
        >>> from decompose_distill.types import Decomposition, Question, Subquestion
        >>> from decompose_distill.demo.world import build_world
        >>> solver = DatabaseSolver(build_world(seed=0))
        >>> steps = (Subquestion("Who is Emma's boss?"), Subquestion("How old is #1?"))
        >>> [solution] = solver.solve([Decomposition(Question("Her boss's age?"), steps)])
        >>> solution.answer.isdigit()
        True
    """

    identity = "decompose_distill.demo.solver.DatabaseSolver"
    """Its class, as in the keys of the first traces."""

    def __init__(self, world: World) -> None:
        self._records = Records(world.facts)

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Solve each decomposition as it comes."""
        return map(self._solve, decompositions)

    def _solve(self, decomposition: Decomposition) -> Solution | Failure:
        steps = decomposition.subquestions
        for number, step in enumerate(steps, start=1):
            for reference in step.references:
                if not 0 < reference < number:
                    message = f"step {number} refers to #{reference}, which is not an earlier step"
                    return _failure(decomposition, message)
        answers: list[str] = []
        texts = [step.text for step in steps] or [decomposition.question.text]
        for text in texts:
            answers.append(self.answer(text, answers))
        said = "\n".join(f"{text} {answer}" for text, answer in zip(texts, answers, strict=True))
        return Solution(decomposition, answers[-1], said)

    def answer(self, subquestion: str, earlier: Iterable[str] = ()) -> str:
        """Answer one subquestion, given the answers to the earlier ones.

        Example:
            >>> from decompose_distill.demo.world import build_world
            >>> solver = DatabaseSolver(build_world(seed=0))
            >>> solver.answer("Who is older, #1 or #1?", ["Emma"])
            'Emma'
        """
        step = read_step(subquestion)
        found = step and self._records.find(step, list(earlier))
        return combine(step.operator, found) if step and found else UNKNOWN


def _failure(decomposition: Decomposition, message: str) -> Failure:
    return Failure(
        decomposition.question,
        "solve",
        "bad reference",
        message,
        text=decomposition.text,
        decomposition=decomposition,
        sample=decomposition.sample,
    )
