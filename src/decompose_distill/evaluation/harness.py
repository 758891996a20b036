"""evaluate(): a pipeline over held-out questions, as a report with intervals."""

import warnings
from collections.abc import Iterable

from decompose_distill import scores
from decompose_distill.console import progress_bar
from decompose_distill.data.questions import QuestionSource, as_questions
from decompose_distill.evaluation.contamination import find_overlap
from decompose_distill.evaluation.results import Report, Result, named_results, score_trace
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.types import Question, Trace


def evaluate(
    pipeline: Pipeline,
    questions: QuestionSource,
    *,
    score: scores.Score | scores.ScoreName = scores.exact,
    name: str = "pipeline",
    trained_on: Iterable[Question | Trace] | None = None,
    progress: bool = True,
) -> Report:
    """Run a pipeline over questions with gold answers and score what it says.

    Args:
        pipeline: Such as a student decomposer with the teacher as solver.
        questions: Held-out ones, or the path of their file; a repeated question counts once.
        score: `scores.exact`, `scores.f1`, `scores.gsm8k`, the name of one of them, or any
            function like them.
        name: Of the row in tables.
        trained_on: Questions or traces the student learned from. Where questions measured are
            among them, or nearly, this warns and marks the report.
        progress: Show a progress bar on stderr.

    Raises:
        BackendError: The backend refused for good.
        ConfigError: The score gave something else than a number from 0 to 1 or `None`.

    Example:
        >>> from decompose_distill import Solver
        >>> from decompose_distill.backends.scripted import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(lambda text: "42")))
        >>> questions = [Question("What is 6 times 7?", answer="42")]
        >>> print(evaluate(pipeline, questions, progress=False))
        pipeline: exact 100.0 % [20.7, 100.0] (n = 1)
    """
    score = scores.as_score(score)
    unique = {question.id: question for question in as_questions(questions)}
    overlap = None if trained_on is None else find_overlap(trained_on, unique.values())
    if overlap:
        warnings.warn(f"{name}: contaminated, {overlap}", stacklevel=2)
    results: list[Result] = []
    with progress_bar(name, len(unique), "question", show=progress) as bar:
        for trace in pipeline.run(unique.values()):
            results.append(Result(trace, score_trace(trace, score)))
            bar.update()
    return Report(name, *named_results(score, tuple(results)), overlap)
