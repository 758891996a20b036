"""From the traces of a real model behind a server to a student, in every provider's dialect."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import decompose_distill as dd
from decompose_distill import prompts
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.providers import PROVIDERS, Provider
from decompose_distill.demo.tiny_model import make_tiny_student
from tests.support.dialect_proxy import THINKING, DialectProxy
from tests.support.real_server import serving

pytestmark = [pytest.mark.server, pytest.mark.smollm2]

REPEAT = prompts.Prompt("", 'Repeat this sentence exactly: "{question}"')
"""What even an untrained small model answers with a question."""
QUESTIONS = [
    dd.Question("Who is older, Ada or Charles?", answer="Ada"),
    dd.Question("How many apples has Tom now?", answer="6"),
]


@pytest.fixture(scope="module")
def server(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(smollm2_dir, tmp_path_factory.mktemp("server") / "log.txt") as url:
        yield url


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [REPEAT.user, *(question.text for question in QUESTIONS)] * 9
    place = tmp_path_factory.mktemp("tiny") / "base"
    return make_tiny_student(texts, place, hidden_size=64, layers=1, vocab_size=300)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_collect_distill_and_evaluate_in_the_dialect_of_a_provider(
    server: str, base: Path, smollm2_dir: Path, tmp_path: Path, provider: Provider
) -> None:
    sampling = dd.Sampling(max_new_tokens=24)
    with DialectProxy(provider, f"{server}/v1/") as proxy:
        backend = OpenAIBackend(
            str(smollm2_dir), base_url=proxy.url, provider=provider.name, max_in_flight=2
        )
        solver = dd.Solver(backend, sampling=sampling)
        pipeline = dd.Pipeline(dd.Decomposer(backend, prompt=REPEAT, sampling=sampling), solver)
        collected = dd.collect(pipeline, QUESTIONS, tmp_path / "traces.jsonl", progress=False)
        billed = proxy.billed
        traces = list(dd.read_traces(tmp_path / "traces.jsonl"))
        split = [trace for trace in traces if trace.decomposition]
        student = dd.distill(
            split,
            student=base,
            output_dir=tmp_path / "student",
            keep=lambda trace: None,
            config=dd.DistillConfig(epochs=1, batch_size=1),
            progress=False,
        )
        decomposer = dd.Decomposer.from_pretrained(student)
        report = dd.evaluate(dd.Pipeline(decomposer, solver), QUESTIONS, progress=False)

    spent = sum((role.usage for role in collected.spend), dd.Usage())
    assert (spent.input_tokens, spent.output_tokens) == (billed.input_tokens, billed.output_tokens)
    assert split
    assert all(THINKING[:12] not in str(trace.outcome.text) for trace in traces)
    assert len(report.results) == len(QUESTIONS)
