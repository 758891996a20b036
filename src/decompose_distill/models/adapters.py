"""LoRA adapters on disk: what they were trained on."""

import json
from pathlib import Path
from typing import Any

from decompose_distill.errors import BackendError

SETTINGS = "adapter_config.json"
QUANTIZATION = "quantization_config.json"
"""File beside an adapter that says how the weights under it were held."""
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def is_adapter(name: str | Path) -> bool:
    """Whether a directory holds a LoRA adapter in place of a model."""
    return (Path(name) / SETTINGS).is_file()


def adapter_base(name: str | Path) -> str:
    """What an adapter was trained on.

    Raises:
        BackendError: It does not say.
    """
    return str(_setting(name, "base_model_name_or_path"))


def adapter_rank(name: str | Path) -> int:
    """Largest rank of an adapter's matrices.

    Raises:
        BackendError: It does not say.
    """
    ranks = _setting(name, "rank_pattern", {}) or {}
    return int(max(_setting(name, "r"), *ranks.values(), 0))


def adapter_room(name: str | Path) -> int:
    """The rank that vLLM must set aside for an adapter: it knows certain ones only.

    Raises:
        BackendError: The adapter does not say its rank.
    """
    rank = adapter_rank(name)
    return next((size for size in VLLM_RANKS if size >= rank), rank)


def adapter_quantization(name: str | Path) -> str | None:
    """How the weights under an adapter were held when it was trained; `None` for plain numbers.

    Raises:
        BackendError: In a form that this version does not know.
    """
    file = Path(name) / QUANTIZATION
    if not file.is_file():
        return None
    kind = _setting(name, "bnb_4bit_quant_type", file=QUANTIZATION)
    if kind != "nf4":
        raise BackendError(f"cannot load {file}: {kind!r} is unknown: update decompose-distill")
    return "nf4"


def _setting(name: str | Path, field: str, default: Any = None, file: str = SETTINGS) -> Any:
    path = Path(name) / file
    try:
        value = json.loads(path.read_text(encoding="utf-8")).get(field, default)
    except (OSError, ValueError, AttributeError) as error:
        raise BackendError(f"cannot load {path}: {error}: copy the adapter again") from error
    if value is None:
        raise BackendError(f"cannot load {path}: {field} is missing: copy the adapter again")
    return value
