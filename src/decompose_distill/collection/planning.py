"""A forecast of what collecting takes: requests, tokens, money and time, with nothing sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean

from decompose_distill.backend import Backend, BackendInfo, info_of
from decompose_distill.collection.trace_index import TraceIndex
from decompose_distill.cost.forecast import (
    NOTHING,
    Estimate,
    Plan,
    RoleForecast,
    TokenStats,
    count_characters,
    most_tokens,
)
from decompose_distill.cost.ledger import find_price, ledger_path
from decompose_distill.cost.ledger_records import requests_per_second
from decompose_distill.cost.pricing import Price
from decompose_distill.data.questions import QuestionSource, unique_questions
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.pipelines.dry_run import (
    Requests,
    decomposing_requests,
    solving_requests,
)
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.roles import HasModes, Solving, account, backends_of
from decompose_distill.storage.traces import scan_traces
from decompose_distill.types import Decomposition, Message, Question, Subquestion, Trace, Usage

LOOKED_AT = 1000
"""Questions whose prompts are counted; if there are more, these stand for all."""
TOKENS_PER_CHARACTER = Estimate(1 / 5, 1 / 4, 1 / 3)
"""Of English prose; code, figures and other languages take more."""
WRITTEN = {
    "decompose": Estimate(25, 60, 120),
    "joint": Estimate(80, 200, 400),
    "direct": Estimate(5, 10, 30),
    "cot": Estimate(60, 150, 300),
    "plan_and_solve": Estimate(80, 200, 400),
}
"""Tokens of an answer, assumed until some are measured; what a model thinks comes on top."""
SECONDS_PER_TOKEN, SECONDS_BEFORE = Estimate(0.005, 0.02, 0.05), Estimate(0.2, 0.5, 2)
"""What a server takes for each token it writes, and before the first; assumed likewise."""


def plan(
    pipeline: Pipeline,
    questions: QuestionSource,
    path: str | Path | None = None,
    *,
    samples: int = 1,
    solves: int = 1,
    prices: Mapping[str, Price] | None = None,
) -> Plan:
    """Forecast what `collect` with the same arguments would take; nothing is sent.

    Traces in the file are subtracted, answers that only the journal of requests has are not.
    Once the file holds ten answers of this pipeline, the figures are from them: collect a few
    questions first, and the forecast of the others is no guess. Until then a local model's own
    tokenizer counts the prompts, else four characters are a token (three to five), and the
    length of the answers is assumed.

    Args:
        pipeline: As for `collect`.
        questions: As for `collect`.
        path: The file of traces, which need not be there.
        samples: Decompositions per question.
        solves: Solutions a decomposition.
        prices: Prices by model, before those of the table.

    Raises:
        DataError: The file holds something else than traces, or two different questions have
            one id.

    Example:
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(str.upper), mode="direct"))
        >>> forecast = plan(pipeline, [Question("What is 6 times 7?")], samples=3)
        >>> forecast.missing, forecast.usd.expected
        (3, 0.0)
    """
    unique = {question.id: question for question in unique_questions(questions)}
    layout = TraceIndex(tuple(unique.values()), samples, solves, pipeline.key)
    seen = {"decomposer": TokenStats(), "solver": TokenStats()}
    if path is not None and Path(path).exists():
        traces = _noted(Path(path), layout)
        while some := list(islice(traces, LOOKED_AT)):
            _measure(seen, some, pipeline)
    undecomposed = [question for question, _ in layout.undecomposed()]
    open_ones = {question.id: question for question in undecomposed} or unique
    examined = list(islice(open_ones.values(), LOOKED_AT))
    missing = len(layout) - layout.settled
    before, after = _stages(pipeline, examined, seen)
    roles = (
        *_forecasts(before, len(undecomposed), prices or {}),
        *_forecasts(after, missing, prices or {}),
    )
    speed = None if path is None else requests_per_second(ledger_path(path))
    return Plan(missing, len(layout), roles, _seconds(pipeline.backends(), roles, speed))


def _noted(path: Path, layout: TraceIndex) -> Iterator[Trace]:
    """The traces of a pipeline in a file, each taken in by its index."""
    for begins, trace in scan_traces(path):
        layout.note(trace, begins)
        if trace.key == layout.key:
            yield trace


def _measure(seen: dict[str, TokenStats], traces: Sequence[Trace], pipeline: Pipeline) -> None:
    """Take in what the roles used for some traces, a decomposition once."""
    split = [trace for trace in traces if not trace.solve and _split_usage(trace).output_tokens]
    if pipeline.decomposer is not None:
        requests = decomposing_requests(pipeline.decomposer, [trace.question for trace in split])
        used = [
            (_split_usage(trace), _is_cut(trace) and not trace.decomposition) for trace in split
        ]
        seen["decomposer"] = _added(seen["decomposer"], requests, used)
    solved = {
        index: trace.decomposition
        for index, trace in enumerate(traces)
        if trace.decomposition and trace.outcome.usage.output_tokens
    }
    requests = solving_requests(pipeline.solver, list(solved.values()))
    used = [(traces[index].outcome.usage, _is_cut(traces[index])) for index in solved]
    seen["solver"] = _added(seen["solver"], requests, used)


def _split_usage(trace: Trace) -> Usage:
    return trace.decomposition.usage if trace.decomposition else trace.usage


def _is_cut(trace: Trace) -> bool:
    return trace.failure is not None and trace.failure.is_cut


def _added(
    seen: TokenStats, requests: Requests, answers: Sequence[tuple[Usage, bool]]
) -> TokenStats:
    """Take in answers of a stage, if it makes one request for each.

    Which request an answer is to does not matter, as only sums are kept.
    """
    flat = [request for several in requests.values() for request in several]
    if len(flat) == len(answers):
        for request, (used, cut) in zip(flat, answers, strict=True):
            seen = seen.add(request.messages, used, cut=cut)
    return seen


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage as it is foretold: what it would ask of each backend about some items."""

    name: str
    backends: Mapping[str, Backend]
    _: KW_ONLY
    requests: Requests
    """By the names of `backends`."""
    items: int
    """Over how many items."""
    answer: Estimate
    """Tokens of one answer."""
    seen: TokenStats
    split: Estimate = NOTHING
    longest: int = 0
    """Tokens of a decomposition in its prompts: the expected, and the most."""


