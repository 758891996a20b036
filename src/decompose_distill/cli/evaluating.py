"""The commands that measure: `evaluate` asks and scores, `compare` tests two results in pairs."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import decompose_distill as dd
from decompose_distill.cli.asking import collected_fields, make_decomposer
from decompose_distill.cli.call import SCHEMA, Call
from decompose_distill.cli.options import (
    Answering,
    Money,
    PromptFile,
    QuestionsFile,
    Reading,
    ScoreText,
    Servers,
    Sharding,
    read_prices,
    read_score,
)
from decompose_distill.cli.settings import Argument, Option
from decompose_distill.errors import BackendError, ConfigError, DataError
from decompose_distill.storage.atomic import write_text

if TYPE_CHECKING:
    from decompose_distill.collection.one_process import PipelineSource


def evaluate(
    call: Call,
    questions: QuestionsFile,
    decomposer: Annotated[str, Option("Folder or hub id of a student, or a backend.")],
    solver: Annotated[str, Option("Backend that solves, as openai:gpt-4.1-mini.")],
    *,
    score: ScoreText = "exact",
    output: Annotated[Path | None, Option("JSON file for the figures.")] = None,
    prompt: PromptFile = None,
    reading: Reading,
    servers: Servers,
    answering: Answering,
    money: Money,
    sharding: Sharding,
) -> None:
    """Score a pipeline on held-out questions, with a 95 % interval.

    With --output, what was answered stays beside it, in OUTPUT.traces.jsonl: the same command
    goes on from there. With --shard only a part is answered; merge OUTPUT.traces.jsonl puts the
    parts together, and the same command without --shard scores them.
    """
    sharding.check()
    scored, loaded = read_score(score), reading.load(questions)
    if not any(question.golds for question in loaded):
        raise DataError(f"{questions}: no question has an answer to compare with: add 'answer'")
    if money.budget_usd is not None and output is None:
        raise ConfigError("--budget-usd needs --output, beside which is kept what was paid")
    if (sharding.shard or sharding.engine or sharding.shards != 1) and output is None:
        raise ConfigError("shards need --output, beside which are their files")
    make = partial(_pipeline, decomposer, solver, servers, answering, prompt, output or questions)
    pipeline, prices = sharding.where_it_runs(make), read_prices(money.prices)
    if sharding.shard and output:
        traces = Path(f"{output}.traces.jsonl")
        with call.writing(sharding.output(traces), kept="what was answered"):
            done = _answer_shard(pipeline, loaded, traces, sharding.shard, money)
        call.show(done, **collected_fields(done))
        return
    options: Any = {"score": scored, "name": decomposer}
    if output is None:
        report = dd.evaluate(pipeline, loaded, **options)
    else:
        options |= {"budget_usd": money.budget_usd, "prices": prices}
        options |= {"shards": sharding.shards, "engine": sharding.chosen}
        with call.writing(output, kept="what was answered"):
            report = dd.evaluate(pipeline, loaded, f"{output}.traces.jsonl", **options)
            write_text(output, json.dumps([figures(report)], indent=2))
    call.show(report, **figures(report))
    check_scored([report])


def _answer_shard(
    pipeline: "PipelineSource",
    questions: Sequence["dd.Question"],
    traces: Path,
    shard: str,
    money: Money,
) -> "dd.Collected":
    from decompose_distill.collection.one_process import Job
    from decompose_distill.collection.shards import Shard, collect_shard_of

    prices = read_prices(money.prices)
    job = Job("evaluate", pipeline, budget_usd=money.budget_usd, prices=prices)
    return collect_shard_of(job, questions, traces, Shard.parse(shard), progress=True)


def _pipeline(
    name: str,
    solver: str,
    servers: Servers,
    answering: Answering,
    prompt: Path | None,
    batches: Path | str,
) -> "dd.Pipeline":
    """A student's folder or a backend as decomposer, before a solver."""
    if ":" in name and not Path(name).is_dir():
        first, second = servers.load_roles(name, solver, batches=batches)
        decomposer = make_decomposer(first, answering, prompt)
    elif prompt:
        raise ConfigError(f"--prompt: the student {name} has the prompt it was trained on")
    elif not Path(name).is_dir() and name.count("/") != 1:
        raise ConfigError(
            f"--decomposer {name}: no such folder; a backend is written 'scheme:model'"
        )
    else:
        servers.check(name, solver)
        second = servers.load(solver, batches, solves=True)
        local: Any = {"device": servers.device, "dtype": servers.dtype}
        decomposer = dd.Decomposer.from_pretrained(name, **local)
    return dd.Pipeline(decomposer, dd.Solver(second, sampling=answering.sampling(second)))


def figures(report: "dd.Report") -> dict[str, Any]:
    """What a report says, with the score of each question by its id."""
    return {"schema": SCHEMA, **report.to_json(), "scores": dict(report.values)}


def check_scored(reports: "Sequence[dd.Report]") -> None:
    """Fail a run in which nothing was scored, in the words of its first failure."""
    if any(report.n for report in reports):
        return
    failures = (result.trace.failure for report in reports for result in report.results)
    why = next((failure.message for failure in failures if failure), "no score fits an answer")
    raise BackendError(f"no question could be scored: {why}")


def compare(
    call: Call,
    result: Annotated[Path, Argument("Figures, as evaluate --output writes them.")],
    baseline: Annotated[Path, Argument("Those of the pipeline to compare with.")],
) -> None:
    """Test two results on the same questions in pairs."""
    first, second = _read_figures(result), _read_figures(baseline)
    scored_by = [_scored_by(figures) for figures in (first, second)]
    if scored_by[0] != scored_by[1]:
        raise ConfigError(f"cannot compare scores {scored_by[0]} with {scored_by[1]}")
    common = sorted(first["scores"].keys() & second["scores"].keys())
    if not common:
        raise ConfigError(f"{result} and {baseline} have no scored question in common")
    names = first["name"], second["name"]
    if names[0] == names[1]:
        names = str(result), str(baseline)
    pairs = tuple((first["scores"][name], second["scores"][name]) for name in common)
    comparison = dd.Comparison(*names, pairs)
    call.show(comparison, **_comparison_fields(comparison))


def _read_figures(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: no such file of figures")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        row = rows[0] if isinstance(rows, list) else rows
        scores = {str(name): float(value) for name, value in row["scores"].items()}
        return {**row, "name": str(row["name"]), "scores": scores}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise DataError(
            f"{path}: no figures with a score per question: write them with evaluate --output"
        ) from None


def _scored_by(figures: Mapping[str, Any]) -> str:
    version = figures.get("score_version")
    return f"{figures.get('score')}/{version}" if version else str(figures.get("score"))


def _comparison_fields(comparison: "dd.Comparison") -> dict[str, Any]:
    low, high = comparison.interval
    return {
        "name": comparison.name,
        "baseline": comparison.baseline,
        "difference": comparison.difference,
        "ci_low": low,
        "ci_high": high,
        "better": comparison.better,
        "worse": comparison.worse,
        "p_value": comparison.p_value,
        "n": len(comparison.pairs),
    }
