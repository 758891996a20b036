"""A model whose weights are split over processes, by torch's FSDP2: for what fits no single card.

Rank 0 loads the student as one process would, whatever it is, and the others get their parts.
"""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch

from decompose_distill.errors import ConfigError
from decompose_distill.models.devices import best_device, best_dtype, named_device
from decompose_distill.models.loading import load_outline, load_student
from decompose_distill.training.engine.ranks import Ranks

T = TypeVar("T")

OLDEST_TORCH = "2.8"
"""Which writes the parts of a split model as safetensors."""
TRAINED_BYTES = 16
"""Per trained weight, at most: a copy, a gradient and two moments in float32."""


def is_split(model: Any) -> bool:
    """Whether a model's weights are split over processes."""
    return any(hasattr(weight, "to_local") for weight in model.parameters())


def local(tensor: Any) -> torch.Tensor:
    """This process's part of a tensor; all of one that is not split."""
    part: torch.Tensor = tensor.detach().to_local() if hasattr(tensor, "to_local") else tensor
    return part


def like(part: torch.Tensor, weight: Any) -> torch.Tensor:
    """A process's part as the whole that it is part of, if the weight is split."""
    if hasattr(weight, "to_local"):
        layout = weight.device_mesh, weight.placements
        part = weight.from_local(part, *layout, shape=weight.shape, stride=weight.stride())
    return part


def within(model: Any, compute: Callable[[], T]) -> T:
    """Compute as in the model's own forward pass, where weights outside of layers are whole too."""
    result: T = model.within(compute) if is_split(model) else compute()
    return result


def load_split(
    ranks: Ranks, name: str, dtype: torch.dtype | None, device: str | None, *, frozen: bool = False
) -> Any:
    """Load a student on the first process, and give each its part of every weight.

    Args:
        frozen: Whether its weights are not trained, but adapters beside them.

    Raises:
        ConfigError: This torch cannot split a model and write its parts.
    """
    if torch.__version__ < OLDEST_TORCH:
        raise ConfigError(
            f"fsdp=True needs torch {OLDEST_TORCH} or newer, not {torch.__version__}: "
            "fsdp=False keeps a copy of the student in each process"
        )
    from torch.distributed import device_mesh, fsdp

    at = best_device() if device is None else named_device(device)
    dtype = dtype or best_dtype(at)
    whole = load_student(name, dtype=dtype, device="cpu") if ranks.first else None
    ranks.gather(None)  # a failure is told here at once
    model = load_outline(name, dtype).requires_grad_(not frozen)
    mesh = device_mesh.init_device_mesh(at.type, (ranks.size,))
    policy = fsdp.MixedPrecisionPolicy(reduce_dtype=torch.float32)
    kinds = model._no_split_modules or ()
    layers = [part for part in model.modules() if type(part).__name__ in kinds]
    for part in [*layers, model]:
        fsdp.fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        part.set_gradient_divide_factor(1.0)  # gradients are sums here, not means
        part.set_force_sum_reduction_for_comms(True)
    model.within = lambda compute: compute()
    fsdp.register_fsdp_forward_method(model, "within")
    model.to_empty(device=at)
    model.tie_weights()
    _fill(ranks, model, whole)
    return model.eval()


@torch.no_grad()
def _fill(ranks: Ranks, model: Any, whole: Any) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, whole.state_dict() if ranks.first else {}, options=options)
    buffers = ranks.once(lambda: dict(whole.named_buffers()))  # not all are in a state
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])


def gather_trained(model: Any) -> dict[str, Any]:
    """What was trained, from all processes, whole; nothing on any process but the first."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    return get_model_state_dict(model, options=whole)


def write_parts(state: dict[str, torch.Tensor], directory: Path) -> None:
    """Write split tensors by torch.distributed.checkpoint, as safetensors: a file per process.

    Raises:
        OSError: A process could not write its part.
    """
    from torch.distributed.checkpoint import api, hf_storage, state_dict_saver

    writer = hf_storage.HuggingFaceStorageWriter(str(directory), save_distributed=True)
    try:
        state_dict_saver.save(state, storage_writer=writer)
    except api.CheckpointException as error:  # no Exception, but what is above them
        raise OSError(str(error)) from error


def read_parts(
    blank: Callable[[Iterable[str]], dict[str, torch.Tensor]], directory: Path
) -> dict[str, torch.Tensor]:
    """Read what any number of processes wrote, split or whole, into tensors that are split now.

    Args:
        blank: Makes tensors to read into, by their names.

    Raises:
        OSError: A process could not read its part.
    """
    from torch.distributed.checkpoint import api, hf_storage, state_dict_loader

    reader = hf_storage.HuggingFaceStorageReader(str(directory))
    state = blank(reader.read_metadata().state_dict_metadata)
    try:
        # One process is told that it is alone.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            state_dict_loader.load(state, storage_reader=reader)
    except api.CheckpointException as error:
        raise OSError(str(error)) from error
    return state
