"""A batch goes on as each of its prompts would alone, whatever the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from decompose_distill import Message, Request, Sampling
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.models import past
from decompose_distill.models.attention import reach
from decompose_distill.models.generation import (
    decode,
    decode_by_turns,
    follows_past,
    generate_plainly,
    ignores_padding,
)

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
WINDOWS = {"sliding_window": 16, "head_dim": 8}
SLIDING = WINDOWS | {"query_pre_attn_scalar": 8, "layer_types": 2 * ["sliding_attention"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": WINDOWS,
    "Phi3": {"sliding_window": 16},
    "Gemma2": SLIDING,
    "Gemma3Text": SLIDING,
    "GptOss": WINDOWS | {"num_local_experts": 2, "num_experts_per_tok": 1},
}
GREEDY = Sampling(max_new_tokens=12)


def _make(family: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def _prompts(lengths: tuple[int, ...] = (14, 60, 21), shared: int = 10) -> list[list[int]]:
    return [
        [7 * at if at < shared else (at * at + length) % 96 for at in range(length)]
        for length in lengths
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_long_prompts_do_not_spoil_short_ones_whatever_the_window(family: str) -> None:
    model = _make(family, SHAPE | FAMILIES[family])
    together = decode(model, _prompts(), GREEDY, frozenset())
    alone = [generate_plainly(model, [p], GREEDY, frozenset(), pad=0)[0] for p in _prompts()]

    assert follows_past(model, reach(model.config) or 0)
    assert together == alone
    assert model.config._attn_implementation != past.NAME


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_of_our_own_write_the_same_tokens(family: str) -> None:
    model = _make(family, SHAPE | FAMILIES[family])
    plain = decode(model, _prompts(), GREEDY, frozenset())

    fits = follows_past(model, reach(model.config) or 0, fused=True)
    assert fits == (family != "GptOss")  # whose positions turn in a form of its own
    if fits:
        assert decode(model, _prompts(), GREEDY, frozenset(), fused=True) == plain


@pytest.mark.parametrize("family", ["Llama", "Gemma2"])
def test_a_past_that_outgrows_its_room_is_kept(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "ROOM", 5)
    model, ends = _make(family, SHAPE | FAMILIES[family]), frozenset(range(90, 96))
    together = decode(model, _prompts(), GREEDY, ends)
    alone = [generate_plainly(model, [p], GREEDY, ends, pad=0)[0] for p in _prompts()]

    assert together == alone


UNLIKE = (14, 60, 21, 33, 12, 47, 19)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_prompts_that_wait_for_a_slot_are_continued_as_if_alone(
    family: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "ROOM", 3)
    model = _make(family, SHAPE | FAMILIES[family])
    sampling = Sampling(temperature=temperature, max_new_tokens=12, seed=1)
    endless = decode(model, _prompts(UNLIKE), sampling, frozenset())
    ends = frozenset([endless[0][2], endless[1][6]])
    alone = [decode(model, [prompt], sampling, ends)[0] for prompt in _prompts(UNLIKE)]

    assert decode(model, _prompts(UNLIKE), sampling, ends, slots=3) == alone
    assert len(alone[0]) <= 3


def test_slots_are_refilled_as_soon_as_one_is_free_and_the_model_is_free_in_between() -> None:
    model, ends = _make("Llama", SHAPE), frozenset(range(80, 96))
    rows: list[int] = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    turns = decode_by_turns(model, _prompts(UNLIKE), GREEDY, ends, 3)
    numbers = []
    for number, _ in turns:
        numbers.append(number)
        assert model.config._attn_implementation != past.NAME

    assert sorted(numbers) == list(range(len(UNLIKE)))
    assert max(rows) == 3


def test_chunks_of_attention_are_left_to_the_model() -> None:
    settings = {"head_dim": 8, "num_local_experts": 2, "attention_chunk_size": 16}

    assert not follows_past(_make("Llama4Text", SHAPE | settings))


def _rwkv() -> Any:
    settings = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "eos_token_id": 2}
    return _make("Rwkv", settings | {"attention_hidden_size": 32, "intermediate_size": 48})


def test_a_model_that_reads_padding_gets_its_prompts_one_by_one() -> None:
    model = _rwkv()
    alone = [generate_plainly(model, [p], GREEDY, frozenset([2]), pad=0)[0] for p in _prompts()]

    assert not follows_past(model)
    assert not ignores_padding(model, 0)
    together = generate_plainly(model, _prompts(), GREEDY, frozenset([2]), pad=0, together=False)
    assert together == alone


def test_a_model_without_padding_trouble_keeps_its_batches(tiny_dir: Path) -> None:
    assert ignores_padding(_make("Llama", SHAPE), 0)


def test_memory_that_runs_out_while_a_past_is_tried_is_told() -> None:
    model = _make("Llama", SHAPE)

    def full(**inputs: Any) -> object:
        raise torch.OutOfMemoryError("the card is full")

    model.base_model.forward = full

    with pytest.raises(torch.OutOfMemoryError):
        follows_past(model)


def test_a_window_is_tried_only_once_a_batch_reaches_beyond_it(
    tiny_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    backend = TransformersBackend(tiny_dir, dtype="float32", device="cpu")
    backend.model.config.sliding_window = 64
    monkeypatch.setattr(
        "decompose_distill.models.generation.follows_past",
        lambda model, beyond, fused: not tried.append(beyond),
    )
    for words in (1, 2, 100, 120):
        request = Request("a", (Message("user", "Ada " * words),), Sampling(max_new_tokens=2))
        list(backend.generate([request]))

    assert tried == [0, 64]


def test_a_turn_ends_where_the_chat_template_says(tiny_dir: Path) -> None:
    backend = TransformersBackend(tiny_dir)
    end = backend.tokenizer.eos_token
    backend.tokenizer.eos_token = backend.tokenizer.pad_token
    backend.model.generation_config.eos_token_id = None

    assert backend.tokenizer.convert_tokens_to_ids(end) in backend._ends
