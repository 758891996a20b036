"""Models and tokenizers from the hub, a directory or a `.gguf` file, ready to run and to save."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import copyfile
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import GENERATION_CONFIG_NAME
from transformers.utils import logging as transformers_logging

from decompose_distill.errors import (
    BackendError,
    DecomposeDistillError,
    MissingExtraError,
)
from decompose_distill.models.adapters import (
    QUANTIZATION,
    adapter_base,
    adapter_quantization,
    is_adapter,
)
from decompose_distill.models.chat_template import prepare_tokenizer
from decompose_distill.models.devices import best_device, best_dtype, named_device
from decompose_distill.models.quantization import (
    check_trainable,
    copy_dequantized,
    forget_quantizer,
    is_quantized,
    keep_layout,
    nf4,
)

logger = logging.getLogger(__name__)

PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
)

LONGEST = 400
"""Characters of another library's words in an error: transformers lists every model it knows."""


def load_model(
    name: str | Path, *, dtype: torch.dtype | None = None, device: str | None = None
) -> Any:
    """Load a causal language model without running code from its repository.

    Args:
        name: Hub id, directory of safetensors, of a LoRA adapter, or path of a `.gguf` file.
        dtype: Of the weights; by default `best_dtype()`.
        device: Where it is to run; by default `best_device()`.

    Raises:
        BackendError: There is no such model, the directory holds no weights, or not all of them.
        ConfigError: There is no such device.
        MissingExtraError: A `.gguf` file or an adapter without the packages that read it.
    """
    if is_adapter(name):
        return _load_adapter(Path(name), dtype, device).get_base_model()
    return _load_whole(name, load_config(name), dtype, device)


def load_student(
    name: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | None = None,
    quantization: str | None = None,
) -> Any:
    """Load a model to train: an adapter is added to its base, and weights are plain numbers.

    Args:
        quantization: `nf4` holds linear layers in 4 bits, for adapters to be trained beside.

    Raises:
        BackendError: As for `load_model`; or the weights are quantised and stay so.
        MissingExtraError: As for `load_model`; or 4 bits without bitsandbytes.
    """
    if quantization:
        return _load_whole(name, load_config(name), dtype, device, in_bits=True)
    if is_adapter(name):
        merged = _load_adapter(Path(name), dtype, device, plain=True).merge_and_unload()
        return merged.requires_grad_(True)
    config = load_config(name)
    check_trainable(name, config, None)
    if quantization := getattr(config, "quantization_config", None):
        quantization["dequantize"] = True
    return _load_whole(name, config, dtype, device)


def _load_whole(
    name: str | Path,
    config: Any,
    dtype: torch.dtype | None,
    device: str | None,
    *,
    in_bits: bool = False,
) -> Any:
    at = best_device() if device is None else named_device(device)
    source, options = _locate(name)
    dtype = dtype or best_dtype(at)
    bits = nf4(dtype, at, f"{name} in 4 bits") if in_bits else {}
    with _loading(name):
        model, told = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=torch.float32 if options else dtype,  # all that the reader of .gguf is good at
            use_safetensors=None if options else True,
            output_loading_info=True,
            trust_remote_code=False,
            **options,
            **bits,
        )
    if missing := sorted(told["missing_keys"]):
        raise BackendError(
            f"{name} lacks {len(missing)} of its tensors, such as {missing[0]!r}: copy or download "
            "it again"
        )
    quantizer = getattr(model, "hf_quantizer", None)
    if options or getattr(getattr(quantizer, "quantization_config", None), "dequantize", False):
        forget_quantizer(model)
    if options:
        _cast(model, dtype)
    if in_bits:
        keep_layout(model)
    return model.to(at).eval()


def _cast(model: Any, dtype: torch.dtype) -> None:
    """Change the weights' number type, but not that of rotary frequencies, as `to` would."""
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)
    model.config.dtype = dtype


