"""A small Llama with its own tokenizer, made from nothing: the student that needs no download."""

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from decompose_distill.models.loading import save_model

TURN_START, TURN_END = "<|start|>", "<|end|>"

TEMPLATE = (
    "{% for message in messages %}"
    f"{TURN_START}"
    "{{ message['role'] + '\\n' + message['content'] }}"
    f"{TURN_END}"
    "{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    f"{TURN_START}"
    "{{ 'assistant\\n' }}{% endif %}"
)


def make_tiny_student(
    texts: Iterable[str],
    output_dir: str | Path,
    *,
    hidden_size: int = 256,
    layers: int = 4,
    vocab_size: int = 2048,
    context_window: int = 512,
    seed: int = 0,
) -> Path:
    """Train a byte-level BPE tokenizer on texts and save it with a randomly initialised Llama.

    Example:
        ```python
        base = make_tiny_student(["How old is Ada?", "How old is Bob?"], "runs/tiny")
        ```
    """
    tokenizer = _tokenizer(texts, vocab_size, context_window)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden_size // 64),
        max_position_embeddings=context_window,
        tie_word_embeddings=True,
        initializer_range=hidden_size**-0.5,  # the usual 0.02 leaves so narrow a model on a plateau
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    save_model(LlamaForCausalLM(config), tokenizer, Path(output_dir))
    return Path(output_dir)


def _tokenizer(
    texts: Iterable[str], vocab_size: int, context_window: int
) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|pad|>", TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        eos_token=TURN_END,
        additional_special_tokens=[TURN_START],
        chat_template=TEMPLATE,
        model_max_length=context_window,
    )
