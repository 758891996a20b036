"""Models and tokenizers from the hub, a directory or a `.gguf` file, ready to run and to save."""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from decompose_distill.errors import BackendError, MissingExtraError
from decompose_distill.models.chat_template import prepare_tokenizer

logger = logging.getLogger(__name__)

ADAPTER = "adapter_config.json"


def load_model(name: str | Path, *, dtype: torch.dtype | None = None) -> Any:
    """Load a causal language model without running code from its repository.

    Args:
        name: Hub id, directory of safetensors, of a LoRA adapter, or path of a `.gguf` file.
        dtype: Of the weights; by default `best_dtype()`.

    Raises:
        BackendError: There is no such model, or the directory holds no weights.
        MissingExtraError: A `.gguf` file or an adapter without the packages that read it.
    """
    place, options = _locate(name)
    if (Path(name) / ADAPTER).is_file():
        return _load_adapter(Path(name), dtype)
    dtype = dtype or best_dtype()
    with _loading(name):
        model = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=torch.float32 if options else dtype,  # all that the reader of .gguf is good at
            use_safetensors=None if options else True,
            **options,
        )
    _forget_quantizer(model)
    _cast(model, dtype)
    return model.to(best_device()).eval()


def _cast(model: Any, dtype: torch.dtype) -> None:
    """Change the weights' number type, but not that of rotary frequencies, as `to` would."""
    for weight in model.parameters():
        weight.data = weight.data.to(dtype)
    model.config.dtype = dtype


def load_config(name: str | Path) -> Any:
    """Load a model's configuration without its weights.

    Raises:
        BackendError: There is no such model.
        MissingExtraError: A `.gguf` file without the packages that read it.
    """
    place, options = _locate(name)
    with _loading(name):
        return AutoConfig.from_pretrained(place, **options)


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
        if isinstance(model, PreTrainedModel):
            model.save_pretrained(place)
        else:  # peft's wrapper: the adapter alone
            model.save_pretrained(place, save_embedding_layers=False)
            model.generation_config.save_pretrained(place)
        tokenizer.save_pretrained(place)


def recompute_activations(model: Any) -> None:
    """Make a model compute activations twice in training instead of keeping them."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.20 or so
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def best_device() -> torch.device:
    """The accelerator where there is one, else the processor."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found or torch.device("cpu")


def best_dtype() -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32.

    Processors and older cards without such instructions emulate them, at a fraction of the speed.
    """
    device = best_device().type
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float32
    if device != "cpu":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def context_window(config: Any) -> int:
    """Longest sequence of tokens, prompt and completion, that a model takes."""
    return int(getattr(config, "max_position_embeddings", None) or 1 << 30)


def end_tokens(config: Any) -> tuple[int, ...]:
    """Ids at which generation stops, by a model's config or generation config."""
    ends = config.eos_token_id
    return tuple(ends if isinstance(ends, list | tuple) else [] if ends is None else [ends])


def _load_adapter(place: Path, dtype: torch.dtype | None) -> Any:
    """A LoRA adapter on its base model."""
    if not importlib.util.find_spec("peft"):
        raise MissingExtraError(f"{place} is a LoRA adapter: pip install 'decompose-distill[peft]'")
    from peft import PeftModel

    settings = json.loads((place / ADAPTER).read_text(encoding="utf-8"))
    model = load_model(settings["base_model_name_or_path"], dtype=dtype)
    with _loading(place), quiet_peft():
        model = PeftModel.from_pretrained(model, place).get_base_model().eval()
        model.generation_config = GenerationConfig.from_pretrained(place)
    model.config.eos_token_id = model.generation_config.eos_token_id
    return model


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
def quiet_peft() -> Iterator[None]:
    """Silence what peft 0.21 still calls by its old name in transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


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
