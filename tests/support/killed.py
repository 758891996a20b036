"""A collection that is made to be killed; a module of its own, as its process imports little."""

from decompose_distill import Decomposer, Pipeline, Question, Sampling, Solver, collect
from decompose_distill.backends.openai import OpenAIBackend

IN_FLIGHT = 4
QUESTIONS = tuple(Question(f"How old are Ada and person {n} together?") for n in range(50))
SAMPLES, SOLVES = 3, 2


def run(url: str, path: str) -> None:
    """Collect from the server at `url`."""
    backend = OpenAIBackend("teacher", base_url=url, max_in_flight=IN_FLIGHT)
    sampling = Sampling(temperature=1.0)
    pipeline = Pipeline(Decomposer(backend, sampling=sampling), Solver(backend, sampling=sampling))
    collect(pipeline, QUESTIONS, path, samples=SAMPLES, solves=SOLVES, progress=False)
