"""Compiled layers train as the model's own do, or are not used."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from decompose_distill.training.config import Compile
from decompose_distill.training.engine import attention, compiling, throughput
from decompose_distill.training.engine.compiling import pays
from decompose_distill.training.engine.forward import EndToEnd, Forward, choose_forward
from tests.training.engine.test_forward import (
    APART,
    FAMILIES,
    SHAPE,
    assert_same,
    by,
    make,
    plain,
    rows,
)

Call = Callable[..., torch.Tensor]


def _choose(
    model: Any, monkeypatch: pytest.MonkeyPatch, compiler: Callable[[Call], Call]
) -> Forward:
    monkeypatch.setattr(torch, "compile", lambda call, dynamic: compiler(call))
    return choose_forward(model, compiled=True)


def _layers(forward: Forward) -> object:
    assert isinstance(forward.layout, EndToEnd)
    return forward.layout.layers


def test_layers_run_compiled_within_a_step_and_as_they_were_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def counting(call: Call) -> Call:
        return lambda *args, **named: (calls.append(call), call(*args, **named))[1]

    model = make("Llama", SHAPE)
    forward = _choose(model, monkeypatch, counting)
    calls.clear()
    found = by(forward, rows())

    assert _layers(forward)
    assert str(forward).startswith("rows end to end, compiled layers, ")
    assert len(calls) == SHAPE["num_hidden_layers"]
    assert_same(found, plain(model, rows()))
    assert len(calls) == SHAPE["num_hidden_layers"]
    assert model.config._attn_implementation not in (attention.NAME, compiling.ATTENTION)


def test_no_gradient_is_left_by_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("Llama", SHAPE)
    _choose(model, monkeypatch, lambda call: call)

    assert all(weight.grad is None for weight in model.parameters())
    assert not model.training


def test_layers_that_compile_to_something_else_are_left_as_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(call: Call) -> Call:
        return lambda *args, **named: 1.01 * call(*args, **named)

    model = make("Llama", SHAPE)
    forward = _choose(model, monkeypatch, wrong)

    assert _layers(forward) is None
    assert "layers are not compiled: they give other gradients" in caplog.messages
    assert_same(by(forward, rows()), plain(model, rows()))


def test_a_compiler_that_fails_is_told_and_the_training_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Call) -> Call:
        def call(*args: Any, **named: Any) -> torch.Tensor:
            raise RuntimeError("InvalidCxxCompiler: no g++\nand many lines more")

        return call

    model = make("Llama", SHAPE)
    forward = _choose(model, monkeypatch, broken)

    assert _layers(forward) is None
    [line] = [message for message in caplog.messages if "compiled" in message]
    assert line == "layers are not compiled: RuntimeError: InvalidCxxCompiler: no g++"
    assert_same(by(forward, rows()), plain(model, rows()))


def test_memory_that_runs_out_in_the_comparison_is_not_taken_for_a_fault_of_the_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: Call) -> Call:
        def call(*args: Any, **named: Any) -> torch.Tensor:
            raise torch.OutOfMemoryError("the card is full")

        return call

    with pytest.raises(torch.OutOfMemoryError):
        _choose(make("Llama", SHAPE), monkeypatch, full)


def test_a_model_whose_rows_are_padded_is_not_compiled_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _choose(make("Mamba", APART["Mamba"]), monkeypatch, lambda call: call)

    assert [line for line in caplog.messages if line.startswith("layers are not compiled: rows")]


@pytest.mark.parametrize(
    ("compile", "peak", "tokens", "wanted"),
    [
        ("on", None, 1, True),
        ("off", 1e9, 10**9, False),
        ("auto", None, 10**9, False),
        ("auto", 1e9, 10**3, False),
        ("auto", 1e9, 10**6, True),
    ],
)
def test_auto_compiles_on_known_cards_for_long_runs_only(
    compile: Compile,
    peak: float | None,
    tokens: int,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = throughput.ProductShare
    monkeypatch.setattr(compiling, "ProductShare", lambda model: known(model, peak))

    assert pays(compile, make("Llama", SHAPE), tokens) is wanted


@pytest.mark.smollm2  # a minute of a real compiler, so not in the default run
@pytest.mark.filterwarnings("default")  # of torch's compiler, about this machine
@pytest.mark.parametrize("family", ["Llama", "Mistral"])
def test_what_torch_compiles_gives_loss_and_gradients_of_rows_alone(family: str) -> None:
    from torch._dynamo.utils import counters  # seconds to import

    model = make(family, SHAPE | FAMILIES[family])
    forward = choose_forward(model, compiled=True)
    model.train()
    assert _layers(forward)

    by(forward, rows())
    graphs = counters["stats"]["unique_graphs"]
    for lengths in [(70, 25, 48), (30, 21), (64, 33, 17, 90), (15, 16, 17, 18, 19)]:
        assert_same(by(forward, rows(lengths)), plain(model, rows(lengths)))
    assert counters["stats"]["unique_graphs"] == graphs, "lengths are compiled anew"
