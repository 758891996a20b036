"""Cross-entropy of the target tokens, without ever holding the logits of all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from decompose_distill.training.data.examples import TokenizedExample

CHUNK_LOGITS = {"cpu": 1 << 24, "cuda": 1 << 27}
"""Logits that exist at a time: 64 MB of float32 on a processor, 512 MB on a card."""


@dataclass(frozen=True)
class LinearHead:
    """Logits are a product of hidden states and one matrix: made for targets only, in chunks."""

    module: torch.nn.Linear

    @classmethod
    def of(cls, model: Any) -> "LinearHead | None":
        """Take the output embeddings of a model; `None` if they are no plain matrix."""
        head = model.get_output_embeddings()
        return cls(head) if type(head) is torch.nn.Linear else None

    def __str__(self) -> str:
        return "loss at targets in chunks"

    def states(self, model: Any, **inputs: Any) -> torch.Tensor:
        """Last hidden states (B, T, D)."""
        hidden: torch.Tensor = model.base_model(**inputs).last_hidden_state
        return hidden

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states (N, vocabulary)."""
        return F.linear(states, self.module.weight, self.module.bias)

    def loss(self, states: torch.Tensor, labels: torch.Tensor, share: float) -> torch.Tensor:
        """Cross-entropy of labels (N,) given hidden states (N, D), summed, times `share`."""
        most = CHUNK_LOGITS.get(states.device.type, CHUNK_LOGITS["cpu"])
        weight, bias = self.module.weight, self.module.bias
        chunk = max(1, most // len(weight))
        loss: torch.Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
            states, weight, bias, labels, share, chunk, torch.is_grad_enabled()
        )
        return loss


@dataclass(frozen=True)
class OwnHead:
    """The model makes its logits in a way of its own, all of them."""

    def __str__(self) -> str:
        return "loss of the model's own logits"

    def states(self, model: Any, **inputs: Any) -> torch.Tensor:
        """Logits (B, T, vocabulary): here they are what the loss is computed of."""
        logits: torch.Tensor = model(**inputs).logits
        return logits

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The logits as they are."""
        return states

    def loss(self, states: torch.Tensor, labels: torch.Tensor, share: float) -> torch.Tensor:
        """Cross-entropy of labels (N,) given logits (N, vocabulary), summed, times `share`."""
        return F.cross_entropy(states.float(), labels, reduction="sum") * share


class _ChunkedLoss(torch.autograd.Function):
    """-share · Σ log softmax(states · weightᵀ + bias)[label]; gradients are made on the way.

    The gradient of a chunk's logits, softmax less one-hot, is there once its loss is. Of torch's
    own `linear_cross_entropy`, which does the same, the automatic chunks were eight times slower
    on a processor, and older torch has none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        states: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        share: float,
        chunk: int,
        learning: bool,
    ) -> torch.Tensor:
        of_states, of_weight, of_bias = (
            torch.zeros_like(tensor) if learning and needed and tensor is not None else None
            for tensor, needed in zip((states, weight, bias), ctx.needs_input_grad, strict=False)
        )
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        for start in range(0, len(labels), chunk):
            part, label = states[start : start + chunk], labels[start : start + chunk, None]
            # A card reads 16-bit logits in the same kernel, without a copy of them in float32.
            shares = F.linear(part, weight, bias).log_softmax(-1, dtype=torch.float32)
            loss -= shares.gather(1, label).sum()
            if not learning:
                continue
            # Softmax less one-hot, written over the log-probabilities: no second such matrix.
            slope = shares.exp_().scatter_add_(1, label, shares.new_full(label.shape, -1.0))
            slope = slope.mul_(share).to(states.dtype)
            if of_states is not None:
                torch.mm(slope, weight, out=of_states[start : start + chunk])
            if of_weight is not None:
                of_weight.addmm_(slope.T, part)
            if of_bias is not None:
                of_bias += slope.sum(0)
        ctx.save_for_backward(of_states, of_weight, of_bias)
        return loss * share

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        of_all = (
            None if gradient is None else gradient.mul_(grads[0]) for gradient in ctx.saved_tensors
        )
        return (*of_all, None, None, None, None)


def count_targets(rows: Sequence[TokenizedExample]) -> int:
    """Trained tokens of these rows."""
    return sum(row.targets for row in rows)
