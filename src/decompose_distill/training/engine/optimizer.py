"""AdamW over the trainable weights, with a float32 copy of them if that is asked for."""

import math
from typing import Any

import torch

from decompose_distill.training.config import DistillConfig, Schedule

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """Updates a model in place; its whole state is a mapping of names to tensors.

    A bfloat16 weight has three digits, so that an update below a four hundredth of it is lost.
    `master_weights` collects updates in float32 and copies the result back.

    Args:
        model: Its parameters that require gradients are trained.
        config: `weight_decay`, `max_grad_norm`, `master_weights`.
    """

    def __init__(self, model: Any, config: DistillConfig) -> None:
        self.weights: dict[str, torch.Tensor] = {
            name: weight for name, weight in model.named_parameters() if weight.requires_grad
        }
        self.updated = {
            name: weight.detach().float() if config.master_weights and _short(weight) else weight
            for name, weight in self.weights.items()
        }
        # Biases and the gains of norms are not decayed, as is usual: their rest is not at 0.
        matrices = [weight for weight in self.updated.values() if weight.ndim > 1]
        others = [weight for weight in self.updated.values() if weight.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": decay}
            for weights, decay in ((matrices, config.weight_decay), (others, 0.0))
            if weights
        ]
        self._adamw = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self._max_grad_norm = config.max_grad_norm

    @torch.no_grad()
    def step(self, learning_rate: float) -> torch.Tensor:
        """Clip the gradients, update, clear them, and return their norm before clipping.

        The norm is a scalar on the device, which nothing here waits for. Weights stay as they
        were if it is not finite.
        """
        learned = {name: weight for name, weight in self.weights.items() if weight.grad is not None}
        grads = [weight.grad for weight in learned.values()]
        # In float32, as the norm of bfloat16 gradients has three digits in their own numbers.
        norms = torch.stack(torch._foreach_norm(grads, 2, dtype=torch.float32))  # type: ignore[arg-type]
        norm: torch.Tensor = torch.linalg.vector_norm(norms)
        # The same factor as that of torch's `clip_grad_norm_`.
        clipped = (self._max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        # The fused kernel divides by `grad_scale`, and leaves all as it is if `found_inf` is set.
        self._adamw.grad_scale = clipped.reciprocal()  # type: ignore[attr-defined]
        self._adamw.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._update(learned)
        self.zero_grad()
        return norm

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    def state(self) -> dict[str, torch.Tensor]:
        """Everything a later step depends on: weights, float32 copies, moments."""
        tensors = {f"weight.{name}": weight.detach() for name, weight in self.weights.items()}
        for name, weight in self.updated.items():
            if weight is not self.weights[name]:
                tensors[f"master.{name}"] = weight
            moments = self._adamw.state.get(weight, {})
            tensors |= {f"{kind}.{name}": moments[kind] for kind in _MOMENTS if kind in moments}
        return tensors

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from the state after `steps` steps."""
        for name, weight in self.weights.items():
            weight.copy_(state[f"weight.{name}"])
        for name, weight in self.updated.items():
            if weight is not self.weights[name]:
                whole = state.get(f"master.{name}")  # adapters were in float32 once
                weight.copy_(state[f"weight.{name}"] if whole is None else whole)
            self._adamw.state.pop(weight, None)
            if f"{_MOMENTS[0]}.{name}" in state:  # else it never had a gradient
                moments = {kind: state[f"{kind}.{name}"].to(weight.device) for kind in _MOMENTS}
                count = torch.tensor(float(steps), device=weight.device)
                self._adamw.state[weight] = {"step": count, **moments}

    def _update(self, learned: dict[str, torch.Tensor]) -> None:
        """Update weights that have gradients; copies in float32 take and give in two calls."""
        copied = [name for name in learned if self.updated[name] is not learned[name]]
        copies = [self.updated[name] for name in copied]
        if copies:
            grads = [torch.empty_like(copy) for copy in copies]
            short: list[Any] = [learned[name].grad for name in copied]
            torch._foreach_copy_(grads, short)
            for name, copy, grad in zip(copied, copies, grads, strict=True):
                copy.grad, learned[name].grad = grad, None
        self._adamw.step()
        if copies:
            torch._foreach_copy_([learned[name] for name in copied], copies)
            for copy in copies:
                copy.grad = None


def _short(weight: torch.Tensor) -> bool:
    return weight.dtype.itemsize < torch.float32.itemsize


def lr_factor(done: int, steps: int, warmup_ratio: float, schedule: Schedule) -> float:
    """Share of the peak learning rate: linear rise, then half a cosine or a line down to 0."""
    warmup = max(1, round(steps * warmup_ratio))
    if done < warmup:
        return (done + 1) / warmup  # a first step at rate 0 would be lost
    passed = (done - warmup) / max(1, steps - warmup)
    return 1 - passed if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * passed))
