"""Adapters: merged or alone, they write the same."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from decompose_distill import (
    ConfigError,
    Decomposer,
    DistillConfig,
    MissingExtraError,
    Trace,
    distill,
)
from decompose_distill.models.loading import load_model, load_tokenizer
from decompose_distill.training.checkpoints.checkpoint import snapshot
from decompose_distill.training.data.examples import make_examples
from decompose_distill.training.engine import lora
from decompose_distill.training.engine.optimizer import Optimizer
from tests.support.chats import make_tokenizer
from tests.support.families import make_family
from tests.support.samples import PROMPT, QUESTIONS

CONFIG = {
    "epochs": 30,
    "batch_size": 4,
    "learning_rate": 2e-2,
    "lora_rank": 4,
    "save_steps": 20,
}


def _distill(traces: tuple[Trace, ...], student: Path, place: Path, **options: Any) -> Path:
    config = DistillConfig(**(CONFIG | options))
    return distill(
        traces, student=student, output_dir=place, prompt=PROMPT, config=config, progress=False
    )


def _predicted(checkpoint: Path, traces: tuple[Trace, ...]) -> tuple[str, ...]:
    """In float32: rounding a merged weight to bfloat16 may change a close choice of words."""
    examples = list(make_examples(traces, "decomposer", PROMPT, "subquestions"))
    model = load_model(checkpoint, dtype=torch.float32)
    return snapshot(model, load_tokenizer(checkpoint), examples).predicted


def test_merged_and_adapter_alone_write_the_same(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    merged = _distill(learned, tiny_dir, tmp_path / "merged", dtype="float32")
    alone = _distill(learned, tiny_dir, tmp_path / "alone", dtype="float32", merge_lora=False)
    figures = [json.loads((p / "decompose_distill.json").read_text()) for p in (merged, alone)]

    assert _predicted(merged, learned) == _predicted(alone, learned)
    assert next(Decomposer.from_pretrained(alone).decompose(QUESTIONS))
    assert figures[0]["figures"]["last_loss"] < 0.5 * figures[0]["figures"]["first_loss"]
    assert (merged / "model.safetensors").is_file()
    assert not (alone / "model.safetensors").exists()
    size = (alone / "adapter_model.safetensors").stat().st_size
    assert size < (merged / "model.safetensors").stat().st_size / 2


@pytest.mark.smollm2
def test_a_real_models_adapter_writes_the_same_merged_and_alone(
    learned: tuple[Trace, ...], smollm2_dir: Path
) -> None:
    model, tokenizer = load_model(smollm2_dir, dtype=torch.float32), load_tokenizer(smollm2_dir)
    examples = list(make_examples(learned[:3], "decomposer", PROMPT, "subquestions"))
    untrained = snapshot(model, tokenizer, examples)
    wrapper = lora.attach(model, 8, str(smollm2_dir))
    for name, weight in Optimizer(model, DistillConfig()).weights.items():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.01)
    alone = snapshot(model, tokenizer, examples)
    merged = snapshot(wrapper.merge_and_unload(), tokenizer, examples)

    assert untrained.predicted != alone.predicted == merged.predicted


def test_only_the_adapter_is_trained(tiny_dir: Path) -> None:
    model = load_model(tiny_dir)
    lora.attach(model, 4, str(tiny_dir))
    optimizer = Optimizer(model, DistillConfig())

    assert all("lora_" in name for name in optimizer.weights)
    assert len(optimizer.weights) == 2 * 7 * 2  # two matrices, seven layers a block, two blocks


@pytest.mark.parametrize(
    ("name", "adapted", "left_out"),
    [
        ("mamba", {"in_proj", "x_proj", "dt_proj"}, {"out_proj"}),
        ("mamba2", {"in_proj"}, {"out_proj"}),
        ("falcon_h1", {"in_proj", "q_proj", "o_proj", "gate_proj"}, {"out_proj"}),
        ("llama4", {"q_proj", "o_proj", "down_proj"}, {"router", "lm_head"}),
        ("gemma3_vision", {"q_proj", "down_proj"}, {"vision_tower", "out_proj", "fc1"}),
        ("gpt2", {"c_attn", "c_proj", "c_fc"}, {"lm_head"}),
        ("falcon", {"query_key_value", "dense", "dense_h_to_4h"}, {"lm_head"}),
    ],
)
def test_adapters_stand_where_the_text_model_can_use_them(
    name: str, adapted: set[str], left_out: set[str], tmp_path: Path
) -> None:
    model = load_model(make_family(name, tmp_path / name, make_tokenizer()))
    lora.attach(model, 2, name)
    parts = {part for path in Optimizer(model, DistillConfig()).weights for part in path.split(".")}

    assert adapted <= parts
    assert not left_out & parts
    assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.requires_grad


def test_a_model_without_a_layer_for_adapters_is_refused() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=0, n_embd=8, n_head=1, vocab_size=50))

    with pytest.raises(ConfigError, match="lora_rank=4: GPT2LMHeadModel has no linear layer"):
        lora.attach(model, 4, "nothing")


def test_adapters_in_the_models_own_numbers_have_float32_copies(tiny_dir: Path) -> None:
    model = load_model(tiny_dir, dtype=torch.bfloat16)
    lora.attach(model, 4, str(tiny_dir), short=True)
    optimizer = Optimizer(model, DistillConfig())
    before = {name: weight.clone() for name, weight in optimizer.state().items()}
    in_float32 = {
        name.replace("master.", "weight."): weight
        for name, weight in before.items()
        if name.startswith("master.")
    }
    for weight in optimizer.updated.values():
        weight.data.zero_()
    optimizer.load(in_float32, 0)

    assert {weight.dtype for weight in optimizer.weights.values()} == {torch.bfloat16}
    assert {weight.dtype for weight in optimizer.updated.values()} == {torch.float32}
    for name, weight in optimizer.updated.items():
        assert torch.equal(weight, in_float32[f"weight.{name}"])


def test_without_peft_the_command_that_adds_it_is_shown(
    learned: tuple[Trace, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'decompose-distill\[peft\]'"):
        _distill(learned, Path("nowhere"), tmp_path / "s")
