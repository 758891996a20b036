"""The student in memory: loaded, with adapters beside its weights, and whole again at the end."""

from typing import Any

import torch

from decompose_distill.models.chat_template import end_of_turn
from decompose_distill.models.devices import best_device
from decompose_distill.models.generation import forget_habits
from decompose_distill.models.loading import end_tokens, load_student, recompute_activations
from decompose_distill.models.quantization import check_bitsandbytes, copy_dequantized
from decompose_distill.models.speed import count_weights
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.preparation import Task
from decompose_distill.training.engine.lora import attach, check_peft
from decompose_distill.training.engine.ranks import Ranks
from decompose_distill.training.engine.sharding import (
    TRAINED_BYTES,
    gather_trained,
    is_split,
    load_split,
)

SHARE = 0.6
"""Of a card's memory that weights, gradients and moments may take; activations need the rest."""


def check_packages(config: DistillConfig) -> None:
    """Make sure that the packages are there that a training needs beside torch.

    Raises:
        MissingExtraError: One is not installed.
    """
    if config.lora_rank:
        check_peft()
    if config.quantization:
        check_bitsandbytes(f"quantization={config.quantization!r}")
    if config.optimizer == "adamw_8bit":
        check_bitsandbytes(f"optimizer={config.optimizer!r}")


def load(task: Task, ranks: Ranks) -> Any:
    """Load a student to train: a copy on each process, or split over them."""
    student, config = task.student, task.config
    dtype = None if config.dtype == "auto" else getattr(torch, config.dtype)
    adapters, split = config.lora_rank is not None, config.fsdp
    if split is None and ranks.size > 1 and not config.is_in_fewer_bits:
        split = any(ranks.gather(_exceeds_card(student, adapters=adapters)))
    if split and ranks.size > 1:
        model = load_split(ranks, student, dtype, config.device, frozen=adapters)
    else:
        bits = config.quantization
        model = load_student(student, dtype=dtype, device=config.device, quantization=bits)
    if config.gradient_checkpointing:
        recompute_activations(model)
    return model


def _exceeds_card(name: str, *, adapters: bool) -> bool:
    """Whether a card is too small for a copy of a student with its gradients and moments."""
    device = best_device()
    if device.type != "cuda":
        return False
    needed = count_weights(name) * (2 if adapters else 2 + TRAINED_BYTES)
    return needed > SHARE * torch.cuda.mem_get_info(device)[1]


def add_adapters(model: Any, task: Task) -> Any:
    """Put adapters into a model if they are to be trained: the wrapper around it, or `None`."""
    config = task.config
    if (rank := config.lora_rank) is None:
        return None
    return attach(model, rank, task.student, config.seed, short=config.master_weights)


def whole_student(model: Any, task: Task, ranks: Ranks) -> Any:
    """The trained model with all its weights: if they were split, on the first process only.

    An adapter on 4 bits that is to be added to the weights gets them in plain numbers.
    """
    if task.config.quantization and task.config.merge_lora and ranks.first:
        plain = load_student(task.student, dtype=model.dtype, device=str(model.device))
        copy_dequantized(model.get_base_model(), plain)
        wrapper = add_adapters(plain, task)
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        wrapper.load_state_dict(trained, strict=False)
        return wrapper
    if not is_split(model):
        return model
    trained = gather_trained(model)
    if not ranks.first:
        return None
    base = load_student(task.student, dtype=model.dtype, device="cpu")
    whole = add_adapters(base, task) or base
    whole.load_state_dict(trained, strict=False)
    return whole


def align_tokens(model: Any, tokenizer: Any) -> None:
    """Make config, generation config and tokenizer agree on where a completion ends.

    How the base used to be sampled is forgotten: the student is trained on none of it.
    """
    forget_habits(model.generation_config)
    known = {tokenizer.eos_token_id, end_of_turn(tokenizer), *end_tokens(model.generation_config)}
    ends = sorted(known)
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.config.eos_token_id = model.generation_config.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
