"""A forecast of what collecting takes: requests, tokens, money and time, with nothing sent."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean

from decompose_distill.backends.metering import most_tokens
from decompose_distill.collection.trace_index import TraceIndex
from decompose_distill.cost.estimates import NOTHING, Estimate, TokenStats, count_characters
from decompose_distill.cost.forecast import Plan, RoleForecast
from decompose_distill.cost.ledger import find_price, ledger_path
from decompose_distill.cost.ledger_records import requests_per_second
from decompose_distill.cost.pricing import Price
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.pipelines.solver import Solver
from decompose_distill.storage.traces import scan_traces
from decompose_distill.types import Decomposition, Message, Question, Request, Trace, Usage

LOOKED_AT = 1000
"""Questions whose prompts are counted; where there are more, these stand for all."""
TOKENS_A_CHARACTER = Estimate(1 / 5, 1 / 4, 1 / 3)
"""Of English prose; code, figures and other languages take more."""
WRITTEN = {
    "decompose": Estimate(25, 60, 120),
    "joint": Estimate(80, 200, 400),
    "direct": Estimate(5, 10, 30),
    "cot": Estimate(60, 150, 300),
    "plan_and_solve": Estimate(80, 200, 400),
}
"""Tokens of an answer, assumed until some are measured; what a model thinks comes on top."""
SECONDS_A_TOKEN, SECONDS_BEFORE = Estimate(0.005, 0.02, 0.05), Estimate(0.2, 0.5, 2)
"""What a server takes for each token it writes, and before the first; assumed likewise."""


def plan(
    pipeline: Pipeline,
    questions: Iterable[Question],
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
        samples: Decompositions a question.
        solves: Solutions a decomposition.
        prices: Prices by model, before those of the table.

    Raises:
        DataError: The file holds something else than traces.

    Example:
        >>> from decompose_distill.backends.scripted import ScriptedBackend
        >>> pipeline = Pipeline(None, Solver(ScriptedBackend(str.upper), mode="direct"))
        >>> forecast = plan(pipeline, [Question("What is 6 times 7?")], samples=3)
        >>> forecast.missing, forecast.usd.expected
        (3, 0.0)
    """
    unique = {question.id: question for question in questions}
    layout = TraceIndex(tuple(unique.values()), samples, solves, pipeline.key)
    seen = {"decomposer": TokenStats(), "solver": TokenStats()}
    if path is not None and Path(path).exists():
        for begins, trace in scan_traces(path):
            layout.note(trace, begins)
            if trace.key == pipeline.key:
                _measure(seen, trace, pipeline)
    undecomposed = [question for question, _ in layout.undecomposed()]
    open_ones = {question.id: question for question in undecomposed} or unique
    asked = list(islice(open_ones.values(), LOOKED_AT))
    missing = len(layout) - layout.settled
    roles = _forecasts(pipeline, len(undecomposed), missing, asked, seen, prices or {})
    speed = None if path is None else requests_per_second(ledger_path(path))
    return Plan(missing, len(layout), roles, _seconds(pipeline, roles, speed))


def _measure(seen: dict[str, TokenStats], trace: Trace, pipeline: Pipeline) -> None:
    """Take in what the roles used for a trace, a decomposition once."""
    first, second = pipeline.decomposer, pipeline.solver
    split, failure = trace.decomposition, trace.failure
    cut = failure is not None and failure.reason == "length"
    if isinstance(first, Decomposer) and trace.solve == 0:
        used = split.usage if split else trace.usage
        if used.output_tokens:
            messages = first.prompt.render(trace.question)
            cut_short = cut and split is None
            seen["decomposer"] = seen["decomposer"].add(messages, used, cut=cut_short)
    if isinstance(second, Solver) and split and trace.outcome.usage.output_tokens:
        seen["solver"] = seen["solver"].add(second.render(split), trace.outcome.usage, cut=cut)


def _forecasts(
    pipeline: Pipeline,
    undecomposed: int,
    missing: int,
    asked: Sequence[Question],
    seen: Mapping[str, TokenStats],
    prices: Mapping[str, Price],
) -> tuple[RoleForecast, ...]:
    first, second = pipeline.decomposer, pipeline.solver
    made: list[RoleForecast] = []
    split, longest = NOTHING, 0
    if isinstance(first, Decomposer):
        chats = [first.prompt.render(question) for question in asked]
        written = _answer(seen["decomposer"], "decompose")
        forecast = partial(_forecast, "decomposer", first, undecomposed, chats, written)
        made.append(forecast(seen["decomposer"], prices))
        split, longest = written, first.sampling.max_new_tokens
    if isinstance(second, Solver):
        chats = [second.render(Decomposition(question, ())) for question in asked]
        written = _answer(seen["solver"], second.mode)
        if second.mode != "joint":
            split, longest = NOTHING, 0
        forecast = partial(_forecast, "solver", second, missing, chats, written)
        made.append(forecast(seen["solver"], prices, split, longest))
    return tuple(made)


def _answer(seen: TokenStats, kind: str) -> Estimate:
    return seen.written if seen.suffices else WRITTEN[kind]


def _forecast(
    name: str,
    role: Decomposer | Solver,
    requests: int,
    chats: Sequence[Sequence[Message]],
    answer: Estimate,
    seen: TokenStats,
    prices: Mapping[str, Price],
    split: Estimate = NOTHING,
    longest: int = 0,
) -> RoleForecast:
    """Forecast one role; `split` and `longest` are the tokens of a decomposition in its prompt."""
    limit = role.sampling.max_new_tokens
    capped = Estimate(
        *(min(tokens, limit) for tokens in (answer.low, answer.expected, answer.high))
    )
    most = [most_tokens(Request("", tuple(chat), role.sampling)).input_tokens for chat in chats]
    return RoleForecast(
        name,
        requests,
        (_prompt_tokens(role, chats, seen) + split) * requests,
        capped * requests,
        Usage(round((fmean(most or [0]) + longest) * requests), limit * requests),
        find_price(name, role.backend, prices, budgeted=False),
        answer,
        limit,
        seen,
    )


def _prompt_tokens(
    role: Decomposer | Solver, chats: Sequence[Sequence[Message]], seen: TokenStats
) -> Estimate:
    """Tokens of one prompt, on average."""
    tokenizer = getattr(role.backend, "tokenizer", None)
    if tokenizer is not None and chats:
        mean = fmean(len(prompt_ids(tokenizer, chat)) for chat in chats)
        return Estimate(mean, mean, mean)
    characters = fmean(map(count_characters, chats)) if chats else 0.0
    if seen.suffices:
        return Estimate(0.95, 1, 1.05) * (characters * seen.tokens_per_character)
    return TOKENS_A_CHARACTER * characters


def _seconds(
    pipeline: Pipeline, roles: Sequence[RoleForecast], speed: float | None
) -> Estimate | None:
    """Time of all requests, at the speed of an earlier run or an assumed one."""
    if speed:
        return Estimate(0.7, 1, 1.5) * (sum(role.requests for role in roles) / speed)
    backends = {"decomposer": pipeline.decomposer, "solver": pipeline.solver}
    total = NOTHING
    for role in roles:
        backend = getattr(backends[role.role], "backend", None)
        at_once = getattr(backend, "max_in_flight", None)
        if not isinstance(at_once, int):
            return None
        each = SECONDS_BEFORE + SECONDS_A_TOKEN * role.answer
        total += each * (role.requests / at_once)
    return total if roles else None
