"""A model whose weights are split over processes, by torch's FSDP2: for what fits no single card.

Rank 0 loads the student as one process would, whatever it is, and the others get their parts.
"""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

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
    if not hasattr(weight, "to_local"):
        return part
    from torch.distributed.tensor import DTensor

    shape: dict[str, Any] = {"shape": weight.shape, "stride": weight.stride()}
    return DTensor.from_local(part, weight.device_mesh, weight.placements, **shape)


def within(model: Any, compute: Callable[[], T]) -> T:
    """Compute as in the model's own forward pass, where also weights outside of layers are whole.

    FSDP2 gathers those when the model is called, and this calls the computation in its place.
    """
    if not is_split(model):
        return compute()
    model.forward = lambda _: compute()
    try:
        result: T = model(None)
        return result
    finally:
        del model.forward


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
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    at = best_device() if device is None else named_device(device)
    dtype = dtype or best_dtype(at)
    whole = load_student(name, dtype=dtype, device="cpu") if ranks.first else None
    ranks.gather(None)  # a failure is told here at once
    model = load_outline(name, dtype).requires_grad_(not frozen)
    mesh = init_device_mesh(at.type, (ranks.size,))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    kinds = model._no_split_modules or ()
    layers = [part for part in model.modules() if type(part).__name__ in kinds]
    for part in [*layers, model]:
        fully_shard(part, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
        part.set_gradient_divide_factor(1.0)  # gradients are sums here, not means
        part.set_force_sum_reduction_for_comms(True)
    model.to_empty(device=at)
    model.tie_weights()
    _fill(ranks, model, whole)
    return model.eval()


@torch.no_grad()
def _fill(ranks: Ranks, model: Any, whole: Any) -> None:
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        part = local(tensor)
        full = torch.empty(tensor.shape, dtype=part.dtype, device=part.device)
        if whole is not None:
            owner, _, last = name.rpartition(".")
            full.copy_(getattr(whole.get_submodule(owner), last))
        dist.broadcast(full, 0)
        begin = 0 if part is tensor else ranks.rank * -(-len(full) // ranks.size)
        part.copy_(full[begin : begin + len(part)] if part is not tensor else full)


@torch.no_grad()
def gather_trained(model: Any, whole: Any) -> None:
    """Copy what was trained, from all processes, to a model that has all its weights.

    Args:
        whole: `None` on all processes but the first.
    """
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            full = weight.full_tensor() if hasattr(weight, "to_local") else weight
            if whole is not None:
                whole.get_parameter(name).copy_(full)


def write_parts(state: dict[str, torch.Tensor], directory: Path) -> None:
    """Write split tensors by torch.distributed.checkpoint, as safetensors: a file per process.

    Raises:
        OSError: A process could not write its part.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
    try:
        save(state, storage_writer=writer)
    except CheckpointException as error:  # no Exception, but what is above them
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
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(directory))
    state = blank(reader.read_metadata().state_dict_metadata)
    try:
        with warnings.catch_warnings():  # one process is told that it is alone
            warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
            load(state, storage_reader=reader, no_dist=not dist.is_initialized())
    except CheckpointException as error:
        raise OSError(str(error)) from error
    return state
