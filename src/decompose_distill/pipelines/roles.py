"""What a role must have, and what it may have so that it is budgeted, kept and forecast.

A decomposer has `decompose`, a solver `solve`: that is all a `Pipeline` needs. A role that asks
backends, itself or through other roles, says so with `UsesBackends`; then whatever is done for
`Decomposer` and `Solver` is done for it. A role without backends is free.
"""

import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from decompose_distill.backend import Backend, class_path, own_identity
from decompose_distill.errors import ConfigError, wrong_kind
from decompose_distill.pipelines.solver import Mode
from decompose_distill.prompts import Prompt
from decompose_distill.types import Decomposition, Failure, Question, Solution

Role = TypeVar("Role")


class Decomposing(Protocol):
    """Anything that splits questions, such as a `Decomposer`."""

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        """Split each question once, in any order; `sample` tells repeats apart."""
        ...


class Solving(Protocol):
    """Anything that answers decomposed questions: a `Solver`, a calculator, a database."""

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Answer each decomposition once, in any order."""
        ...


@runtime_checkable
class UsesBackends(Protocol):
    """A role that asks backends."""

    def backends(self) -> Mapping[str, Backend]:
        """All that it asks, by a name each, those first whose answers others are asked about."""
        ...

    def with_backends(self, backends: Mapping[str, Backend]) -> Self:
        """The same role over others of the same names; names that it does not know are let be."""
        ...


@runtime_checkable
class DrawsDecompositions(Protocol):
    """A decomposer that takes several samples in one stream."""

    def draw(self, samples: Iterable[tuple[Question, int]]) -> Iterator[Decomposition | Failure]:
        """Split questions, each with the number of its sample, in any order."""
        ...


@runtime_checkable
class DrawsSolutions(Protocol):
    """A solver that tells several solves of a decomposition apart."""

    def draw(
        self, solves: Iterable[tuple[Decomposition, int]]
    ) -> Iterator[tuple[int, Solution | Failure]]:
        """Answer decompositions, each with the number of its solve, which comes back with it."""
        ...


@runtime_checkable
class HasModes(Protocol):
    """A solver that can also answer in a single call, without a decomposition."""

    @property
    def mode(self) -> Mode:
        """How it answers."""
        ...

    def with_mode(self, mode: Mode, prompt: Prompt | None = None) -> Self:
        """The same solver in another mode, with that one's own prompt or another."""
        ...


def backends_of(role: object) -> Mapping[str, Backend]:
    """The backends that a role asks, by name; none for a calculator.

    Raises:
        ConfigError: The role holds a backend and does not say so, so that what it asks would be
            neither counted nor kept.
    """
    if isinstance(role, UsesBackends):
        return role.backends()
    if path := next(_held_backends(role, ()), None):
        raise ConfigError(
            f"{class_path(type(role))} holds a backend in {path!r} and lacks the methods "
            "backends() and with_backends(backends), without which what it asks is neither "
            "counted nor kept: add both, as in 'Use a tool as solver' of the documentation"
        )
    return {}


def accounts(stage: str, role: object) -> dict[str, Backend]:
    """The same by the names under which a ledger books them.

    That of a stage's own class is the stage's; any other stands behind it, as `solver.judge`.
    """
    return {account(stage, name): backend for name, backend in backends_of(role).items()}


def over_backends(role: Role, backends: Mapping[str, Backend]) -> Role:
    """The same role over other backends of the same names; one without any as it is."""
    return role.with_backends(backends) if isinstance(role, UsesBackends) else role


def over_accounts(stage: str, role: Role, backends: Mapping[str, Backend]) -> Role:
    """The same with the names of `accounts`."""
    names = backends_of(role)
    return over_backends(role, {name: backends[account(stage, name)] for name in names})


def account(stage: str, name: str) -> str:
    """The name under which a ledger books a backend of a stage."""
    return stage if name == stage else f"{stage}.{name}"


def check_stages(decomposer: object, solver: object) -> None:
    """Refuse what cannot decompose or solve, such as a bare backend.

    Raises:
        ConfigError: A stage has not the method of its role; the message names it.
    """
    if decomposer is not None and not callable(getattr(decomposer, "decompose", None)):
        advice = "None or an object with the method decompose, as Decomposer(backend)"
        raise wrong_kind("decomposer", decomposer, advice)
    if not callable(getattr(solver, "solve", None)):
        raise wrong_kind("solver", solver, "an object with the method solve, as Solver(backend)")


def check_identity(role: object) -> None:
    """Refuse a role whose work could not be found again.

    Raises:
        ConfigError: It has no `identity` of its own.
    """
    if role is not None and not own_identity(role):
        path = class_path(type(role))
        raise ConfigError(
            f"{path} has no identity, under which its work is found again: give it an attribute "
            "identity, a text that changes when its answers do; "
            f"identity = {path!r} finds what was collected without one"
        )


