"""How a student is trained."""

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from decompose_distill.errors import ConfigError

DType = Literal["auto", "bfloat16", "float32"]
Schedule = Literal["cosine", "linear"]
Quantization = Literal["nf4"]
OptimizerName = Literal["adamw", "adamw_8bit"]
Compile = Literal["off", "on", "auto"]

OPTIONAL_COUNTS = ("micro_batch_size", "tokens_per_pass", "lora_rank", "save_steps", "patience")

HIGHEST_LEARNING_RATE = 0.05
"""Of those with which a training is started without a warning."""


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
    """Examples per optimizer step."""
    micro_batch_size: int | None = None
    """Examples of a forward pass, instead of as many as `tokens_per_pass` says."""
    learning_rate: float = 1e-4
    """Peak of the schedule. Suits full fine-tuning at about 100M parameters."""
    schedule: Schedule = "cosine"
    """How the learning rate falls to 0 after its peak."""
    warmup_ratio: float = 0.05
    """Share of the steps over which the learning rate rises to its peak."""
    weight_decay: float = 0.0
    """AdamW's, on matrices only: never on norms and biases."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to at most this norm."""
    dtype: DType = "auto"
    """Of the weights; `auto` is bfloat16 if the hardware multiplies it natively."""
    master_weights: bool = True
    """Keep a float32 copy of bfloat16 weights for the updates, for 12 more bytes per weight.
    Without it, weights and moments are rounded at random, right on average."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, about a third slower. It is
    also done where one example alone exceeds the memory."""
    packing: bool = False
    """Draw batches without grouping examples of like length, and stop where the model cannot keep
    examples apart on one line. Where it can, they lie end to end in any case, without padding."""
    lora_rank: int | None = None
    """Train low-rank adapters of all linear layers instead of the weights; needs `[peft]`."""
    merge_lora: bool = True
    """Add the adapter to the weights when saving; else save the adapter alone."""
    save_steps: int | None = None
    """Steps between states to resume from, and between validations; by default an epoch's."""
    patience: int | None = None
    """Stop after N validations in a row without a new best one."""
    max_duplicates: float = 0.5
    """Share of examples that may repeat another one; above it the run does not start."""
    seed: int = 0
    """Fixes the order of the examples and which are held out."""
    tokens_per_pass: int | None = None
    """Tokens of a forward pass, about; by default as many as fit the memory of a card, on a
    processor 2048. Halved when memory runs out. The step stays the same: gradients of its passes
    add up to those of the whole."""
    device: str | None = None
    """Where to train, such as `cpu` or `cuda:1`; by default on the accelerator if there is one."""
    fsdp: bool | None = None
    """With several processes, split weights, gradients and moments over them (FSDP2) instead of
    giving each a copy; by default if a copy would not fit on a card."""
    quantization: Quantization | None = None
    """Hold the weights under adapters in 4 bits (`nf4`, QLoRA), a quarter of bfloat16; with
    `lora_rank`, and needs `[bitsandbytes]`."""
    optimizer: OptimizerName = "adamw"
    """`adamw_8bit` keeps each moment in one byte in place of four; needs `[bitsandbytes]`."""
    compile: Compile = "off"
    """Have torch compile the model's layers before the first step, for up to a minute and with a
    C++ compiler; `auto` does so on a known card if the run would take five minutes or more. Where
    compiled layers do not give the same gradients, they are left as they are."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = (
        *("epochs", "batch_size", "micro_batch_size", "learning_rate", "schedule", "warmup_ratio"),
        *("weight_decay", "max_grad_norm", "dtype", "master_weights", "gradient_checkpointing"),
        *("packing", "lora_rank", "merge_lora", "save_steps", "patience", "max_duplicates", "seed"),
    )

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in OPTIONAL_COUNTS:
            if (number := getattr(self, name)) is not None and number < 1:
                raise ConfigError(f"{name} must be 1 or more, or None, not {number}")
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be above 0, not {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ConfigError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        if not 0 <= self.warmup_ratio < 1:
            raise ConfigError(f"warmup_ratio must be from 0 to below 1, not {self.warmup_ratio}")
        if not 0 <= self.max_duplicates <= 1:
            raise ConfigError(f"max_duplicates must be from 0 to 1, not {self.max_duplicates}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                known = ", ".join(map(str, choices))
                raise ConfigError(f"{name} must be one of {known}, not {getattr(self, name)!r}")
        if self.quantization and not self.lora_rank:
            raise ConfigError(
                f"quantization={self.quantization!r} leaves the weights as they are: give "
                "lora_rank too, such as 16, to train adapters beside them"
            )
        if self.fsdp and self.is_in_fewer_bits:
            raise ConfigError(
                "fsdp=True splits neither weights of 4 bits nor moments of 8: give fsdp=False, or "
                "quantization=None and optimizer='adamw'"
            )

    @property
    def is_in_fewer_bits(self) -> bool:
        """Whether weights or moments are held in blocks, which are not split over processes."""
        return self.quantization is not None or self.optimizer == "adamw_8bit"


_CHOICES = {
    "dtype": get_args(DType),
    "schedule": get_args(Schedule),
    "quantization": (None, *get_args(Quantization)),
    "optimizer": get_args(OptimizerName),
    "compile": get_args(Compile),
}


def warn_of_absurd(config: DistillConfig) -> None:
    """Warn of settings that are allowed and never meant."""
    if config.learning_rate > HIGHEST_LEARNING_RATE:
        usual = "fine-tuning uses 0.00001 to 0.001, and above the loss mostly grows without end"
        warnings.warn(f"learning_rate={config.learning_rate}: {usual}", stacklevel=3)
