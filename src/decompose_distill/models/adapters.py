"""LoRA adapters on disk: what they were trained on."""

import json
from pathlib import Path
from typing import Any

from decompose_distill.errors import BackendError

SETTINGS = "adapter_config.json"


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


def _setting(name: str | Path, field: str, default: Any = None) -> Any:
    file = Path(name) / SETTINGS
    try:
        value = json.loads(file.read_text(encoding="utf-8")).get(field, default)
    except (OSError, ValueError, AttributeError) as error:
        raise BackendError(f"cannot load {file}: {error}: copy the adapter again") from error
    if value is None:
        raise BackendError(f"cannot load {file}: {field} is missing: copy the adapter again")
    return value