def _stages(
    pipeline: Pipeline, examined: Sequence[Question], seen: Mapping[str, TokenStats]
) -> tuple[_Stage, _Stage]:
    first, second = pipeline.decomposer, pipeline.solver
    written = _answer(seen["decomposer"], "decompose")
    requests = {} if first is None else decomposing_requests(first, examined)
    before = _Stage(
        "decomposer",
        backends_of(first),
        requests=requests,
        items=len(examined),
        answer=written,
        seen=seen["decomposer"],
    )
    bare = [Decomposition(question, ()) for question in examined]
    written = _answer(seen["solver"], second.mode if isinstance(second, HasModes) else "joint")
    requests = solving_requests(second, bare)
    after = _Stage(
        "solver",
        backends_of(second),
        requests=requests,
        items=len(examined),
        answer=written,
        seen=seen["solver"],
    )
    if before.requests and _shows_subquestions(second, bare[:1]):
        longest = max((_limit(before, name) for name in before.backends), default=0)
        after = replace(after, split=before.answer, longest=longest)
    return before, after


def _shows_subquestions(solver: Solving, bare: Sequence[Decomposition]) -> bool:
    """Whether prompts of a solver grow with the decomposition."""
    split = [
        replace(decomposition, subquestions=(Subquestion("Is it so?"),)) for decomposition in bare
    ]
    chats = (solving_requests(solver, items) for items in (bare, split))
    shorter, longer = (
        [request.messages for several in requests.values() for request in several]
        for requests in chats
    )
    return shorter != longer


def _answer(seen: TokenStats, kind: str) -> Estimate:
    return seen.written if seen.suffices else WRITTEN[kind]


def _limit(stage: _Stage, name: str) -> int:
    """The largest `max_new_tokens` of its requests."""
    limits = [request.sampling.max_new_tokens for request in stage.requests[name]]
    return max(limits, default=info_of(stage.backends[name]).max_new_tokens)


def _forecasts(stage: _Stage, items: int, prices: Mapping[str, Price]) -> Iterator[RoleForecast]:
    """What each backend of a stage is expected to use for some items.

    One that the dry run did not reach is taken to be asked once an item, as the others are.
    """
    every = [request for several in stage.requests.values() for request in several]
    for name, backend in stage.backends.items():
        own = stage.requests[name]
        requests = round(len(own) / stage.items * items) if own else items
        limit, chats = _limit(stage, name), [request.messages for request in own or every]
        role = account(stage.name, name)
        most = [most_tokens(request).input_tokens for request in own or every]
        parts = (stage.answer.low, stage.answer.expected, stage.answer.high)
        read = _prompt_tokens(info_of(backend), chats, stage.seen) + stage.split
        longest = fmean(most or [0]) + stage.longest
        yield RoleForecast(
            role,
            requests,
            input_tokens=read * requests,
            output_tokens=Estimate(*(min(tokens, limit) for tokens in parts)) * requests,
            most=Usage(round(longest * requests), limit * requests),
            price=find_price(role, backend, prices, budgeted=False),
            answer=stage.answer,
            limit=limit,
            measured=stage.seen,
        )


def _prompt_tokens(
    info: BackendInfo, chats: Sequence[Sequence[Message]], seen: TokenStats
) -> Estimate:
    """Tokens of one prompt, on average."""
    if info.tokenizer is not None and chats:
        mean = fmean(len(prompt_ids(info.tokenizer, chat)) for chat in chats)
        return Estimate(mean, mean, mean)
    characters = fmean(map(count_characters, chats)) if chats else 0.0
    if seen.suffices:
        return Estimate(0.95, 1, 1.05) * (characters * seen.tokens_per_character)
    return TOKENS_PER_CHARACTER * characters


def _seconds(
    backends: Mapping[str, Backend], roles: Sequence[RoleForecast], speed: float | None
) -> Estimate | None:
    """Time of all requests, at the speed of an earlier run or an assumed one."""
    if speed:
        return Estimate(0.7, 1, 1.5) * (sum(role.requests for role in roles) / speed)
    total = NOTHING
    for role in roles:
        at_once = info_of(backends[role.role]).max_in_flight
        if at_once is None:
            return None
        request = SECONDS_BEFORE + SECONDS_PER_TOKEN * role.answer
        # A few at once take as long as one of them does.
        total += request * (max(1.0, role.requests / at_once) if role.requests else 0.0)
    return total if roles else None
