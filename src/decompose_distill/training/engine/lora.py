"""Low-rank adapters (arXiv 2106.09685) through peft."""

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from decompose_distill.errors import ConfigError, MissingExtraError
from decompose_distill.models.attention import probe_ids
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


def attach(model: Any, rank: int, base_model: str, seed: int = 0, *, short: bool = False) -> Any:
    """Freeze a model, put adapters into its linear layers, in place, and return the wrapper.

    Args:
        short: Keep adapters in the model's own number type rather than in float32: for where
            their updates are collected in float32 copies. Nothing is cast in a step then.

    Raises:
        ConfigError: It has no layer that an adapter fits.
    """
    import peft

    torch.manual_seed(seed)  # adapters begin at random
    if not (targets := _targets(model)):
        raise ConfigError(
            f"lora_rank={rank}: {type(model).__name__} has no linear layer for an adapter: train "
            "all its weights, with lora_rank=None"
        )
    settings = peft.LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        target_modules=targets,
        fan_in_fan_out=isinstance(model.get_submodule(targets[0]), Conv1D),  # GPT-2's
        task_type="CAUSAL_LM",
    )
    try:
        with quiet_peft():
            wrapper = peft.get_peft_model(model, settings, autocast_adapter_dtype=not short)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(
            f"lora_rank={rank}: peft puts no adapters into {type(model).__name__}: {error}. Train "
            "all its weights, with lora_rank=None"
        ) from error
    wrapper.peft_config["default"].base_model_name_or_path = base_model
    return wrapper


def _targets(model: Any) -> list[str]:
    """Names of the linear layers of the text model, without its head.

    Left out is what an adapter cannot stand beside: layers that give more than a tensor, as the
    routers of Llama 4, and the last one of a state-space mixer, whose weight fused kernels read.
    """
    text, head = model.get_decoder(), model.get_output_embeddings()
    inside = {id(module) for module in text.modules()} - {id(head)}
    mixers = [module for module in text.modules() if hasattr(module, "A_log")]
    fused = {id(getattr(mixer, "out_proj", None)) for mixer in mixers if hasattr(mixer, "D")}
    unsuited = fused | _giving_more_than_a_tensor(model)
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and id(module) in inside - unsuited
    ]


@torch.no_grad()
def _giving_more_than_a_tensor(model: Any) -> set[int]:
    """Linear layers, by identity, that are no function from tensor to tensor: by trying."""
    unsuited: set[int] = set()

    def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(output, torch.Tensor):
            unsuited.add(id(module))

    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    hooks = [module.register_forward_hook(look) for module in linear]
    try:
        model(input_ids=torch.tensor([probe_ids(model, 4)], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return unsuited
