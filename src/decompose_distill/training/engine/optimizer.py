"""AdamW over the trainable weights, with a float32 copy of them or in fewer bits."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from decompose_distill.training.config import DistillConfig, Schedule
from decompose_distill.training.engine.narrow_adamw import MOMENTS, NarrowAdamW
from decompose_distill.training.engine.ranks import ALONE, Ranks
from decompose_distill.training.engine.sharding import like, local

_KINDS = (*MOMENTS, *(f"{kind}_scale" for kind in MOMENTS))
"""What is kept beside a weight; moments of 8 bits have scales."""


class Optimizer:
    """Updates a model in place; its whole state is a mapping of names to tensors.

    A bfloat16 weight has three digits, so that an update below a four hundredth of it is lost.
    `master_weights` collects updates in float32 and copies the result back; without, what is
    stored is rounded at random, right on average.

    Args:
        model: Its parameters that require gradients are trained.
        config: `weight_decay`, `max_grad_norm`, `master_weights`, `optimizer`, `seed`.
        ranks: The processes that train it; of weights that are split, each updates its part.
    """

    def __init__(self, model: Any, config: DistillConfig, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._whole: dict[str, Any] = {
            name: weight for name, weight in model.named_parameters() if weight.requires_grad
        }
        self.weights = {name: local(weight) for name, weight in self._whole.items()}
        self.split: bool = any(
            self.weights[name] is not weight for name, weight in self._whole.items()
        )
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
        eight_bit = config.optimizer == "adamw_8bit"
        if eight_bit or any(weight.dtype == torch.bfloat16 for weight in self.updated.values()):
            self._adamw: Any = NarrowAdamW(groups, eight_bit=eight_bit, seed=config.seed)
        else:
            self._adamw = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
        self._max_grad_norm = config.max_grad_norm

    @torch.no_grad()
    def norm(self) -> torch.Tensor:
        """Gather the gradients of the step, and return their norm: of split weights, of its part.

        The norm is a scalar on the device, which nothing here waits for.
        """
        grads = list(self._grads().values())
        if not self.split:
            self._ranks.add_up(grads)
        # In float32, as the norm of bfloat16 gradients has three digits in their own numbers.
        norms = torch.stack(torch._foreach_norm(grads, 2, dtype=torch.float32))
        norm: torch.Tensor = torch.linalg.vector_norm(norms)
        return norm

    @torch.no_grad()
    def step(self, learning_rate: float, norm: torch.Tensor | None = None) -> torch.Tensor:
        """Clip the gradients, update, clear them, and return their norm before clipping.

        Weights stay as they were if it is not finite.

        Args:
            learning_rate: Of this step.
            norm: Of all gradients, if it was computed before.
        """
        norm = self.norm() if norm is None else norm
        # The same factor as that of torch's `clip_grad_norm_`.
        clipped = (self._max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        # The fused kernel divides by `grad_scale`, and leaves all as it is if `found_inf` is set.
        self._adamw.grad_scale = clipped.reciprocal()
        self._adamw.found_inf = (~norm.isfinite()).float()
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._update(self._grads())
        self.zero_grad()
        return norm

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for name, weight in self._whole.items():
            weight.grad = self.weights[name].grad = None

    def _grads(self) -> dict[str, torch.Tensor]:
        learned = {name: weight.grad for name, weight in self._whole.items()}
        return {name: local(grad) for name, grad in learned.items() if grad is not None}

    def state(self) -> dict[str, torch.Tensor]:
        """Everything a later step depends on: weights, float32 copies, moments."""
        tensors: dict[str, torch.Tensor] = {}
        for name, weight in self.updated.items():
            whole = self._whole[name]
            tensors[f"weight.{name}"] = whole.detach()
            if weight is not self.weights[name]:
                tensors[f"master.{name}"] = like(weight, whole)
            moments = self._adamw.state.get(weight, {})
            known = {kind: moments[kind] for kind in _KINDS if kind in moments}
            tensors |= {f"{kind}.{name}": like(moment, whole) for kind, moment in known.items()}
        return tensors

    def blank(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Tensors of these names in `state`, to read one into that other processes wrote."""
        tensors = {}
        for name in names:
            kind, _, weight = name.partition(".")
            part = self.weights[weight] if kind == "weight" else self.updated[weight].detach()
            tensors[name] = like(torch.zeros_like(part), self._whole[weight])
        return tensors

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor], steps: int) -> None:
        """Go on from the state after `steps` steps."""
        state = {name: local(tensor) for name, tensor in state.items()}
        for name, weight in self.weights.items():
            weight.copy_(state[f"weight.{name}"])
        for name, weight in self.updated.items():
            if weight is not self.weights[name]:
                whole = state.get(f"master.{name}")  # adapters were in float32 once
                weight.copy_(state[f"weight.{name}"] if whole is None else whole)
            self._adamw.state.pop(weight, None)
            kept = {kind: state.get(f"{kind}.{name}") for kind in _KINDS}
            moments = {kind: of.to(weight.device) for kind, of in kept.items() if of is not None}
            if moments:  # else it never had a gradient
                count = torch.tensor(float(steps), device=weight.device)
                self._adamw.state[weight] = {"step": count, **moments}
        if isinstance(self._adamw, NarrowAdamW):
            self._adamw.steps = steps

    def _update(self, grads: dict[str, torch.Tensor]) -> None:
        """Update weights that have gradients; copies in float32 take and give in two calls."""
        copied = [name for name in grads if self.updated[name] is not self.weights[name]]
        copies = [self.updated[name] for name in copied]
        if isinstance(self._adamw, NarrowAdamW):
            self._adamw.step({self.updated[name]: grad for name, grad in grads.items()})
            if copies:
                torch._foreach_copy_([self.weights[name] for name in copied], copies)
            return
        for name in grads.keys() - set(copied):
            self.weights[name].grad = grads[name]
        if copies:
            wide = [torch.empty_like(copy) for copy in copies]
            torch._foreach_copy_(wide, [grads.pop(name) for name in copied])
            for name, copy, grad in zip(copied, copies, wide, strict=True):
                copy.grad, self._whole[name].grad = grad, None
        self._adamw.step()
        if copies:
            torch._foreach_copy_([self.weights[name] for name in copied], copies)
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
