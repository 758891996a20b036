"""Low-rank adapters (arXiv 2106.09685) through peft."""

from typing import Any

import torch

from decompose_distill.errors import MissingExtraError
from decompose_distill.models.loading import quiet_peft

ALPHA = 2
"""Scale of the adapter over its rank, so that the learning rate suits any rank."""


def check_peft() -> None:
    """Make sure that peft is there.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import peft  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "lora_rank needs peft: pip install 'decompose-distill[peft]'"
        ) from error


def attach(model: Any, rank: int, base_model: str, seed: int = 0) -> Any:
    """Freeze a model and put adapters into all its linear layers, in place; return the wrapper."""
    import peft

    torch.manual_seed(seed)  # adapters begin at random
    settings = peft.LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_model,
    )
    with quiet_peft():
        wrapper = peft.get_peft_model(model, settings)
    wrapper.peft_config["default"].base_model_name_or_path = base_model
    return wrapper