def load_config(name: str | Path) -> Any:
    """Load a model's configuration without its weights; of an adapter, that of its base.

    Raises:
        BackendError: There is no such model, or it is no decoder that continues a text.
        MissingExtraError: A `.gguf` file without the packages that read it.
    """
    if is_adapter(name):
        return load_config(adapter_base(name))
    source, options = _locate(name)
    with _loading(name):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False, **options)
    if getattr(config, "is_encoder_decoder", False):
        raise BackendError(
            f"{name} is an encoder-decoder ({config.model_type}), which does not continue a chat: "
            "name a decoder-only model, such as HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    return config


def load_outline(name: str | Path, dtype: torch.dtype | None = None) -> Any:
    """A model of the right shape on the device `meta`, without numbers."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            load_config(name), dtype=dtype, trust_remote_code=False
        )


def load_generation_config(name: str | Path) -> Any:
    """Load how a model is sampled by default; its configuration where it does not say.

    Raises:
        BackendError: There is no such model.
    """
    with suppress(OSError):
        return GenerationConfig.from_pretrained(str(name))
    return load_config(name)


def load_tokenizer(name: str | Path) -> Any:
    """Load a model's tokenizer, with a chat template and a pad token in any case.

    Raises:
        BackendError: There is no such tokenizer.
        ConfigError: It has no end-of-sequence token, or no chat template that is the default.
        MissingExtraError: A `.gguf` file without the packages that read it.
    """
    if is_adapter(name) and not (Path(name) / "tokenizer_config.json").is_file():
        return load_tokenizer(adapter_base(name))
    source, options = _locate(name)
    with _loading(name):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if type(tokenizer).__name__ == "MistralCommonBackend":  # it knows no chat templates
            tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    prepare_tokenizer(tokenizer)
    return tokenizer


def save_model(model: Any, tokenizer: Any, directory: Path) -> None:
    """Write an ordinary directory: safetensors, tokenizer with chat template, configs."""
    with _without_bars():
        if isinstance(model, PreTrainedModel):
            model.save_pretrained(directory)
            _copy_processor(model, directory)
        else:  # peft's wrapper: the adapter alone
            model.save_pretrained(directory, save_embedding_layers=False)
            model.generation_config.save_pretrained(directory)
            if is_quantized(model):
                model.config.quantization_config.to_json_file(directory / QUANTIZATION)
        tokenizer.save_pretrained(directory)


def _copy_processor(model: Any, directory: Path) -> None:
    """Servers open a model that also sees images by its processor, though students see none."""
    if model.config.get_text_config() is model.config:
        return
    source = model.name_or_path
    for name in PROCESSOR_FILES:
        with suppress(EntryNotFoundError, FileNotFoundError):
            local = Path(source, name) if Path(source).is_dir() else hf_hub_download(source, name)
            copyfile(local, directory / name)


def recompute_activations(model: Any) -> None:
    """Make a model compute activations twice in training instead of keeping them."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since 5.20 or so
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def context_window(config: Any) -> int:
    """Longest sequence of tokens, prompt and completion, that a model takes."""
    text = config.get_text_config()  # of a model that also sees images
    return int(getattr(text, "max_position_embeddings", None) or 1 << 30)


def end_tokens(config: Any) -> tuple[int, ...]:
    """Ids at which generation stops, by a model's config or generation config."""
    ends = config.eos_token_id
    return tuple(ends if isinstance(ends, list | tuple) else [] if ends is None else [ends])


def _load_adapter(
    directory: Path, dtype: torch.dtype | None, device: str | None, *, plain: bool = False
) -> Any:
    """A LoRA adapter in peft's wrapper, on its base model, which may have been one itself.

    Args:
        plain: Hold the base in plain numbers also where it was trained on in 4 bits.
    """
    if not importlib.util.find_spec("peft"):
        raise MissingExtraError(
            f"{directory} is a LoRA adapter: pip install 'decompose-distill[peft]'"
        )
    from peft import PeftModel

    base, in_bits = adapter_base(directory), adapter_quantization(directory) is not None
    load = load_student if in_bits or plain or is_adapter(base) else load_model
    bits = {"quantization": "nf4"} if in_bits else {}
    model = load(base, dtype=dtype, device=device, **bits)
    if in_bits and plain:
        quantized, model = model, load(base, dtype=dtype, device=device)
        copy_dequantized(quantized, model)
    with _loading(directory), quiet_peft(), warnings.catch_warnings():
        warnings.filterwarnings("error", "Found missing adapter keys")  # else they stay at random
        wrapper = PeftModel.from_pretrained(model, directory).eval()
        if (directory / GENERATION_CONFIG_NAME).is_file():
            model.generation_config = GenerationConfig.from_pretrained(directory)
            model.config.eos_token_id = model.generation_config.eos_token_id
    return wrapper


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
    except DecomposeDistillError:
        raise
    except Exception as error:  # readers of weights raise all kinds
        words = str(error)
        if "trust_remote_code" in words:
            words = "it brings code of its own (auto_map), which is never run"
        raise BackendError(
            f"cannot load {str(name)!r}: {shorten(words, LONGEST)}. Give a hub id, a directory "
            "written by save_pretrained, or a .gguf file"
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
    shown, bar = transformers_logging.is_progress_bar_enabled(), modeling_gguf_pytorch_utils.tqdm
    transformers_logging.disable_progress_bar()
    # This one does not ask whether bars are wanted.
    modeling_gguf_pytorch_utils.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = bar
        if shown:
            transformers_logging.enable_progress_bar()
