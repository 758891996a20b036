"""A model is loaded whole and as it is, or refused in words of ours; no code of its own runs."""

import io
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

from decompose_distill import BackendError, Decomposer, DistillConfig, Trace, distill, load_backend
from decompose_distill.models.loading import (
    context_window,
    load_config,
    load_model,
    load_student,
    load_tokenizer,
)
from tests.support.chats import make_tokenizer
from tests.support.families import CONFIGS, make_family
from tests.support.samples import PROMPT, QUESTIONS

ONE_EPOCH = DistillConfig(epochs=1, dtype="float32")


def _distill(
    traces: tuple[Trace, ...], student: Path, place: Path, config: DistillConfig = ONE_EPOCH
) -> Path:
    return distill(
        traces, student=student, output_dir=place, prompt=PROMPT, config=config, progress=False
    )


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def own_code(tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with code of its own, and somebody who says yes to everything."""
    place = shutil.copytree(tiny_dir, tmp_path / "base")
    touch = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    (place / "own.py").write_text(f"{touch}class Own: pass\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    return place


OWN = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": ["own.Own"] * 2}


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "own", "auto_map": OWN}),
        ("config.json", {"auto_map": OWN}),
        ("tokenizer_config.json", {"auto_map": OWN}),
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": OWN}),
    ],
)
def test_code_that_a_model_brings_never_runs(
    file: str, changes: dict[str, Any], own_code: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    _edit(own_code / file, **changes)
    with suppress(BackendError):  # where there is no other code for it
        load_backend(f"hf:{own_code}")
    with suppress(BackendError):
        _distill(learned, own_code, tmp_path / "student")

    assert not (tmp_path / "ran").exists()


def test_a_model_of_which_there_is_no_code_but_its_own_is_refused_in_words_of_ours(
    own_code: Path,
) -> None:
    _edit(own_code / "config.json", model_type="own", auto_map=OWN)

    with pytest.raises(BackendError, match=r"brings code of its own \(auto_map\), which is never"):
        load_backend(f"hf:{own_code}")


def _without_a_tensor(weights: Path, name: str) -> None:
    tensors = load_file(weights)
    del tensors[next(key for key in tensors if name in key)]
    save_file(tensors, weights, metadata={"format": "pt"})


def test_a_model_that_lacks_a_tensor_is_refused_wherever_it_is_loaded(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    _without_a_tensor(base / "model.safetensors", "1.mlp.up_proj")
    lacks = r"base lacks 1 of its tensors, such as 'model\.layers\.1\.mlp\.up_proj\.weight'"

    with pytest.raises(BackendError, match=lacks):
        load_backend(f"hf:{base}")
    with pytest.raises(BackendError, match=lacks):
        _distill(learned, base, tmp_path / "student")


def test_an_adapter_that_lacks_a_tensor_is_refused(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    config = DistillConfig(epochs=1, lora_rank=2, merge_lora=False)
    place = _distill(learned, tiny_dir, tmp_path / "student", config)
    _without_a_tensor(place / "adapter_model.safetensors", "1.mlp.up_proj.lora_A")

    with pytest.raises(BackendError, match=r"missing adapter keys.*1\.mlp\.up_proj"):
        load_backend(f"hf:{place}")


def test_an_adapter_is_trained_on_as_a_student_and_as_a_base(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    alone = DistillConfig(epochs=2, lora_rank=2, merge_lora=False, learning_rate=1e-2)
    first = _distill(learned, tiny_dir, tmp_path / "first", alone)
    second = _distill(learned, first, tmp_path / "second")
    third = _distill(learned, first, tmp_path / "third", alone)
    before, after = load_model(first, dtype=torch.float32), load_student(first, dtype=torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])

    assert torch.allclose(before(ids).logits, after(ids).logits, atol=1e-4)
    assert not [name for name, _ in after.named_parameters() if "lora" in name]
    assert all(
        next(Decomposer.from_pretrained(place).decompose(QUESTIONS)) for place in (second, third)
    )


def test_an_adapter_without_a_tokenizer_has_its_bases(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    config = DistillConfig(epochs=1, lora_rank=2, merge_lora=False)
    place = _distill(learned, tiny_dir, tmp_path / "student", config)
    for file in [*place.glob("tokenizer*"), *place.glob("chat_template*")]:
        file.unlink()
    (place / "generation_config.json").unlink()

    assert len(load_tokenizer(place)) == len(load_tokenizer(tiny_dir))
    assert context_window(load_config(place)) == 512
    assert load_model(place)


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_an_encoder_decoder_is_refused_in_few_words(
    name: str, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    base = make_family(name, tmp_path / name, make_tokenizer())

    with pytest.raises(BackendError, match="is an encoder-decoder") as refusal:
        _distill(learned, base, tmp_path / "student")
    with pytest.raises(BackendError, match="is an encoder-decoder"):
        load_backend(f"hf:{base}")
    assert len(str(refusal.value)) < 400


def test_what_another_library_says_is_told_in_short(tmp_path: Path, tiny_dir: Path) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    _edit(base / "config.json", model_type="vit", architectures=["ViTModel"])

    with pytest.raises(BackendError) as refusal:
        load_backend(f"hf:{base}")
    assert len(str(refusal.value)) < 700


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
    ],
)
def test_a_quantised_student_is_refused_before_the_audit(
    quantization: dict[str, Any], tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    _edit(base / "config.json", quantization_config=quantization)

    with pytest.raises(BackendError, match=r"is quantised .* cannot be trained: name the model"):
        _distill(learned, base, tmp_path / "student")
    assert not (tmp_path / "student.partial").exists()


def _as_fp8(base: Path) -> None:
    """Store the linear layers in 8 bits, in blocks with a scale, as DeepSeek's checkpoints are."""
    weights, stored = load_file(base / "model.safetensors"), {}
    for name, weight in weights.items():
        if not name.endswith("proj.weight"):
            stored[name] = weight
            continue
        scale = weight.abs().max() / 448
        stored[name] = (weight / scale).to(torch.float8_e4m3fn)
        blocks = [-(-side // 128) for side in weight.shape]
        stored[f"{name}_scale_inv"] = scale.expand(*blocks).contiguous().float()
    save_file(stored, base / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    _edit(base / "config.json", quantization_config=settings | {"activation_scheme": "dynamic"})


def test_a_student_in_8_bit_floats_is_dequantised_and_trained(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    _as_fp8(base)
    place = _distill(learned, base, tmp_path / "student")
    was, ids = load_model(tiny_dir, dtype=torch.float32), torch.tensor([[5, 6, 7, 8]])
    read = load_student(base, dtype=torch.float32)

    assert (read(ids).logits - was(ids).logits).norm() < 0.1 * was(ids).logits.norm()
    assert "quantization_config" not in json.loads((place / "config.json").read_text())
    assert {tensor.dtype for tensor in load_file(place / "model.safetensors").values()} == {
        torch.float32
    }


def test_weights_that_a_family_keeps_in_32_bits_stay_so(tmp_path: Path) -> None:
    base = make_family("deepseek_v3", tmp_path / "base", make_tokenizer())
    model = load_model(base, dtype=torch.bfloat16)
    gates = {name: weight.dtype for name, weight in model.named_parameters() if "mlp.gate." in name}

    assert set(gates.values()) == {torch.float32}
    assert model.lm_head.weight.dtype == torch.bfloat16


def test_the_context_of_a_model_that_also_sees_images_is_that_of_its_text(tmp_path: Path) -> None:
    base = make_family("gemma3_vision", tmp_path / "base", make_tokenizer())

    assert context_window(load_config(base)) == 2048
    assert context_window(AutoConfig.for_model("mamba")) == 1 << 30


def test_a_student_that_also_sees_images_keeps_its_processor(
    learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    base = make_family("gemma3_vision", tmp_path / "base", make_tokenizer())
    (base / "preprocessor_config.json").write_text('{"image_processor_type": "x"}')
    place = _distill(learned, base, tmp_path / "student")

    assert (place / "preprocessor_config.json").read_bytes() == (
        base / "preprocessor_config.json"
    ).read_bytes()
    assert not (place / "processor_config.json").exists()


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"bart", "t5"}))
def test_a_whole_model_of_any_family_lacks_nothing(name: str, tmp_path: Path) -> None:
    base = make_family(name, tmp_path / name, make_tokenizer())

    assert load_model(base)


def test_a_tokenizer_of_mistral_common_is_read_as_one_with_a_chat_template(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = type("MistralCommonBackend", (), {})
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *given, **options: other())

    assert load_tokenizer(tiny_dir).chat_template
