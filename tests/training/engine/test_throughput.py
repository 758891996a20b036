"""The share of a card's product rate is told where the card is known, and never too high."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MixtralConfig

from decompose_distill.training.engine.throughput import (
    ProductShare,
    flops_per_token,
    peak_of,
)

SHAPE = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}


@pytest.mark.parametrize(
    ("card", "teraflops"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA GeForce GTX 1080", None),
    ],
)
def test_a_card_is_known_by_the_words_of_its_name(card: str, teraflops: int | None) -> None:
    known = peak_of(card)

    assert (known and known / 1e12) == teraflops


def test_a_trained_weight_is_multiplied_three_times_and_a_frozen_one_twice() -> None:
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE))
    layers = sum(weight.numel() for weight in model.model.layers.parameters()) + 32  # last norm

    assert flops_per_token(model) == 6 * layers
    model.requires_grad_(False)
    assert flops_per_token(model) == 4 * layers


def test_of_a_mixture_of_experts_nothing_is_claimed() -> None:
    model = AutoModelForCausalLM.from_config(MixtralConfig(**SHAPE, num_local_experts=2))

    assert flops_per_token(model) is None
    assert ProductShare(model, peak=1e12)(10, 1.0) == {}


def test_the_share_is_that_of_the_products_per_second(tiny_dir: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_dir, dtype=torch.bfloat16)
    flops = flops_per_token(model)

    assert flops is not None
    assert ProductShare(model, peak=1e9)(50, 2.0) == {"product_share": flops * 50 / 2.0 / 1e9}
    assert ProductShare(model)(50, 2.0) == {}  # of a processor no rate is known
