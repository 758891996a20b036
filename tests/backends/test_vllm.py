"""The backend over vLLM: our prompt's tokens in, completions out as they finish."""

import json
import sys
from pathlib import Path

import pytest
import torch

from decompose_distill import (
    BackendError,
    Completion,
    ConfigError,
    Decomposer,
    DistillConfig,
    Failure,
    Message,
    MissingExtraError,
    Question,
    Request,
    Sampling,
    distill,
    load_backend,
    testing,
)
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.backends.vllm import VLLMBackend
from decompose_distill.models.chat_template import prompt_ids
from tests.support.chats import make_tokenizer
from tests.support.fake_vllm import FakeEngine, install
from tests.support.families import make_family
from tests.support.samples import PROMPT, QUESTIONS, make_trace


@pytest.fixture
def backend(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> VLLMBackend:
    install(monkeypatch)
    return VLLMBackend(tiny_dir, max_in_flight=4)


def _engine(backend: VLLMBackend) -> FakeEngine:
    engine: FakeEngine = backend._engine
    return engine


def _requests(count: int, sampling: Sampling | None = None) -> list[Request]:
    sampling = sampling or Sampling(max_new_tokens=8)
    return [
        Request(str(number), (Message("user", f"Ada {number}"),), sampling)
        for number in range(count)
    ]


def test_it_keeps_the_protocol(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    long = Request("long", (Message("user", "Ada " * 500),), Sampling(max_new_tokens=8))

    testing.check_backend(lambda: load_backend(f"vllm:{tiny_dir}"), failing=long)


def test_the_engine_gets_the_tokens_of_training_and_a_seed_per_request(
    backend: VLLMBackend,
) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=8, seed=3)
    requests = _requests(2, sampling)
    list(backend.generate(requests))
    ids, settings, adapter = _engine(backend).received[1]

    assert ids == prompt_ids(backend.tokenizer, requests[1].messages)
    assert (settings.temperature, settings.top_p, settings.seed) == (0.7, 0.9, 3)
    assert settings.max_tokens == 8
    assert backend.tokenizer.eos_token_id in settings.stop_token_ids
    assert adapter is None


def test_what_a_backend_decides_itself_is_greedy_and_of_one_seed(backend: VLLMBackend) -> None:
    list(backend.generate(_requests(1, Sampling(None, None, 8, None))))
    [(_, settings, _)] = _engine(backend).received

    assert (settings.temperature, settings.top_p, settings.seed) == (0.0, 1.0, 0)


def test_the_text_and_its_end_are_read_as_in_this_process(backend: VLLMBackend) -> None:
    [whole] = backend.generate(_requests(1))
    [cut] = backend.generate(_requests(1, Sampling(max_new_tokens=2)))

    assert (whole.finish, whole.usage.output_tokens, whole.usage.cached_tokens) == ("stop", 5, 2)
    assert (cut.finish, cut.usage.output_tokens) == ("length", 2)
    assert whole.text.startswith(cut.text)


def test_a_request_that_was_not_ended_by_the_model_is_an_error(backend: VLLMBackend) -> None:
    _engine(backend).reason = "abort"
    [completion] = backend.generate(_requests(1))

    assert (completion.finish, completion.error) == ("error", "vLLM ended the request: abort")


def test_settings_that_the_engine_refuses_fail_one_request(backend: VLLMBackend) -> None:
    requests = [*_requests(1), Request("hot", (Message("user", "Ada"),), Sampling(3.0, 1.0, 8))]
    found = {each.id: each for each in backend.generate(requests)}

    assert found["0"].finish == "stop"
    assert found["hot"].error == "vLLM refused the request: temperature must be in [0, 2]"


def test_two_streams_share_the_engine(backend: VLLMBackend) -> None:
    one, other = backend.generate(_requests(5)), backend.generate(_requests(3))
    first = [next(one), next(other), next(other)]
    rest = [*one, *other]

    assert sorted(each.id for each in first + rest) == sorted("01234012")


def test_a_stream_that_is_closed_leaves_the_engine(backend: VLLMBackend) -> None:
    stream = backend.generate(_requests(9))
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert _engine(backend).aborted == ["1", "2", "3"]
    assert [each.id for each in backend.generate(_requests(1))] == ["0"]


def test_an_engine_that_dies_is_an_error_of_ours(
    backend: VLLMBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise RuntimeError("EngineCore encountered an issue")

    monkeypatch.setattr(_engine(backend), "step", die)

    with pytest.raises(BackendError, match=r"vLLM ended while it ran .* an issue"):
        list(backend.generate(_requests(1)))


def test_a_model_that_vllm_cannot_run_is_named(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, ValueError("no memory for the cache"))

    with pytest.raises(BackendError, match=r"vLLM cannot run .*no memory for the cache"):
        load_backend(f"vllm:{tiny_dir}")


def test_without_vllm_the_pip_command_is_named(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'decompose-distill\[vllm\]'"):
        load_backend(f"vllm:{tiny_dir}")


def test_options_go_with_their_backends(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    backend = load_backend(f"vllm:{tiny_dir}", max_in_flight=2, dtype="float32")

    assert isinstance(backend, VLLMBackend)
    assert (backend.max_in_flight, _engine(backend).options["dtype"]) == (2, "float32")
    with pytest.raises(ConfigError, match="device goes with 'hf:' backends, not with 'vllm:"):
        load_backend(f"vllm:{tiny_dir}", device="cpu")


def test_its_identity_tells_models_apart(tiny_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)

    assert VLLMBackend(tiny_dir).identity.startswith(f"vllm:{tiny_dir} float32 files ")


@pytest.fixture
def adapter_dir(tiny_dir: Path, tmp_path: Path) -> Path:
    """A LoRA student that was not merged."""
    pytest.importorskip("peft")
    config = DistillConfig(epochs=1, lora_rank=4, merge_lora=False, dtype="float32")
    traces = [make_trace(question, "1") for question in QUESTIONS]
    place = tmp_path / "adapter"
    distill(
        traces, student=tiny_dir, output_dir=place, prompt=PROMPT, config=config, progress=False
    )
    return place


def test_an_adapter_runs_beside_its_base_unmerged(
    adapter_dir: Path, tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    backend = VLLMBackend(adapter_dir)
    list(backend.generate(_requests(1)))
    options, [(_, _, adapter)] = _engine(backend).options, _engine(backend).received

    assert (options["model"], options["enable_lora"]) == (str(tiny_dir), True)
    assert options["max_lora_rank"] == 8
    assert adapter == ("student", 1, str(adapter_dir))
    assert backend.identity.count(" ") == VLLMBackend(tiny_dir).identity.count(" ") + 1


def test_a_student_is_asked_with_its_own_prompt_over_any_backend(
    adapter_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    backend = VLLMBackend(adapter_dir)
    student = Decomposer.from_pretrained(adapter_dir, backend=backend)
    list(student.decompose(QUESTIONS[:1]))
    [(ids, settings, _)] = _engine(backend).received

    assert ids == prompt_ids(backend.tokenizer, PROMPT.render(QUESTIONS[0]))
    assert settings.max_tokens == student.sampling.max_new_tokens
    here = Decomposer.from_pretrained(adapter_dir, device="cpu", dtype="bfloat16").backend
    assert isinstance(here, TransformersBackend)
    assert here.model.dtype == torch.bfloat16


def test_an_adapter_on_a_base_in_4_bits_is_refused(
    adapter_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    (adapter_dir / "quantization_config.json").write_text('{"bnb_4bit_quant_type": "nf4"}')

    with pytest.raises(BackendError, match="on a base in 4 bits, which vLLM would run in other"):
        VLLMBackend(adapter_dir)


def test_an_adapter_on_an_adapter_is_refused(
    adapter_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch)
    second = tmp_path / "second"
    second.mkdir()
    settings = {"base_model_name_or_path": str(adapter_dir), "r": 4}
    (second / "adapter_config.json").write_text(json.dumps(settings))

    with pytest.raises(BackendError, match="an adapter on the adapter"):
        VLLMBackend(second)


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")  # vLLM's own
@pytest.mark.parametrize("student", ["tiny_dir", "adapter_dir"])
def test_a_real_engine_writes_what_this_process_writes(
    student: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # a process takes long to start
    pytest.importorskip("vllm", reason="pip install 'decompose-distill[vllm]'")
    model_dir: Path = request.getfixturevalue(student)
    limits = {"enforce_eager": True, "max_model_len": 512, "max_num_seqs": 8}
    limits |= {"distributed_executor_backend": "uni"}
    backend = VLLMBackend(model_dir, max_in_flight=4, dtype="float32", engine=limits)
    chats = [PROMPT.render(question) for question in QUESTIONS]
    greedy, drawn = (Sampling(temperature, 1.0, 16, 5) for temperature in (0.0, 1.0))
    requests = [Request(str(number), chat, greedy) for number, chat in enumerate(chats)]
    here = TransformersBackend(model_dir, dtype="float32")

    def told(completion: Completion) -> tuple[str, str, int, int]:
        usage = completion.usage
        return completion.text, completion.finish, usage.input_tokens, usage.output_tokens

    written = {completion.id: told(completion) for completion in backend.generate(requests)}
    wanted = {completion.id: told(completion) for completion in here.generate(requests)}
    assert written == wanted
    [alone] = backend.generate([Request("drawn", chats[0], drawn)])
    among = backend.generate([*requests, Request("drawn", chats[0], drawn)])
    assert alone.text in [completion.text for completion in among if completion.id == "drawn"]
    testing.check_backend(lambda: backend)
    decomposer = Decomposer(backend, prompt=PROMPT, sampling=greedy)
    answers = decomposer.decompose([Question("How old is Ada?")])
    assert not any(isinstance(answer, Failure) and answer.reason == "error" for answer in answers)
    backend._engine.engine_core.shutdown()


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")  # vLLM's own
def test_a_model_split_over_two_devices_writes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # else it wants a core to itself
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    pytest.importorskip("vllm", reason="pip install 'decompose-distill[vllm]'")
    # Of several heads, of a size that vLLM knows on a processor.
    model = make_family("llama", tmp_path / "model", make_tokenizer(), head_dim=64)
    limits = {"enforce_eager": True, "max_model_len": 512, "max_num_seqs": 8}
    engine = limits | {"tensor_parallel_size": 2}
    backend = VLLMBackend(model, dtype="float32", engine=engine)
    requests = _requests(4, Sampling(max_new_tokens=16))
    here = TransformersBackend(model, dtype="float32")

    written = {completion.id: completion.text for completion in backend.generate(requests)}
    assert written == {completion.id: completion.text for completion in here.generate(requests)}
    backend._engine.engine_core.shutdown()
