"""Norms, rotary positions and gated activations in few passes over memory.

They compute what a model's own modules compute, and `choose_forward` and `fastest_decode` prove it
on each model. Their gradients are tested against autograd's.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F

ROTARY = "apply_rotary_pos_emb"
"""Name of the function in the modules of transformers that turns queries and keys."""


@contextmanager
def fused_kernels(model: torch.nn.Module) -> Iterator[None]:
    """Let a model compute with the kernels of this module, forward and backward."""
    changed: list[tuple[Any, str, Any]] = []
    for part in model.modules():
        if (forward := _fused_forward(part)) is not None:
            changed.append((part, "forward", None))
            part.forward = forward
    source = sys.modules[type(model).__module__]
    rotary = getattr(source, ROTARY, None)
    if rotary and list(inspect.signature(rotary).parameters) == [*"qk", "cos", "sin", _UNSQUEEZE]:
        changed.append((source, ROTARY, rotary))
        setattr(source, ROTARY, rotate)
    try:
        yield
    finally:
        for part, name, before in changed:
            setattr(part, name, before) if before else delattr(part, name)


_UNSQUEEZE = "unsqueeze_dim"
_GATED = ("gate_proj", "up_proj", "down_proj")


def _fused_forward(part: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """How a module of a known kind computes here; `None` for all others."""
    name = type(part).__name__
    if name.endswith("RMSNorm") and hasattr(part, "variance_epsilon"):
        return lambda x: rms_norm(x, part.weight, part.variance_epsilon)
    gate = type(getattr(part, "act_fn", None)).__name__
    if "SiLU" in gate and all(hasattr(part, layer) for layer in _GATED):
        return lambda x: _forgetting(part.down_proj, gated(part.gate_proj(x), part.up_proj(x)))
    return None


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """x / √(mean(x²) + ε) · weight over the last dimension, on a card by torch's own kernel."""
    if x.is_cuda:
        return F.rms_norm(x, x.shape[-1:], weight, epsilon)
    normed: torch.Tensor = _RMSNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
    return normed


def gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) · up."""
    product: torch.Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    return product


def rotate(
    q: torch.Tensor,
    k: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn the halves of queries and keys by their positions (arXiv 2104.09864)."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    turned = (_Rotated.apply(x, cos, sin) for x in (q, k))  # type: ignore[no-untyped-call]
    return next(turned), next(turned)


class _RMSNorm(torch.autograd.Function):
    """Keeps the input, which the residual keeps anyway, and a number per row."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        normed: torch.Tensor = (x * inverse.to(x.dtype)).mul_(weight)
        return normed

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (grad,) = grads
        x, weight, inverse = ctx.saved_tensors
        inverse_short = inverse.to(x.dtype)
        normed = x * inverse_short
        of_weight = (grad * normed).flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        inner = grad * weight
        along = (inner * normed).sum(-1, keepdim=True, dtype=torch.float32).div_(x.shape[-1])
        return (
            normed.mul_(along.to(x.dtype)).neg_().add_(inner).mul_(inverse_short),
            of_weight,
            None,
        )


class _Rotated(torch.autograd.Function):
    """A rotation, whose gradient is the rotation back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        cos, sin = ctx.saved_tensors
        return _turn(grads[0], cos, sin, -1), None, None


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: int) -> torch.Tensor:
    half = x.shape[-1] // 2
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return turned


class _Gated(torch.autograd.Function):
    """silu(gate) · up, which is computed again in the backward pass instead of kept."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        ctx.opened = None
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        (grad,) = grads
        (gate, up, active), ctx.opened = _opened(ctx), None
        of_gate = torch.ops.aten.silu_backward(grad * up, gate)
        return of_gate, active.mul_(grad)


def _opened(node: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gate, up and silu(gate) of a `_Gated`.

    Opened once, because activations that are computed twice can be read only once.
    """
    if node.opened is None:
        gate, up = node.saved_tensors
        node.opened = gate, up, F.silu(gate)
    opened: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = node.opened
    return opened


def _forgetting(layer: torch.nn.Module, product: torch.Tensor) -> torch.Tensor:
    """Apply a layer to a result of `gated`, which it does not keep for its own gradients.

    That product is about a quarter of all that a transformer's layer keeps.
    """
    node: Any = product.grad_fn
    storage, numbers = product.untyped_storage()._cdata, product.numel()

    def keep(tensor: torch.Tensor) -> Any:
        known = tensor.untyped_storage()._cdata == storage and tensor.numel() == numbers
        return tensor.shape if known else tensor

    def restore(kept: Any) -> torch.Tensor:
        if isinstance(kept, torch.Tensor):
            return kept
        _, up, active = _opened(node)
        return (active * up).view(kept)

    with torch.autograd.graph.saved_tensors_hooks(keep, restore) if node else nullcontext():
        mixed: torch.Tensor = layer(product)
    return mixed
