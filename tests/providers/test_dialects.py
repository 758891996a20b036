"""Once through the product in the dialect of every provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import decompose_distill as dd
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.providers import PROVIDERS, Provider
from tests.support.dialect_proxy import CACHED_TOKENS, THINKING, THOUGHT_TOKENS, DialectProxy
from tests.support.docs_blocks import speak
from tests.support.fake_server import FakeServer, Reply, chat

QUESTIONS = [
    dd.Question(f"How old are Ada and {name} together?", answer="42") for name in ("Bob", "Cleo")
]


@pytest.fixture
def teacher() -> Iterator[FakeServer]:
    with FakeServer(lambda call: Reply(200, chat(speak(call.text)))) as server:
        yield server


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
def test_collect_and_evaluate_in_the_dialect_of_a_provider(
    teacher: FakeServer, tmp_path: Path, provider: Provider
) -> None:
    with DialectProxy(provider, teacher.url) as proxy:
        backend = OpenAIBackend("some-model", base_url=proxy.url, provider=provider.name)
        sampling = dd.Sampling(max_new_tokens=100, reasoning_effort="none")
        pipeline = dd.Pipeline(
            dd.Decomposer(backend, sampling=sampling), dd.Solver(backend, sampling=sampling)
        )
        collected = dd.collect(pipeline, QUESTIONS, tmp_path / "traces.jsonl", progress=False)
        traces = list(dd.read_traces(tmp_path / "traces.jsonl"))
        spent = sum((each.usage for each in collected.spend), dd.Usage())
        billed = proxy.billed
        report = dd.evaluate(pipeline, QUESTIONS, progress=False)

    assert [trace.answer for trace in traces] == ["42", "42"]
    for trace in traces:
        assert trace.decomposition is not None
        assert len(trace.decomposition.subquestions) == 3
        assert THINKING[:10] not in trace.decomposition.text + trace.outcome.text
    assert (spent.input_tokens, spent.output_tokens) == (billed.input_tokens, billed.output_tokens)
    assert spent.cached_tokens == (4 * CACHED_TOKENS if provider.cached_tokens else 0)
    if "." in provider.thinking_tokens:
        assert spent.reasoning_tokens == 4 * THOUGHT_TOKENS
    assert set(report.values.values()) == {1.0}
    refused = len(proxy.calls) - 8 - 1  # beside those answered, and the one it was too busy for
    assert refused == len(provider.refuses)
