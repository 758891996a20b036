"""Models and tokenizers from the hub, a directory or a `.gguf` file, ready to run and to save."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from decompose_distill.chat import prepare_tokenizer
from decompose_distill.errors import BackendError, MissingExtraError

logger = logging.getLogger(__name__)


def load_model(name: str | Path, *, dtype: torch.dtype | None = None) -> Any:
    """Load a causal language model without running code from its repository.

    Args:
        name: Hub id, local directory, or path of a `.gguf` file.
        dtype: Of the weights; by default `best_dtype()`.

    Raises:
        BackendError: There is no such model, or the directory holds no weights.
        MissingExtraError: A `.gguf` file without the packages that read it.
    """
    place, options = _locate(name)
    with _loading(name):
        model = AutoModelForCausalLM.from_pretrained(place, dtype=dtype or best_dtype(), **options)
    _forget_quantizer(model)
    return model.to(best_device()).eval()


def load_tokenizer(name: str | Path) -> Any:
    """Load a model's tokenizer, with a chat template and a pad token in any case.

    Raises:
        BackendError: There is no such tokenizer.
        MissingExtraError: A `.gguf` file without the packages that read it.
    """
    place, options = _locate(name)
    with _loading(name):
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    prepare_tokenizer(tokenizer)
    return tokenizer


def save_model(model: Any, tokenizer: Any, place: Path) -> None:
    """Write an ordinary directory: safetensors, tokenizer with chat template, configs."""
    with _without_bars():
        model.save_pretrained(place)
        tokenizer.save_pretrained(place)


def best_device() -> torch.device:
    """The accelerator where there is one, else the processor."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def best_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32.

    A processor without such instructions emulates them at a fraction of its float32 speed.
    """
    if best_device().type != "cpu":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def context_window(model: Any) -> int:
    """Longest sequence of tokens, prompt and completion, that the model takes."""
    return int(getattr(model.config, "max_position_embeddings", None) or 1 << 30)


def _locate(name: str | Path) -> tuple[str, dict[str, str]]:
    path = Path(name)
    if path.suffix == ".gguf":
        return _locate_gguf(path)
    if path.is_dir() and not any(path.glob("*.safetensors")):
        raise BackendError(
            f"{path} holds no *.safetensors weights: name a directory written by save_pretrained"
        )
    if not path.exists() and (path.is_absolute() or str(name).startswith(".")):
        raise BackendError(f"{path}: no such model directory")
    return str(name), {}


def _locate_gguf(path: Path) -> tuple[str, dict[str, str]]:
    if not path.is_file():
        raise BackendError(f"{path}: no such .gguf file")
    if not all(importlib.util.find_spec(package) for package in ("gguf", "accelerate")):
        raise MissingExtraError(
            f"{path} needs the packages that read .gguf files: "
            "pip install 'decompose-distill[gguf]'"
        )
    return str(path.parent), {"gguf_file": path.name}


@contextmanager
def _loading(name: str | Path) -> Iterator[None]:
    """Map what a load raises."""
    try:
        with _without_bars():
            yield
    except Exception as error:  # readers of weights raise all kinds
        raise BackendError(
            f"cannot load {str(name)!r}: {error}. Give a hub id, a directory written by "
            "save_pretrained, or a .gguf file"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Silence transformers' own progress bars, which say nothing a user waits for."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _forget_quantizer(model: Any) -> None:
    """A GGUF model is plain floats once loaded, but refuses to be saved while marked."""
    if getattr(model, "hf_quantizer", None) is None:
        return
    model.hf_quantizer = None
    for mark in ("is_quantized", "quantization_method", "is_loaded_in_8bit", "is_loaded_in_4bit"):
        if mark in model.__dict__:
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