def check_draws(solver: object, solves: int) -> None:
    """Refuse a solver whose solves of a decomposition would be the same requests.

    Raises:
        ConfigError: There are several, it asks backends, and it has no `draw`.
    """
    if solves > 1 and backends_of(solver) and not isinstance(solver, DrawsSolutions):
        raise ConfigError(
            f"solves={solves} needs a solver that tells them apart: give "
            f"{class_path(type(solver))} the method draw(solves), which takes pairs of "
            "decomposition and number of the solve"
        )


def draw_decompositions(
    decomposer: Decomposing | None, samples: Iterator[tuple[Question, int]]
) -> Iterator[Decomposition | Failure]:
    """Split questions, each with the number of its sample, in one stream.

    Without a decomposer nothing is split; one without `draw` is asked once a sample.
    """
    if decomposer is None:
        yield from (Decomposition(question, (), sample=sample) for question, sample in samples)
    elif isinstance(decomposer, DrawsDecompositions) and not hasattr(decomposer, "solve"):
        yield from decomposer.draw(samples)
    else:
        for sample, group in groupby(samples, itemgetter(1)):
            for outcome in decomposer.decompose((question for question, _ in group), sample):
                yield replace(outcome, sample=sample)  # some leave it out


def draw_solutions(
    solver: Solving, wanted: Iterator[tuple[Decomposition, int]]
) -> Iterator[tuple[int, Solution | Failure]]:
    """Answer decompositions, each with the number of its solve, in one stream."""
    if isinstance(solver, DrawsSolutions) and not hasattr(solver, "decompose"):
        yield from solver.draw(wanted)
        return
    waiting: dict[str, list[tuple[Decomposition, int]]] = {}

    def decompositions() -> Iterator[Decomposition]:
        for decomposition, solve in wanted:
            waiting.setdefault(decomposition.question.id, []).append((decomposition, solve))
            yield decomposition

    for outcome in solver.solve(decompositions()):
        yield _take(waiting, outcome)


def _take(
    waiting: dict[str, list[tuple[Decomposition, int]]], outcome: Solution | Failure
) -> tuple[int, Solution | Failure]:
    """Find the solve an outcome is of; a failure that says no more is of the first waiting."""
    name = question_of(outcome).id
    for index, (decomposition, solve) in enumerate(waiting.get(name, [])):
        bare = isinstance(outcome, Failure) and outcome.decomposition is None
        if not bare and decomposition.sample != sample_of(outcome):
            continue
        del waiting[name][index]
        if not waiting[name]:
            del waiting[name]
        if isinstance(outcome, Failure) and bare:
            outcome = replace(outcome, decomposition=decomposition, sample=decomposition.sample)
        return solve, outcome
    return 0, outcome  # it was not asked for, which is found out by its reader


def question_of(outcome: Decomposition | Solution | Failure) -> Question:
    """The question an outcome belongs to."""
    return outcome.decomposition.question if isinstance(outcome, Solution) else outcome.question


def sample_of(outcome: Decomposition | Solution | Failure) -> int:
    """The number of the sample an outcome belongs to."""
    return outcome.decomposition.sample if isinstance(outcome, Solution) else outcome.sample


def _held_backends(role: object, above: Collection[int]) -> Iterator[str]:
    """Paths of the attributes in which a role, or a role in it, holds a backend."""
    for name, value in _held(role):
        value = value.__self__ if inspect.ismethod(value) else value
        if id(value) in above or isinstance(value, type):
            continue
        if _is_backend(value) or isinstance(value, UsesBackends):
            yield name
        elif hasattr(value, "decompose") or hasattr(value, "solve"):
            inside = _held_backends(value, {*above, id(value)})
            yield from (f"{name}.{path}" for path in inside)


def _held(role: object) -> Iterator[tuple[str, Any]]:
    """What stands in a role's attributes; no property is run."""
    names = {name for kind in type(role).__mro__ for name in vars(kind)}
    for name in sorted({*names, *getattr(role, "__dict__", {})}):
        value = inspect.getattr_static(role, name, None)
        if inspect.ismemberdescriptor(value):  # a slot
            value = getattr(role, name, None)
        if isinstance(value, dict) and not name.startswith("__"):
            yield from ((f"{name}[{key!r}]", item) for key, item in value.items())
        elif isinstance(value, list | tuple) and not name.startswith("__"):
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))
        elif not name.startswith("__"):
            yield name, value


def _is_backend(value: object) -> bool:
    """Whether its `generate` takes requests and nothing else, as that of no model does."""
    try:
        parameters = list(inspect.signature(value.generate).parameters.values())  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        return False
    if not parameters or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        return False
    return len(parameters) == 1 or parameters[0].name == "requests"
