"""How a student is trained."""

import math
from dataclasses import dataclass

from decompose_distill.errors import ConfigError


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """Settings of one training run; all are written into the checkpoint.

    Raises:
        ConfigError: A value is out of range; the message names the field.

    Example:
        >>> DistillConfig(epochs=1, learning_rate=2e-4).batch_size
        8
    """

    epochs: int = 2
    """Passes over the kept traces. Small students start to repeat themselves after two."""
    batch_size: int = 8
    """Examples an optimizer step."""
    learning_rate: float = 1e-4
    """Peak of the schedule. Suits full fine-tuning at about 100M parameters."""
    warmup_ratio: float = 0.05
    """Share of the steps over which the learning rate rises to its peak; then cosine to 0."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""
    seed: int = 0
    """Fixes the order of the examples."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be above 0, not {value}")
        if not 0 <= self.warmup_ratio < 1:
            raise ConfigError(f"warmup_ratio must be from 0 to below 1, not {self.warmup_ratio}")
