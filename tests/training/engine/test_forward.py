"""Whatever way is chosen computes the loss and the gradients of the plain one."""

import logging
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from decompose_distill import ConfigError
from decompose_distill.models.attention import attempt
from decompose_distill.models.loading import load_model, recompute_activations
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine import attention, loss
from decompose_distill.training.engine.forward import EndToEnd, Forward, Padded, choose_forward
from decompose_distill.training.engine.loss import LinearHead, OwnHead

Gradients = dict[str, torch.Tensor]

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "initializer_range": 0.15,
}
WINDOWS = {"sliding_window": 32, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen3": {"head_dim": 8},
    "Mistral": WINDOWS,
    "Phi3": {"sliding_window": 32},
    "Gemma2": WINDOWS | {"query_pre_attn_scalar": 8, "layer_types": 2 * ["sliding_attention"]},
    "Gemma3Text": WINDOWS | {"query_pre_attn_scalar": 8, "layer_types": 2 * ["sliding_attention"]},
    "GptOss": WINDOWS | {"num_local_experts": 2, "num_experts_per_tok": 1},
    "Olmo3": {"sliding_window": 32},
    "Granite": {"logits_scaling": 8.0},
}
APART = {
    "Mamba": {"hidden_size": 32, "vocab_size": 96, "num_hidden_layers": 2, "state_size": 4},
    "Llama4Text": SHAPE | {"head_dim": 8, "num_local_experts": 2, "attention_chunk_size": 32},
}
"""What must not lie end to end: no attention, and chunks that attention is not told of."""


