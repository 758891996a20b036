"""A role of a user's own is budgeted, kept, forecast and resumed like the two concrete classes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest

from decompose_distill import (
    Backend,
    BackendError,
    BackendInfo,
    BudgetExceeded,
    Completion,
    ConfigError,
    Decomposer,
    Decomposition,
    Failure,
    Message,
    Pipeline,
    Price,
    Question,
    Request,
    Sampling,
    Solution,
    Solver,
    Usage,
    collect,
    plan,
    read_traces,
)
from decompose_distill.backend import complete
from decompose_distill.cost.forecast import most_tokens
from decompose_distill.reporting import Study

PRICE = Price(Decimal(1), Decimal(4))
SHORT = Sampling(max_new_tokens=20)
QUESTIONS = [Question(f"How old are Ada and number {n}?") for n in range(40)]


class Provider:
    """Bills what it answers, a few requests at a time and the last one first."""

    def __init__(self, answer: str, stop: int | None = None) -> None:
        self.info = BackendInfo(identity=f"provider {answer}", price=PRICE, max_attempts=2)
        self.asked: list[tuple[Message, ...]] = []
        self.billed = Decimal(0)
        self._answer, self._stop = answer, stop

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        stream = iter(requests)
        while window := list(islice(stream, 4)):
            for request in reversed(window):
                if len(self.asked) == self._stop:
                    raise BackendError("out of order")
                self.asked.append(request.messages)
                used = Usage(most_tokens(request).input_tokens // 2, 10)
                self.billed += PRICE.usd(used)
                yield Completion(request.id, self._answer, usage=used)


@dataclass(frozen=True)
class Gate:
    """Asks a judge whether a question is to be split at all, and a decomposer then."""

    judge: Backend
    inner: Decomposer

    @property
    def identity(self) -> str:
        return f"gate 1 {self.inner.identity}"

    def backends(self) -> Mapping[str, Backend]:
        return {"judge": self.judge, **self.inner.backends()}

    def with_backends(self, backends: Mapping[str, Backend]) -> "Gate":
        return Gate(backends["judge"], self.inner.with_backends(backends))

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        return self.draw((question, sample) for question in questions)

    def draw(self, samples: Iterable[tuple[Question, int]]) -> Iterator[Decomposition | Failure]:
        left: list[tuple[Question, int]] = []

        def hard() -> Iterator[tuple[Question, int]]:
            for (question, sample), judged in complete(self.judge, samples, self._request):
                if "yes" in judged.text:
                    yield question, sample
                else:
                    left.append((question, sample))

        yield from self.inner.draw(hard())
        for question, sample in left:
            yield Decomposition(question, (), sample=sample)

    def _request(self, number: str, drawn: tuple[Question, int]) -> Request:
        question, sample = drawn
        chat = (Message("user", f"Is this hard? {question.text}"),)
        return Request(f"judge/{number}", chat, SHORT, sample)


@dataclass(frozen=True)
class Stepwise:
    """Answers the subquestions one request after the other."""

    backend: Backend

    @property
    def identity(self) -> str:
        return "stepwise 1"

    def backends(self) -> Mapping[str, Backend]:
        return {"backend": self.backend}

    def with_backends(self, backends: Mapping[str, Backend]) -> "Stepwise":
        return replace(self, backend=backends["backend"])

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        return (self._solve(decomposition, 0) for decomposition in decompositions)

    def draw(
        self, solves: Iterable[tuple[Decomposition, int]]
    ) -> Iterator[tuple[int, Solution | Failure]]:
        return ((solve, self._solve(decomposition, solve)) for decomposition, solve in solves)

    def _solve(self, decomposition: Decomposition, solve: int) -> Solution:
        said, used = "nothing", Usage()
        for step in decomposition.subquestions:
            chat = (Message("user", f"{decomposition.question.text} {said} {step.text}"),)
            request = Request("step", chat, SHORT, decomposition.sample, solve)
            [done] = self.backend.generate([request])
            said, used = done.text, used + done.usage
        return Solution(decomposition, said, usage=used)


SPLIT = "1. How old is Ada?\n2. How old is the other?"


def _own(stop: int | None = None) -> tuple[Pipeline, list[Provider]]:
    judge, teacher, worker = Provider("yes"), Provider(SPLIT), Provider("7", stop)
    gate = Gate(judge, Decomposer(teacher, sampling=SHORT))
    return Pipeline(gate, Stepwise(worker)), [judge, teacher, worker]


@pytest.mark.parametrize("budget", [0.004, 0.01, 0.02])
def test_a_budget_holds_for_roles_of_ones_own_and_nothing_is_asked_twice(
    tmp_path: Path, budget: float
) -> None:
    path, paid, asked = tmp_path / "t.jsonl", Decimal(0), list[tuple[Message, ...]]()
    for limit in (budget, 2 * budget, 10):
        pipeline, providers = _own()
        with suppress(BudgetExceeded):
            collect(pipeline, QUESTIONS, path, budget_usd=limit, progress=False)
        paid += sum(each.billed for each in providers)
        asked += [chat for each in providers for chat in each.asked]

        assert paid <= Decimal(str(limit))
    assert len(asked) == len({*asked}) == len(QUESTIONS) * 4
    assert len(list(read_traces(path))) == len(QUESTIONS)


def test_the_ledger_names_each_backend_of_a_role(tmp_path: Path) -> None:
    pipeline, providers = _own()
    done = collect(pipeline, QUESTIONS, tmp_path / "t.jsonl", progress=False)

    assert [entry.role for entry in done.spend] == [
        "decomposer.judge", "decomposer", "solver.backend",
    ]  # fmt: skip
    assert done.spent_usd == sum(each.billed for each in providers)


def test_a_run_that_a_backend_ended_is_gone_on_with_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    pipeline, first = _own(stop=31)
    with pytest.raises(BackendError, match="out of order"):
        collect(pipeline, QUESTIONS, path, progress=False)
    pipeline, second = _own()
    done = collect(pipeline, QUESTIONS, path, progress=False)

    for before, after in zip(first, second, strict=True):
        assert not {*before.asked} & {*after.asked}
    assert len(first[2].asked) + len(second[2].asked) == 2 * len(QUESTIONS)
    assert done.found + done.asked == len(QUESTIONS)


def test_a_forecast_counts_the_requests_of_every_backend(tmp_path: Path) -> None:
    pipeline, providers = _own()
    forecast = plan(pipeline, QUESTIONS, tmp_path / "t.jsonl", samples=2)

    assert {role.role: role.requests for role in forecast.roles} == {
        "decomposer.judge": 80,
        "decomposer": 80,
        "solver.backend": 80,
    }
    assert forecast.usd
    assert not any(each.asked for each in providers)


def test_several_solves_are_asked_for_one_by_one(tmp_path: Path) -> None:
    pipeline, [_, _, worker] = _own()
    collect(pipeline, QUESTIONS[:3], tmp_path / "t.jsonl", solves=2, progress=False)

    assert len(worker.asked) == 3 * 2 * 2


class Hiding:
    """Asks a backend, and does not say so."""

    identity = "hiding"

    def __init__(self, backend: Backend) -> None:
        self.ask = backend.generate

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
        return (Solution(each, "so") for each in decompositions)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """Passes on what another role does, and says nothing of its backends."""

    inner: list[Solver]
    identity: str = "wrapping"

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        return self.inner[0].solve(decompositions)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (Hiding, "ask"),
        (lambda backend: Wrapping([Solver(backend)]), r"inner\[0\]"),
        (lambda backend: Wrapping(Hiding(backend)), "inner.ask"),  # type: ignore[arg-type]
    ],
)
def test_a_role_that_hides_its_backend_is_refused_before_anything_is_asked(
    make: Callable[[Backend], Hiding | Wrapping], path: str, tmp_path: Path
) -> None:
    worker = Provider("7")
    pipeline = Pipeline(None, make(worker))
    for run in (collect, plan):
        with pytest.raises(ConfigError, match=rf"'{path}' and lacks the methods backends\(\) and"):
            run(pipeline, QUESTIONS, tmp_path / "t.jsonl")  # type: ignore[operator]
    assert not worker.asked
    assert not list(tmp_path.iterdir())


def test_a_role_that_holds_a_language_model_is_free(tmp_path: Path) -> None:
    class Model:
        def generate(self, inputs: object = None, config: object = None) -> None:
            """Not what a backend has."""

    class Local:
        identity = "local 1"
        model = Model()

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            return (Solution(each, "so") for each in decompositions)

    done = collect(Pipeline(None, Local()), QUESTIONS, tmp_path / "t", budget_usd=1, progress=False)

    assert done.asked == len(QUESTIONS)
    assert done.spend == ()


class Nameless:
    """A calculator from before an identity was asked for."""

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
        return (Solution(each, "so") for each in decompositions)


def test_a_role_without_identity_is_asked_for_one_that_finds_what_it_did(tmp_path: Path) -> None:
    path = f"{__name__}.Nameless"
    with pytest.raises(ConfigError, match=rf"{path} has no identity.*identity = '{path}' finds"):
        collect(Pipeline(None, Nameless()), QUESTIONS, tmp_path / "t", progress=False)
    assert not list(tmp_path.iterdir())
    key = Pipeline(None, Nameless()).key
    Nameless.identity = path  # type: ignore[attr-defined]
    try:
        assert Pipeline(None, Nameless()).key == key
    finally:
        del Nameless.identity  # type: ignore[attr-defined]


def test_solves_that_would_be_the_same_request_are_refused(tmp_path: Path) -> None:
    class Plain:
        identity = "plain"

        def __init__(self, backend: Backend) -> None:
            self.backend = backend

        def backends(self) -> Mapping[str, Backend]:
            return {"backend": self.backend}

        def with_backends(self, backends: Mapping[str, Backend]) -> "Plain":
            return Plain(backends["backend"])

        def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution]:
            return (Solution(each, "so") for each in decompositions)

    pipeline = Pipeline(None, Plain(Provider("7")))
    with pytest.raises(ConfigError, match=r"solves=2 needs a solver .* the method draw\(solves\)"):
        collect(pipeline, QUESTIONS, tmp_path / "t.jsonl", solves=2, progress=False)


def test_a_matrix_of_roles_of_ones_own_is_forecast_priced_and_kept(tmp_path: Path) -> None:
    from decompose_distill import paper

    pipeline, providers = _own()
    lines: list[str] = []
    golds = [replace(question, answer="7") for question in QUESTIONS]

    def measure(pipeline: Pipeline) -> Study:
        return paper(
            pipeline,
            golds[20:],
            golds[:20],
            student="unused",
            output_dir=tmp_path / "paper",
            rows=("none", "teacher"),
            columns=("solver",),
            budget_usd=10,
            say=lines.append,
            progress=False,
        )

    study = measure(pipeline)
    asked = sum(len(each.asked) for each in providers)
    pipeline, again = _own()
    measure(pipeline)
    costs = {cell.row: cell.cost for cell in study.cells}

    assert "ask solver: 40 requests" in lines[0]
    assert "unknown" not in lines[0].partition("time: ")[0]
    assert asked == 20 * 2 + 20 * 2  # without a decomposition a step-by-step solver asks nothing
    assert not any(each.asked for each in again)
    assert costs["teacher"] is not None
    [_, decomposer, solver] = providers  # what the judge used stands in the ledger alone
    assert costs["teacher"].usd == decomposer.billed + solver.billed
