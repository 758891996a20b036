"""AdamW over numbers that are stored in 16 or 8 bits, and widened to float32 a slice at a time.

What goes back into bfloat16 is rounded up or down at random, the nearer the likelier, so that
updates too small for it arrive on average (arXiv 2010.06192). Moments of 8 bits have a scale per
block (arXiv 2110.02861), by bitsandbytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim.adamw import adamw

SLICES, LEAST_AT_ONCE, MOST_AT_ONCE = 24, 1 << 24, 1 << 26
"""In how many slices numbers are widened, and bounds on a slice: more of them are more kernels, and
one needs some 40 bytes a number beside the 8 that a weight has in all."""
BLOCK = 256
"""Numbers that share a scale; slices are multiples."""
LEAST = 4096
"""Numbers of a weight whose moments are worth 8 bits."""
MOMENTS = ("exp_avg", "exp_avg_sq")
OWN_DRAWS = 1 << 32
"""Sets the draws of an update apart from those of the passes before it."""
BETAS, EPSILON = (0.9, 0.999), 1e-8

Part = tuple[torch.Tensor, int, int]
"""A weight, and where a slice of its numbers begins and ends."""


class NarrowAdamW(torch.optim.Optimizer):
    """Updates weights in place, the same on all processes of a run.

    Args:
        param_groups: Weights under `params`, with their `weight_decay`; `lr` is set before a step.
        eight_bit: Whether moments are kept in 8 bits, rather than in the numbers of the weights.
        seed: With the number of a step it fixes how numbers are rounded.
    """

    def __init__(self, param_groups: list[dict[str, Any]], *, eight_bit: bool, seed: int) -> None:
        super().__init__(param_groups, {"lr": 0.0})
        self.steps: int = 0
        self.grad_scale: torch.Tensor | None = None
        """What gradients are divided by."""
        self.found_inf: torch.Tensor | None = None
        """1 if weights are to stay as they are."""
        self._eight_bit, self._seed = eight_bit, seed
        self._codes: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def step(self, grads: Mapping[torch.Tensor, torch.Tensor]) -> None:  # type: ignore[override]
        """Update weights by their gradients, which may be in another number type."""
        self.steps += 1
        torch.manual_seed(OWN_DRAWS + self._seed + self.steps)
        for group in self.param_groups:
            learned = [weight for weight in group["params"] if weight in grads]
            for weight in learned:
                if weight not in self.state:
                    self.state[weight] = self._zeros(weight)
            for parts in _slices(learned):
                self._update(parts, grads, group)
            if learned:
                torch._foreach_add_([self.state[weight]["step"] for weight in learned], 1)

    def _zeros(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        state = {"step": torch.zeros((), device=weight.device)}
        for kind in MOMENTS:
            if self._eight_bit and weight.numel() >= LEAST:
                state[kind] = torch.zeros_like(weight, dtype=torch.uint8)
                blocks = -(-weight.numel() // BLOCK)
                state[f"{kind}_scale"] = torch.zeros(blocks, device=weight.device)
            else:
                state[kind] = torch.zeros_like(weight)
        return state

    def _update(
        self,
        parts: Sequence[Part],
        grads: Mapping[torch.Tensor, torch.Tensor],
        group: Mapping[str, Any],
    ) -> None:
        weights = _widened([_part(part, part[0]) for part in parts])
        first, second = (self._read(parts, kind) for kind in MOMENTS)
        adamw(
            weights,
            _widened([_part(part, grads[part[0]]) for part in parts]),
            first,
            second,
            [],
            list(torch.stack([self.state[weight]["step"] for weight, _, _ in parts]).unbind()),
            fused=True,
            grad_scale=self.grad_scale,
            found_inf=self.found_inf,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=EPSILON,
            maximize=False,
        )
        narrow = [(_part(part, part[0]), wide) for part, wide in zip(parts, weights, strict=True)]
        for kind, wides in zip(MOMENTS, (first, second), strict=True):
            narrow += [
                (_part(part, self.state[part[0]][kind]), wide)
                for part, wide in zip(parts, wides, strict=True)
                if not self._write(part, kind, wide)
            ]
        round_into([pair for pair in narrow if pair[0].dtype == torch.bfloat16])

    def _read(self, parts: Sequence[Part], kind: str) -> list[torch.Tensor]:
        stored = [_part(part, self.state[part[0]][kind]) for part in parts]
        plain = iter(_widened([numbers for numbers in stored if numbers.dtype != torch.uint8]))
        return [
            self._unpacked(part, kind, numbers) if numbers.dtype == torch.uint8 else next(plain)
            for part, numbers in zip(parts, stored, strict=True)
        ]

    def _unpacked(self, part: Part, kind: str, stored: torch.Tensor) -> torch.Tensor:
        from bitsandbytes.functional import dequantize_blockwise

        scale, code = self._scale(part, kind), self._code(kind, stored.device)
        wide: torch.Tensor = dequantize_blockwise(stored, absmax=scale, code=code, blocksize=BLOCK)
        return wide

    def _write(self, part: Part, kind: str, wide: torch.Tensor) -> bool:
        """Store a slice of a moment in 8 bits, if it is stored so."""
        stored = _part(part, self.state[part[0]][kind])
        if stored.dtype != torch.uint8:
            return False
        from bitsandbytes.functional import quantize_blockwise

        code = self._code(kind, stored.device)
        codes, scales = quantize_blockwise(wide, code=code, blocksize=BLOCK)
        stored.copy_(codes)
        self._scale(part, kind).copy_(scales.absmax)
        return True

    def _scale(self, part: Part, kind: str) -> torch.Tensor:
        weight, begin, end = part
        scales: torch.Tensor = self.state[weight][f"{kind}_scale"]
        return scales[begin // BLOCK : -(-end // BLOCK)]

    def _code(self, kind: str, device: torch.device) -> torch.Tensor:
        """The 256 numbers that 8 bits stand for; those of the second moment have no sign."""
        if kind not in self._codes:
            from bitsandbytes.functional import create_dynamic_map

            self._codes[kind] = create_dynamic_map(signed=kind == MOMENTS[0]).to(device)
        return self._codes[kind]


def _widened(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Numbers in float32: a tensor itself if it is, else a copy, all of them in one call."""
    narrow = [numbers for numbers in tensors if numbers.dtype != torch.float32]
    if not narrow:
        return [*tensors]
    sizes = [numbers.numel() for numbers in narrow]
    wide = torch.empty(sum(sizes), dtype=torch.float32, device=narrow[0].device)
    copies = torch.split(wide, sizes)
    torch._foreach_copy_(copies, narrow)
    taken = iter(copies)
    return [numbers if numbers.dtype == torch.float32 else next(taken) for numbers in tensors]