def make(family: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def rows(lengths: tuple[int, ...] = (70, 25, 48), shared: int = 12) -> list[TokenizedExample]:
    """Rows with a common beginning; some reach beyond a window of 32."""
    return [
        TokenizedExample(
            str(length),
            tuple((7 * at if at < shared else at * at + length) % 96 for at in range(length)),
            length // 2,
        )
        for length in lengths
    ]


def plain(model: Any, rows: list[TokenizedExample]) -> tuple[float, Gradients]:
    """Loss and gradients of rows alone, by the model's own forward."""
    model.zero_grad()
    total = torch.zeros(())
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits
        labels = torch.tensor(row.ids[row.start :])
        total = total + cross_entropy(logits[0, row.start - 1 : -1], labels, reduction="sum")
    total.backward()
    return total.item(), _gradients(model)


def by(forward: Forward, rows: list[TokenizedExample]) -> tuple[float, Gradients]:
    forward.model.zero_grad()
    with forward.applied():
        total = forward.loss(forward.lay(rows))
        total.backward()
    return total.item(), _gradients(forward.model)


def _gradients(model: Any) -> Gradients:
    named = model.named_parameters()
    return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def assert_same(one: tuple[float, Gradients], other: tuple[float, Gradients]) -> None:
    """Float32 sums in another order differ by a few units of the seventh digit."""
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        assert (gradient - other[1][name]).norm() <= 2e-4 * other[1][name].norm() + 1e-5, name


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_end_to_end_give_loss_and_gradients_of_rows_alone_beyond_the_window_too(
    family: str,
) -> None:
    model = make(family, SHAPE | FAMILIES[family])
    forward = choose_forward(model)

    assert isinstance(forward.layout, EndToEnd)
    assert_same(by(forward, rows()), plain(model, rows()))
    assert model.config._attn_implementation != attention.NAME


@pytest.mark.parametrize("family", APART)
def test_a_model_that_cannot_keep_rows_apart_gets_them_padded(family: str) -> None:
    model = make(family, APART[family])
    forward = choose_forward(model)

    assert forward.layout == Padded()
    assert_same(by(forward, rows()), plain(model, rows()))
    with pytest.raises(ConfigError, match=f"packing: {family.removesuffix('Text')}.* apart"):
        choose_forward(model, packing=True)


def test_chunks_that_no_row_reaches_do_no_harm() -> None:
    model = make("Llama4Text", APART["Llama4Text"])
    forward = choose_forward(model, longest=32)

    assert isinstance(forward.layout, EndToEnd)
    assert_same(by(forward, rows((32, 20))), plain(model, rows((32, 20))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_long_rows_and_short_ones_are_attended_alike(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("Mistral", SHAPE | WINDOWS).to(dtype)
    forward = Forward(model, EndToEnd(fused=False), OwnHead())
    logits = []
    for short in (0, 512):
        monkeypatch.setattr(attention, "SHORT", short)
        with forward.applied(), torch.no_grad():
            logits.append(forward.states(forward.lay(rows())).float())

    assert (logits[0] - logits[1]).norm() <= 0.02 * logits[1].norm()


def test_kernels_of_our_own_have_the_gradients_of_the_models_own_modules() -> None:
    model = make("Llama", SHAPE)
    head = OwnHead()

    assert_same(
        by(Forward(model, EndToEnd(fused=True), head), rows()),
        by(Forward(model, EndToEnd(fused=False), head), rows()),
    )
    assert "forward" not in vars(model.base_model.norm)


@pytest.mark.parametrize("fused", [True, False])
def test_kernels_of_our_own_do_not_keep_the_product_of_a_gated_layer(fused: bool) -> None:
    model, products = make("Llama", SHAPE), []
    forward = Forward(model, EndToEnd(fused), OwnHead())
    for layer in model.base_model.layers:
        layer.mlp.down_proj.register_forward_pre_hook(
            lambda _, inputs: products.append(weakref.ref(inputs[0]))
        )
    with forward.applied():
        computed = forward.loss(forward.lay(rows()))

    assert [product() is None for product in products] == [fused, fused]
    computed.backward()


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_loss_in_chunks_is_that_of_all_logits(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loss.CHUNK_LOGITS, "cpu", chunk * 96)
    model = make("Llama", SHAPE)
    model.lm_head.bias = torch.nn.Parameter(torch.randn(96))
    head = LinearHead.of(model)
    assert head is not None

    assert_same(by(Forward(model, Padded(), head), rows()), plain(model, rows()))


def test_a_frozen_head_gets_no_gradient() -> None:
    model = make("Llama", SHAPE | {"tie_word_embeddings": False})
    wanted = plain(model, rows())
    model.lm_head.weight.requires_grad_(False)
    model.zero_grad()
    found = by(choose_forward(model), rows())

    assert wanted[1].pop("lm_head.weight") is not None
    assert_same(found, wanted)


def test_recomputed_activations_change_neither_loss_nor_gradients() -> None:
    model = make("Mistral", SHAPE | WINDOWS).train()
    forward = choose_forward(model)
    model.train()
    plain = by(forward, rows())
    recompute_activations(model)

    assert_same(by(forward, rows()), plain)


def test_a_model_that_scales_its_logits_computes_all_of_them(tiny_dir: Path) -> None:
    model = load_model(tiny_dir, dtype=torch.float32)
    forward = model.forward

    def scaled(**inputs: object) -> object:
        output = forward(**inputs)
        output.logits = output.logits * 3
        return output

    assert isinstance(choose_forward(model).head, LinearHead)
    model.forward = scaled
    chosen = choose_forward(model)

    assert isinstance(chosen.head, OwnHead)
    assert_same(by(chosen, rows()), plain(model, rows()))


def test_a_model_with_a_mask_of_its_own_is_not_packed(tiny_dir: Path) -> None:
    model = load_model(tiny_dir, dtype=torch.float32)
    forward = model.base_model.forward

    def deaf(position_ids: object = None, **inputs: Any) -> object:
        return forward(**inputs)

    model.base_model.forward = deaf

    assert choose_forward(model).layout == Padded()
    with pytest.raises(ConfigError, match="packing: LlamaForCausalLM does not keep packed rows"):
        choose_forward(model, packing=True)


def test_the_choice_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        choose_forward(make("Llama", SHAPE))

    [line] = caplog.messages
    assert line == (
        "forward pass of LlamaForCausalLM: "
        "rows end to end, fused kernels, loss at targets in chunks, 2048 tokens per pass"
    )


@pytest.mark.parametrize("after", [0, 1, 2])
def test_memory_that_runs_out_while_choosing_is_not_blamed_on_the_model(after: int) -> None:
    model = make("Llama", SHAPE)
    forward, calls = model.base_model.forward, []

    def full(**inputs: Any) -> object:
        calls.append(inputs)
        if len(calls) > 3 * after:
            raise torch.OutOfMemoryError("the card is full")
        return forward(**inputs)

    model.base_model.forward = full

    with pytest.raises(torch.OutOfMemoryError):
        choose_forward(model)


def test_an_attempt_tells_what_cannot_be_from_what_has_no_room() -> None:
    def fail(error: Exception) -> torch.Tensor:
        raise error

    assert attempt(lambda: fail(RuntimeError("Sizes of tensors must match"))) is None
    with pytest.raises(RuntimeError, match="allocate"):
        attempt(lambda: fail(RuntimeError("DefaultCPUAllocator: can't allocate memory")))


def test_loss_agrees_with_that_of_transformers(
    tiny_dir: Path, rows: list[TokenizedExample]
) -> None:
    model, row = load_model(tiny_dir, dtype=torch.float32), rows[0]
    ids = torch.tensor([row.ids])
    labels = ids.clone()
    labels[:, : row.start] = -100
    with torch.no_grad():
        theirs = model(input_ids=ids, labels=labels).loss.item()
    ours, _ = by(choose_forward(model), [row])

    assert math.isclose(ours / row.targets, theirs, rel_tol=1e-5)
