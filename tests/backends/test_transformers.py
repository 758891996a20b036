"""The local backend: batched as if alone, seeded, with errors of ours."""

import importlib.util
import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from decompose_distill import (
    BackendError,
    ConfigError,
    Decomposer,
    Failure,
    Message,
    MissingExtraError,
    Question,
    Request,
    Sampling,
    load_backend,
    prompts,
)
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.generation import (
    decode,
    follows_past,
    generate_plainly,
)
from decompose_distill.models.loading import load_model
from decompose_distill.models.past import common_prefix
from decompose_distill.models.sampling import choose


@pytest.fixture(scope="module")
def backend(tiny_dir: Path) -> TransformersBackend:
    found = TransformersBackend(tiny_dir, batch_size=3)
    found.model.to(torch.float32)  # how 16-bit sums are rounded depends on the batch's shape
    return found


def _requests(count: int, sampling: Sampling) -> list[Request]:
    return [
        Request(str(number), (Message("user", "Ada " * (number + 1)),), sampling)
        for number in range(count)
    ]


def test_every_request_is_answered_once(backend: TransformersBackend) -> None:
    requests = _requests(8, Sampling(max_new_tokens=4))
    answered = sorted(completion.id for completion in backend.generate(requests))

    assert answered == [request.id for request in requests]


def test_a_batch_gives_the_greedy_text_of_each_prompt_alone(backend: TransformersBackend) -> None:
    requests = _requests(5, Sampling(max_new_tokens=8))
    together = {each.id: each.text for each in backend.generate(requests)}
    alone = {each.id: each.text for one in requests for each in backend.generate([one])}

    assert together == alone


def test_a_batch_gives_the_greedy_text_that_transformers_generates(
    backend: TransformersBackend,
) -> None:
    chats = [prompts.COT.render(Question("Ada " * count)) for count in range(1, 10)]
    prompts_ids = [prompt_ids(backend.tokenizer, chat) for chat in chats]
    ends = frozenset([*backend._ends, 40, 41, 42, 43])  # so that rows finish at different times
    sampling = Sampling(max_new_tokens=24)
    ours = decode(backend.model, prompts_ids, sampling, ends)
    theirs = generate_plainly(backend.model, prompts_ids, sampling, ends, pad=0)
    theirs = [row[: next((at + 1 for at, t in enumerate(row) if t in ends), 24)] for row in theirs]

    assert common_prefix(prompts_ids) >= 8
    assert follows_past(backend.model)
    assert ours == theirs


def test_a_sample_does_not_depend_on_the_other_rows(backend: TransformersBackend) -> None:
    requests = _requests(5, Sampling(temperature=1.0, top_p=0.9, max_new_tokens=12, seed=3))
    together = {each.id: each.text for each in backend.generate(requests)}
    alone = {each.id: each.text for one in requests for each in backend.generate([one])}

    assert together == alone


def test_samples_follow_the_shares_of_the_model(backend: TransformersBackend) -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).repeat(2000, 1)
    draws = torch.tensor([random.Random(row).random() for row in range(2000)])
    drawn = Counter(choose(logits, Sampling(temperature=1.0, top_p=0.9), draws).tolist())

    # the nucleus of 0.9 holds the first three: shares 0.526, 0.316, 0.158 within 4 sigma
    assert drawn[3] == 0
    assert drawn[0] / 2000 == pytest.approx(0.526, abs=0.045)
    assert drawn[2] / 2000 == pytest.approx(0.158, abs=0.033)


def test_a_seed_repeats_a_sample_and_another_seed_does_not(backend: TransformersBackend) -> None:
    def draw(seed: int) -> str:
        sampling = Sampling(temperature=1.0, max_new_tokens=12, seed=seed)
        [completion] = backend.generate(_requests(1, sampling))
        return completion.text

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_completion_that_reaches_its_limit_says_so(backend: TransformersBackend) -> None:
    [completion] = backend.generate(_requests(1, Sampling(max_new_tokens=1)))

    assert completion.finish == "length"
    assert completion.usage.output_tokens == 1


def test_a_question_longer_than_the_context_window_fails_alone(
    backend: TransformersBackend,
) -> None:
    decomposer = Decomposer(
        backend, prompt=prompts.Prompt("", "{question}"), sampling=Sampling(max_new_tokens=8)
    )
    questions = [Question("Why? " * 500, id="long"), Question("Why?", id="short")]
    outcomes = {outcome.question.id: outcome for outcome in decomposer.decompose(questions)}
    long = outcomes["long"]

    assert isinstance(long, Failure)
    assert "exceed the 512 tokens" in long.message
    assert "short" in outcomes