def round_into(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Round float32 numbers to bfloat16 at random, right on average.

    Args:
        pairs: Where each tensor goes, and the tensor.
    """
    if not pairs:
        return
    wide = torch.cat([numbers for _, numbers in pairs])
    # The 16 bits that are cut off are a fraction of a step; what carries over is a whole one.
    bits = wide.view(torch.int32)
    bits += torch.randint(1 << 16, bits.shape, dtype=torch.int32, device=bits.device)
    bits &= -1 << 16
    sizes = [numbers.numel() for _, numbers in pairs]
    torch._foreach_copy_([target for target, _ in pairs], list(torch.split(wide, sizes)))


def _slices(weights: Sequence[torch.Tensor]) -> Iterator[list[Part]]:
    """All numbers of the weights, so many at a time."""
    share = sum(weight.numel() for weight in weights) // SLICES
    most = min(MOST_AT_ONCE, max(LEAST_AT_ONCE, share // BLOCK * BLOCK))
    parts, size = list[Part](), 0
    for weight in weights:
        for begin in range(0, weight.numel(), most):
            end = min(begin + most, weight.numel())
            if parts and size + end - begin > most:
                yield parts
                parts, size = [], 0
            parts.append((weight, begin, end))
            size += end - begin
    if parts:
        yield parts


def _part(part: Part, tensor: torch.Tensor) -> torch.Tensor:
    _, begin, end = part
    return tensor.detach().view(-1)[begin:end]
