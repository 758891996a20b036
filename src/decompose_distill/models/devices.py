"""Which device and number type a model is held in."""

import torch

from decompose_distill.errors import (
    ConfigError,
)


def best_device() -> torch.device:
    """The accelerator if there is one, else the processor."""
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def named_device(name: str) -> torch.device:
    """The device of a name, such as `cpu` or `cuda:1`.

    Raises:
        ConfigError: There is none.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used: {reason}") from error
    return device


def best_dtype(at: torch.device | None = None) -> torch.dtype:
    """bfloat16 if the hardware multiplies it natively, else float32.

    Processors and older cards without such instructions emulate them, at a fraction of the speed.
    """
    device = (at or best_device()).type
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float32
    if device != "cpu":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32