def test_a_directory_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(BackendError, match=r"holds no \*\.safetensors weights"):
        load_backend(f"hf:{tmp_path}")


def _with_habits(base: Path, place: Path) -> Path:
    """The same model, which brings a generation config like Qwen 2.5's."""
    shutil.copytree(base, place)
    file = place / "generation_config.json"
    habits = {"do_sample": True, "repetition_penalty": 9.0, "top_k": 2, "no_repeat_ngram_size": 2}
    file.write_text(json.dumps(json.loads(file.read_text()) | habits))
    return place


def test_what_a_models_own_generation_config_says_changes_no_text(
    backend: TransformersBackend, tiny_dir: Path, tmp_path: Path
) -> None:
    other = TransformersBackend(_with_habits(tiny_dir, tmp_path / "other"), dtype="float32")
    prompt = [prompt_ids(other.tokenizer, (Message("user", "Ada " * 9),))]
    sampling = Sampling(max_new_tokens=24)

    for model in (other.model, backend.model):
        theirs = generate_plainly(model, prompt, sampling, frozenset([0]), pad=0)
        assert theirs == decode(backend.model, prompt, sampling, frozenset([0]))


@pytest.mark.parametrize("name", ["/no/such/model", "/no/such/model.gguf"])
def test_a_path_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BackendError, match="no such"):
        load_backend(f"hf:{name}")


def test_a_directory_of_pickled_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")

    with pytest.raises(BackendError, match=r"no \*\.safetensors"):
        load_backend(f"hf:{tmp_path}")


def test_a_gguf_file_without_its_packages_names_the_pip_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gguf" else find(name)
    )

    with pytest.raises(MissingExtraError, match=r"pip install 'decompose-distill\[gguf\]'"):
        load_backend(f"hf:{tmp_path / 'model.gguf'}")


def test_a_damaged_gguf_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "model.gguf").write_bytes(b"GGUF, but no more")

    with pytest.raises(BackendError, match="cannot load"):
        load_backend(f"hf:{tmp_path / 'model.gguf'}")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rotary_frequencies_keep_their_digits_whatever_the_weights(
    dtype: torch.dtype, tiny_dir: Path
) -> None:
    model = load_model(tiny_dir, dtype=dtype)

    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}


def test_a_batch_size_below_one_is_refused(tiny_dir: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        TransformersBackend(tiny_dir, batch_size=0)


def test_a_model_runs_where_and_in_what_numbers_it_is_told(tiny_dir: Path) -> None:
    backend = TransformersBackend(tiny_dir, device="cpu", dtype="bfloat16")

    assert (backend.model.device.type, backend.model.dtype) == ("cpu", torch.bfloat16)
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used"):
        TransformersBackend(tiny_dir, device="nowhere")


@pytest.mark.smollm2
def test_loading_shows_no_bars_of_others(
    smollm2_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_model(smollm2_gguf)

    assert capsys.readouterr().err == ""


@pytest.mark.smollm2
def test_smollm2_is_loaded_from_gguf_trained_saved_and_sampled(
    smollm2_dir: Path, tmp_path: Path
) -> None:
    from decompose_distill import DistillConfig, distill
    from tests.support.samples import QUESTIONS, make_trace

    traces = [make_trace(question, "1") for question in QUESTIONS]
    place = distill(
        traces,
        student=smollm2_dir,
        output_dir=tmp_path / "student",
        prompt=prompts.Prompt("Split the question.", "{question}"),
        config=DistillConfig(epochs=4, batch_size=4, learning_rate=5e-4, save_steps=8),
        progress=False,
    )
    student = Decomposer.from_pretrained(place)
    [outcome] = student.decompose([Question("How old are Gus and Hal together?")])

    assert not isinstance(outcome, Failure)
    assert [each.text for each in outcome.subquestions] == [
        "How old is Gus?",
        "How old is Hal?",
        "What is #1 plus #2?",
    ]


def test_the_identity_tells_weights_and_chat_templates_apart(tiny_dir: Path) -> None:
    same, trained, shown = (TransformersBackend(tiny_dir) for _ in range(3))
    *_, weight = trained.model.parameters()
    weight.data += 0.25
    shown.tokenizer.chat_template += "{# another #}"

    assert same.identity == TransformersBackend(tiny_dir).identity
    assert len({same.identity, trained.identity, shown.identity}) == 3
