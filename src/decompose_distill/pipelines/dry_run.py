"""The requests a role would make, recorded and sent to nobody: for forecasts and checks."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from decompose_distill.backend import Backend, info_of
from decompose_distill.errors import DecomposeDistillError
from decompose_distill.pipelines.roles import (
    Decomposing,
    Solving,
    backends_of,
    draw_decompositions,
    draw_solutions,
    over_backends,
)
from decompose_distill.types import Completion, Decomposition, Question, Request, Usage

Requests = Mapping[str, Sequence[Request]]
"""By the name of the backend that would be asked."""

MOST_PER_ITEM = 64
"""Requests after which a role that goes on until its model is done is stopped."""
_ANSWER = "1. Is it so?\nThe answer is: yes"
"""Can be read as a decomposition and as a solution."""


def decomposing_requests(role: Decomposing, questions: Sequence[Question]) -> Requests:
    """What a decomposer would ask about questions; nothing if it asks no backend.

    Example:
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> made = decomposing_requests(Decomposer(ScriptedBackend(str)), [Question("Why?")])
        >>> len(made["decomposer"])
        1
    """
    recorders = _recorders(role, len(questions))
    samples = ((question, 0) for question in questions)
    return _run(recorders, draw_decompositions(over_backends(role, recorders), samples))


def solving_requests(role: Solving, decompositions: Sequence[Decomposition]) -> Requests:
    """What a solver would ask about decompositions; nothing if it asks no backend."""
    recorders = _recorders(role, len(decompositions))
    solves = ((decomposition, 0) for decomposition in decompositions)
    return _run(recorders, draw_solutions(over_backends(role, recorders), solves))


def is_greedy(requests: Requests) -> bool:
    """Whether all are sampled at temperature 0, so that a repeated one is answered alike."""
    temperatures = [
        request.sampling.temperature for several in requests.values() for request in several
    ]
    return bool(temperatures) and not any(value is None or value > 0 for value in temperatures)


def _recorders(role: object, items: int) -> "dict[str, _Recorder]":
    most = MOST_PER_ITEM * items
    return {name: _Recorder(backend, most) for name, backend in backends_of(role).items()}


def _run(recorders: "Mapping[str, _Recorder]", outcomes: Iterator[object]) -> Requests:
    if recorders:
        with suppress(_Enough, DecomposeDistillError):
            deque(outcomes, maxlen=0)
    return {name: recorder.requests for name, recorder in recorders.items()}


class _Enough(Exception):
    """Ends a role that would ask without end."""


class _Recorder:
    """A backend that keeps its requests and gives each the same answer."""

    def __init__(self, backend: Backend, most: int) -> None:
        self.info = info_of(backend)
        self.requests: list[Request] = []
        self._most = most

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Record each request."""
        for request in requests:
            self.requests.append(request)
            if len(self.requests) > self._most:
                raise _Enough
            yield Completion(request.id, _ANSWER, usage=Usage(1, 1))
