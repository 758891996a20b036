"""Our client against `transformers serve`: the same model here and there says the same."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import (
    Backend,
    Decomposer,
    Decomposition,
    DistillConfig,
    Failure,
    Message,
    Pipeline,
    Question,
    Request,
    Sampling,
    Solver,
    Trace,
    distill,
    prompts,
)
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.cost.ledger import SharedBudget
from decompose_distill.cost.pricing import read_prices
from tests.support.real_server import serving
from tests.support.samples import QUESTIONS as SAMPLES
from tests.support.samples import make_trace, run_cli

pytestmark = [pytest.mark.server, pytest.mark.smollm2]

SAMPLING = Sampling(max_new_tokens=32)
REPEAT = prompts.Prompt("", 'Repeat this sentence exactly: "{question}"')
"""A prompt whose answer to a question even an untrained small model ends with a question mark."""
REQUESTS = [
    Request(str(number), messages, SAMPLING)
    for number, messages in enumerate(
        [
            (Message("user", "What is the capital of France?"),),
            (Message("system", "You answer in one word."), Message("user", "Is water wet?")),
            (
                Message("user", "My name is Zoë."),
                Message("assistant", "Hello, Zoë!"),
                Message("user", "What is my name?"),
            ),
            (Message("user", "Écris « bonjour » – und auf Deutsch?\n\n  日本語も 🙂"),),
        ]
    )
]
QUESTIONS = [
    Question("Who is older, Ada, born in 1815, or Charles, born in 1791?"),
    Question("Tom has 3 apples and buys twice as many. How many apples has he now?"),
    Question("How high is it?", context="The tower is 324 metres high."),
]


@pytest.fixture(scope="module")
def server(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running server, up to where `/v1` begins."""
    with serving(smollm2_dir, tmp_path_factory.mktemp("server") / "log.txt") as url:
        yield url


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def remote(server: str, smollm2_dir: Path) -> OpenAIBackend:
    # The server works one by one and does not notice who left, so nothing may queue up in it.
    return OpenAIBackend(str(smollm2_dir), base_url=f"{server}/v1", max_in_flight=2)


@pytest.fixture(scope="module")
def local(smollm2_dir: Path) -> Any:
    from decompose_distill.backends.transformers import TransformersBackend

    # In the server's precision; in a coarser one, rows of a batch may differ from single ones.
    backend = TransformersBackend(smollm2_dir)
    backend.model = backend.model.to("cpu").float()
    return backend


def test_the_server_says_what_the_local_model_says(remote: OpenAIBackend, local: Any) -> None:
    said = {each.id: each for each in remote.generate(REQUESTS)}
    expected = {each.id: each for each in local.generate(REQUESTS)}

    assert said == expected
    assert all(each.text for each in said.values())


def test_a_pipeline_gives_the_same_traces_over_the_server(
    remote: OpenAIBackend, local: Any
) -> None:
    def traces(backend: Backend) -> list[Trace]:
        decomposer = Decomposer(backend, prompt=REPEAT, sampling=SAMPLING)
        solver = Solver(backend, sampling=SAMPLING)
        return list(Pipeline(decomposer, solver).run(QUESTIONS))

    over_the_server = traces(remote)

    assert over_the_server == traces(local)
    assert any(trace.solution for trace in over_the_server)


def test_a_model_the_server_does_not_have_is_an_error(server: str) -> None:
    unknown = OpenAIBackend("no-such-model", base_url=f"{server}/v1")
    (completion,) = unknown.generate(REQUESTS[:1])

    assert completion.finish == "error"
    assert "no-such-model" in completion.error


def test_an_address_without_its_version_works(server: str, smollm2_dir: Path) -> None:
    (completion,) = OpenAIBackend(str(smollm2_dir), base_url=server).generate(REQUESTS[:1])

    assert completion.text


def test_the_command_paper_pays_the_server_once_for_each_cell(
    server: str, smollm2_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, prices, out = tmp_path / "asked.jsonl", tmp_path / "prices.json", tmp_path / "out"
    rows = [{"question": f"{each.text} {each.context or ''}", "answer": "6"} for each in QUESTIONS]
    asked.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    million = {"input_per_million": 1, "output_per_million": 2}
    prices.write_text(json.dumps({str(smollm2_dir): million}))
    command = f"paper --teacher openai:{smollm2_dir} --base-url {server}/v1 --max-in-flight 2 "
    command += f"--student {smollm2_dir} --train {asked} --test {asked} --max-new-tokens 64 "
    command += f"--prices {prices} --budget-usd 1 --output-dir {out} "
    command += "--rows none,CoT,teacher --columns solver"

    def run() -> tuple[object, Decimal | None]:
        assert run_cli(*command.split(), monkeypatch=monkeypatch) == 0
        cells = json.loads((out / "report.json").read_text(encoding="utf-8"))["cells"]
        return cells, SharedBudget(out, read_prices(prices)).spent_usd()

    cells, spent = run()

    assert [cell["row"] for cell in cells] == ["none", "CoT", "teacher"]
    assert spent
    assert run() == (cells, spent)


def test_a_served_student_is_asked_as_it_was_trained(smollm2_dir: Path, tmp_path: Path) -> None:
    traces = [make_trace(question, question.answer or "") for question in SAMPLES]
    config = DistillConfig(epochs=1, dtype="float32")
    student = distill(
        traces, student=smollm2_dir, output_dir=tmp_path / "s", config=config, progress=False
    )
    here = Decomposer.from_pretrained(student, dtype="float32", device="cpu")
    with serving(student, tmp_path / "log.txt") as url:
        backend = OpenAIBackend(str(student), base_url=f"{url}/v1", max_in_flight=2)
        there = Decomposer.from_pretrained(student, backend=backend)
        served = list(there.decompose([*QUESTIONS, SAMPLES[0]]))
    local = list(here.decompose([*QUESTIONS, SAMPLES[0]]))

    def said(splits: list[Decomposition | Failure]) -> set[tuple[str, str, int]]:
        return {(each.question.id, each.text, each.usage.input_tokens) for each in splits}

    assert said(served) == said(local)
