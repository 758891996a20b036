"""The commands `plan` and `collect`, a few lines over the functions."""

import warnings
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import decompose_distill as dd
from decompose_distill.cli.call import Call
from decompose_distill.cli.options import (
    Answering,
    Draws,
    Money,
    PromptFile,
    QuestionsFile,
    Reading,
    Servers,
    read_prices,
    read_prompt,
)
from decompose_distill.cli.settings import Option
from decompose_distill.errors import BackendError

if TYPE_CHECKING:
    from decompose_distill.cost.forecast import Estimate

TeacherName = Annotated[str, Option("Backend that decomposes, as openai:gpt-4.1-mini or hf:path.")]
SolverName = Annotated[str | None, Option("Backend that solves; by default the teacher.")]


def plan(
    call: Call,
    questions: QuestionsFile,
    teacher: TeacherName,
    *,
    output: Annotated[Path | None, Option("File of traces, if there is one.")] = None,
    solver: SolverName = None,
    prompt: PromptFile = None,
    reading: Reading,
    servers: Servers,
    answering: Answering,
    draws: Draws,
    money: Money,
) -> None:
    """Forecast what collect with the same options takes, and send nothing."""
    prices, loaded = read_prices(money.prices), reading.load(questions)
    backends = servers.load_roles(
        teacher, solver or teacher, batches=output or questions, needs_key=False
    )
    pipeline = _pipeline(*backends, answering, prompt)
    forecast = dd.plan(pipeline, loaded, output, **asdict(draws), prices=prices)
    verdict = _verdict(forecast, money.budget_usd)
    call.show(f"{forecast}\n{verdict}" if verdict else forecast, **_plan_fields(forecast))


def _verdict(forecast: "dd.Plan", budget_usd: Decimal | None) -> str:
    from decompose_distill.cost.pricing import format_usd

    if budget_usd is None or forecast.usd is None:
        return ""
    verdicts = (
        (forecast.usd.high, "is more than all this is expected to cost"),
        (forecast.usd.expected, "may be reached before the end"),
        (0.0, "will be reached before the end"),
    )
    verdict = next(words for usd, words in verdicts if budget_usd >= usd)
    return f"the budget of {format_usd(budget_usd)} {verdict}"


def _plan_fields(forecast: "dd.Plan") -> dict[str, Any]:
    return {
        "missing": forecast.missing,
        "total": forecast.total,
        "usd": _estimate(forecast.usd),
        "most_usd": _dollars(forecast.most_usd),
        "seconds": _estimate(forecast.seconds),
        "roles": [
            {
                "role": role.role,
                "requests": role.requests,
                "input_tokens": _estimate(role.input_tokens),
                "output_tokens": _estimate(role.output_tokens),
                "usd": _estimate(role.usd),
            }
            for role in forecast.roles
        ],
    }


def collect(
    call: Call,
    questions: QuestionsFile,
    teacher: TeacherName,
    output: Annotated[Path, Option("File of traces, created or continued.")],
    *,
    solver: SolverName = None,
    prompt: PromptFile = None,
    reading: Reading,
    servers: Servers,
    answering: Answering,
    draws: Draws,
    money: Money,
) -> None:
    """Ask a teacher and keep its traces; run again to go on where it stopped."""
    prices, loaded = read_prices(money.prices), reading.load(questions)
    backends = servers.load_roles(teacher, solver or teacher, batches=output)
    pipeline = _pipeline(*backends, answering, prompt)
    _warn_of_repeats(answering, draws)
    with call.writing(output, kept="what was collected"):
        done = dd.collect(
            pipeline, loaded, output, **asdict(draws), budget_usd=money.budget_usd, prices=prices
        )
    call.show(done, **_collected_fields(done))
    if done.asked and done.failed.total() == done.asked:
        raise BackendError(f"every question failed, the last one with: {_last_failure(output)}")


def _warn_of_repeats(answering: Answering, draws: Draws) -> None:
    """Say that greedy samples are all alike, before they are paid for."""
    for option, count in asdict(draws).items():
        if count > 1 and answering.temperature == 0:
            advice = "give --temperature, such as 0.7"
            warnings.warn(
                f"--{option} {count} at temperature 0 asks for the same {count} times: {advice}",
                stacklevel=2,
            )


def _collected_fields(done: "dd.Collected") -> dict[str, Any]:
    return {
        "output": str(done.path),
        "found": done.found,
        "asked": done.asked,
        "failed": dict(done.failed),
        "duplicates": done.duplicates,
        "spent_usd": _dollars(done.spent_usd),
        "saved_usd": _dollars(done.saved_usd),
    }


def _last_failure(path: Path) -> str:
    failures = [trace.failure for trace in dd.read_traces(path) if trace.failure]
    return f"{failures[-1].stage}: {failures[-1].message}" if failures else "no answer"


def _pipeline(
    decomposing: "dd.Backend", solving: "dd.Backend", answering: Answering, prompt: Path | None
) -> "dd.Pipeline":
    solver = dd.Solver(solving, sampling=answering.sampling(solving))
    return dd.Pipeline(make_decomposer(decomposing, answering, prompt), solver)


def make_decomposer(
    backend: "dd.Backend", answering: Answering, prompt: Path | None
) -> "dd.Decomposer":
    """A decomposer over a backend, with the prompt of a file if there is one."""
    options: Any = {"prompt": read_prompt(prompt)} if prompt else {}
    return dd.Decomposer(backend, sampling=answering.sampling(backend), **options)


def _estimate(estimate: "Estimate | None") -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)


def _dollars(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
