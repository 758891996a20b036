"""Bases in 4 bits: refused before the first step where they cannot be, and the same again later."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from decompose_distill import (
    BackendError,
    ConfigError,
    Decomposer,
    DistillConfig,
    MissingExtraError,
    Trace,
    distill,
)
from decompose_distill.models.adapters import adapter_quantization
from decompose_distill.models.loading import load_config, load_model, load_student
from decompose_distill.models.quantization import check_trainable, copy_dequantized, is_quantized
from decompose_distill.training.checkpoints import load_losses
from decompose_distill.training.engine.lora import attach
from decompose_distill.training.engine.throughput import flops_per_token
from tests.support.chats import make_tokenizer
from tests.support.families import make_family
from tests.support.samples import PROMPT, QUESTIONS
from tests.support.training import stopped_at

IDS = torch.tensor([[5, 6, 7, 8, 9]])
OPTIONS: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 4,
    "learning_rate": 2e-2,
    "lora_rank": 4,
    "dtype": "float32",
    "quantization": "nf4",
}


@pytest.fixture
def bitsandbytes() -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'decompose-distill[bitsandbytes]'")


def _distill(traces: tuple[Trace, ...], student: Path, place: Path, **options: Any) -> Path:
    config = DistillConfig(**(OPTIONS | options))
    return distill(
        traces, student=student, output_dir=place, prompt=PROMPT, config=config, progress=False
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lora_rank": None}, "quantization='nf4' leaves the weights as they are: give lora_rank"),
        ({"quantization": "int4"}, "quantization must be one of None, nf4, not 'int4'"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, adamw_8bit, not 'sgd'"),
        ({"fsdp": True}, "fsdp=True splits neither weights of 4 bits nor moments of 8"),
        ({"fsdp": True, "quantization": None, "optimizer": "adamw_8bit"}, "fsdp=True splits"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DistillConfig(**(OPTIONS | options))


@pytest.mark.parametrize("package", ["bitsandbytes", "accelerate"])
@pytest.mark.parametrize(
    ("options", "use"),
    [
        ({}, "quantization='nf4'"),
        ({"quantization": None, "optimizer": "adamw_8bit"}, "optimizer='adamw_8bit'"),
    ],
)
def test_without_a_package_the_command_that_adds_it_is_shown_before_anything_is_done(
    package: str,
    options: dict[str, Any],
    use: str,
    learned: tuple[Trace, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    command = rf"{use} needs bitsandbytes: pip install 'decompose-distill\[bitsandbytes\]'"

    with pytest.raises(MissingExtraError, match=command):
        _distill(learned, Path("nowhere"), tmp_path / "student", **options)


def test_weights_that_are_no_plain_numbers_are_refused_in_words_of_ours(tiny_dir: Path) -> None:
    config = load_config(tiny_dir)
    check_trainable(tiny_dir, config, "nf4")

    with pytest.raises(
        BackendError, match=r"student\.gguf is a \.gguf file, and quantization='nf4'"
    ):
        check_trainable("student.gguf", config, "nf4")
    config.quantization_config = {"quant_method": "fp8"}
    with pytest.raises(BackendError, match="is quantised already, and quantization='nf4' starts"):
        check_trainable(tiny_dir, config, "nf4")
    config.quantization_config = {"quant_method": "of next year"}
    with pytest.raises(BackendError, match=r"is quantised \(of next year\), and such weights"):
        check_trainable(tiny_dir, config, None)


def test_a_form_of_a_later_version_is_refused(tmp_path: Path) -> None:
    assert adapter_quantization(tmp_path) is None
    form = tmp_path / "quantization_config.json"
    form.write_text('{"bnb_4bit_quant_type": "nf2"}')
    with pytest.raises(BackendError, match="'nf2' is unknown: update decompose-distill"):
        adapter_quantization(tmp_path)
    form.write_text("{}")
    with pytest.raises(BackendError, match="bnb_4bit_quant_type is missing: copy the adapter"):
        adapter_quantization(tmp_path)


@pytest.mark.usefixtures("bitsandbytes")
def test_an_adapter_on_4_bits_is_loaded_as_it_was_trained(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    place = _distill(learned, tiny_dir, tmp_path / "student", merge_lora=False)
    manifest = json.loads((place / "decompose_distill.json").read_text())
    model = load_model(place, dtype=torch.float32)
    base = load_student(tiny_dir, dtype=torch.float32, quantization="nf4")
    adapter = attach(base, 4, str(tiny_dir))
    weights = load_file(place / "adapter_model.safetensors")
    for name, weight in adapter.named_parameters():
        if weight.requires_grad:
            weight.data.copy_(weights[name.replace(".default", "")])
    losses = load_losses(place).train

    assert (manifest["base_model"], manifest["config"]["quantization"]) == (str(tiny_dir), "nf4")
    assert losses[-1] < 0.7 * losses[0]
    assert is_quantized(model)
    assert torch.equal(model(IDS).logits, base(IDS).logits)
    assert not torch.equal(model(IDS).logits, load_model(tiny_dir, dtype=torch.float32)(IDS).logits)
    assert next(Decomposer.from_pretrained(place).decompose(QUESTIONS))
    form = place / "quantization_config.json"
    assert form.name in manifest["files"]  # without it, the base would be held otherwise
    assert json.loads(form.read_text())["quant_method"] == "bitsandbytes"


@pytest.mark.usefixtures("bitsandbytes")
def test_added_to_the_weights_it_computes_the_same_in_plain_numbers(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    alone = _distill(learned, tiny_dir, tmp_path / "alone", merge_lora=False)
    merged = load_model(_distill(learned, tiny_dir, tmp_path / "merged"), dtype=torch.float32)

    assert not is_quantized(merged)
    assert not hasattr(merged.config, "quantization_config")
    wanted = load_model(alone, dtype=torch.float32)(IDS).logits
    torch.testing.assert_close(merged(IDS).logits, wanted, rtol=1e-4, atol=1e-4)
    again = load_student(alone, dtype=torch.float32)  # to train on
    assert not is_quantized(again)
    torch.testing.assert_close(again(IDS).logits, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(BackendError, match="is a LoRA adapter, and quantization='nf4' starts"):
        _distill(learned, alone, tmp_path / "next")


@pytest.mark.usefixtures("bitsandbytes")
def test_a_stopped_run_goes_on_to_the_same_weights(
    learned: tuple[Trace, ...],
    tiny_dir: Path,
    tmp_path: Path,
) -> None:
    options = {"epochs": 2, "save_steps": 1, "merge_lora": False, "optimizer": "adamw_8bit"}
    whole = _distill(learned, tiny_dir, tmp_path / "whole", **options)
    with stopped_at(2):
        _distill(learned, tiny_dir, tmp_path / "half", **options)
    half = _distill(learned, tiny_dir, tmp_path / "half", **options)

    assert load_losses(half) == load_losses(whole)
    one, other = (load_file(place / "adapter_model.safetensors") for place in (half, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_what_4_bits_stand_for_computes_as_they_do(name: str, tmp_path: Path) -> None:
    place = make_family(name, tmp_path / name, make_tokenizer())
    quantized = load_student(place, dtype=torch.float32, quantization="nf4")
    plain = load_student(place, dtype=torch.float32)
    flops = flops_per_token(plain.requires_grad_(False))
    copy_dequantized(quantized, plain)

    assert flops_per_token(quantized.requires_grad_(False)) == flops
    torch.testing.assert_close(quantized(IDS).logits, plain(IDS).logits, rtol=1e-4, atol=1e-4)
