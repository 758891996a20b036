"""Models whose linear layers are held in 4 bits (QLoRA, arXiv 2305.14314), by bitsandbytes."""

import importlib.util
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import AutoQuantizationConfig

from decompose_distill.errors import BackendError, MissingExtraError
from decompose_distill.models.adapters import is_adapter


def check_bitsandbytes(use: str) -> None:
    """Make sure that bitsandbytes is there, and import it.

    On some processors it would fetch a kernel from the hub and run it, where the package
    `kernels` is installed; it computes without.

    Args:
        use: What needs it, for the message.

    Raises:
        MissingExtraError: It is not installed, or not what transformers loads with it.
    """
    hint = f"{use} needs bitsandbytes: pip install 'decompose-distill[bitsandbytes]'"
    if not importlib.util.find_spec("accelerate"):
        raise MissingExtraError(hint)
    hidden = "kernels" not in sys.modules
    if hidden:
        sys.modules["kernels"] = None  # type: ignore[assignment]
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(hint) from error
    finally:
        if hidden:
            del sys.modules["kernels"]


def check_trainable(name: str | Path, config: Any, quantization: str | None) -> None:
    """Make sure that a model's weights can be trained, before anything else is done.

    Args:
        config: The model's, as `load_config` gives it.
        quantization: How its weights are to be held under adapters.

    Raises:
        BackendError: They are quantised in a form that transformers cannot undo, or are to be
            put into 4 bits and are no plain numbers.
    """
    before = getattr(config, "quantization_config", None)
    if before is not None and not _can_be_undone(before):
        raise BackendError(
            f"{name} is quantised ({before.get('quant_method')}), and such weights cannot be "
            "trained: name the model it was made from, and set lora_rank, or quantization='nf4' "
            "too, if memory is short"
        )
    reasons = {
        "is a .gguf file": Path(name).suffix == ".gguf",
        "is a LoRA adapter": is_adapter(name),
        "is quantised already": before is not None,
    }
    if quantization and (reason := next((words for words in reasons if reasons[words]), None)):
        raise BackendError(
            f"{name} {reason}, and quantization={quantization!r} starts from plain numbers: name "
            "the model it was made from, or train with quantization=None"
        )


def _can_be_undone(quantization: Mapping[str, Any]) -> bool:
    try:
        known = AutoQuantizationConfig.from_dict(dict(quantization))
    except Exception:  # transformers does not know the method, or needs a package for it
        return False
    return hasattr(known, "dequantize")


def nf4(dtype: torch.dtype, at: torch.device, use: str) -> dict[str, Any]:
    """How transformers is told to load linear layers in 4 bits, and their scales in 8.

    Args:
        dtype: In which products are computed.
        at: Where the model is to run.
        use: As in `check_bitsandbytes`.

    Raises:
        MissingExtraError: As for `check_bitsandbytes`.
    """
    check_bitsandbytes(use)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": str(at)}}


def is_quantized(model: Any) -> bool:
    """Whether a model's linear layers are held in 4 bits."""
    return any(True for _ in _layers(model))


def keep_layout(model: Any) -> None:
    """Let layers compute in one way.

    On processors with AVX-512 BF16 bitsandbytes packs them anew at the first call without
    gradients, and later ones would give no gradients.
    """
    for _, layer in _layers(model):
        layer.support_avx512bf16_for_cpu = False


@torch.no_grad()
def copy_dequantized(model: Any, whole: Any) -> None:
    """Copy what the 4 bits of a model stand for to the same model in plain numbers.

    Args:
        model: Adapters may be attached to it.
        whole: None may be attached to this one.
    """
    from bitsandbytes.functional import dequantize_4bit

    for name, layer in _layers(model):
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        plain = whole.get_submodule(name.removesuffix(".base_layer"))
        plain.weight.copy_(weight.T if isinstance(plain, Conv1D) else weight)  # GPT-2's lie across


def forget_quantizer(model: Any) -> None:
    """Take the marks off a model whose weights are plain numbers again; it is not saved else."""
    if getattr(model, "hf_quantizer", None) is None:
        return
    model.hf_quantizer = None
    for mark in ("is_quantized", "quantization_method", "is_loaded_in_8bit", "is_loaded_in_4bit"):
        if mark in model.__dict__:
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if hasattr(getattr(module, "weight", None), "quant_state"):
            yield name, module
