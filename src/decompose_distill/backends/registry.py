"""Backends by name: `scheme:model`, built in or from the entry points of other packages."""

import importlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from decompose_distill.backend import Backend
from decompose_distill.errors import ConfigError, DecomposeDistillError, MissingExtraError, nearest

_BUILT_IN = {
    "hf": "decompose_distill.backends.transformers:TransformersBackend",
    "openai": "decompose_distill.backends.openai:OpenAIBackend",
    "replay": "decompose_distill.backends.replay:ReplayBackend",
    "vllm": "decompose_distill.backends.vllm:VLLMBackend",
}


_SCHEMES = {"max_in_flight": ("openai", "vllm"), "device": ("hf",), "dtype": ("hf", "vllm")}
"""Backends that an option goes with; all others go with `openai:`."""
_BATCH = "decompose_distill.backends.openai.batch.backend:OpenAIBatchBackend"


def load_backend(
    name: str,
    *,
    base_url: str | None = None,
    max_in_flight: int | None = None,
    device: str | None = None,
    dtype: Literal["bfloat16", "float32"] | None = None,
    batches: str | Path | None = None,
    api_key_env: str | None = None,
    needs_key: bool = True,
    provider: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_body: Mapping[str, object] | None = None,
    extra_query: Mapping[str, str] | None = None,
) -> Backend:
    """Build a backend from `"scheme:model"`.

    Schemes: `hf:` (hub id, directory or `.gguf` file), `vllm:` (hub id or directory, on vLLM's
    engine), `openai:` (any compatible server), `replay:` (a file of traces), and every name in the
    entry-point group `decompose_distill.backends`.

    Args:
        name: Scheme and model, such as `openai:gpt-4.1-mini`; the endpoint may stand behind it,
            as in `openai:my-model@http://localhost:8000/v1`.
        base_url: Endpoint of an `openai:` server, such as `http://localhost:8000/v1`.
        max_in_flight: Requests that an `openai:` server or vLLM's engine is to work on at once.
        device: Where an `hf:` model runs, such as `cpu` or `cuda:1`.
        dtype: Number type of the weights of an `hf:` or `vllm:` model.
        batches: File of what was submitted, such as `traces.jsonl.batches`; with it an `openai:`
            server is used through its batch interface.
        api_key_env: Environment variable with the key of an `openai:` server.
        needs_key: Whether a missing key is an error at once; `False` for a forecast, which sends
            nothing.
        provider: Whose form the requests of an `openai:` server have, such as `vllm`; by default
            it is known by the host.
        extra_headers: Sent with every request to an `openai:` server.
        extra_body: Fields for the body of each.
        extra_query: Added to its address, such as `{"api-version": "2024-10-21"}`.

    Raises:
        ConfigError: The scheme is unknown, the model's name is missing, or an option does not
            go with the rest.
        BackendError: The model or the key cannot be had.
        MissingExtraError: A local model where torch and transformers were left out.

    Example:
        >>> load_backend("openai:my-model", base_url="http://localhost:8000/v1").model
        'my-model'
    """
    scheme, _, model = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not model:
        raise ConfigError(f"backend {name!r} must be written 'scheme:model', as 'openai:gpt-4.1'")
    if scheme == "openai" and base_url is None:
        model, base_url = _split_address(model)
    options: dict[str, object] = {
        "base_url": base_url,
        "max_in_flight": max_in_flight,
        "device": device,
        "dtype": dtype,
        "batches": batches,
        "api_key_env": api_key_env,
        "needs_key": None if needs_key else False,
        "provider": provider,
        "extra_headers": extra_headers,
        "extra_body": extra_body,
        "extra_query": extra_query,
    }
    arguments = {option: value for option, value in options.items() if value is not None}
    for option in arguments:
        if scheme not in (schemes := _SCHEMES.get(option, ("openai",))):
            fitting = " and ".join(f"'{fit}:'" for fit in schemes)
            raise ConfigError(f"{option} goes with {fitting} backends, not with {name!r}")
    if batches is not None and max_in_flight is not None:
        raise ConfigError("max_in_flight does not go with batches, which take all there is")
    factory = _factory(scheme, model) if batches is None else _imported(_BATCH)
    try:
        return factory(model, **arguments)
    except DecomposeDistillError as error:
        refused = error.with_traceback(None)
    # Out of the reports that show local variables, as they may hold a password.
    del name, base_url, extra_headers, extra_query, options, arguments
    raise refused


def _split_address(model: str) -> tuple[str, str | None]:
    """Model and endpoint of `model@http://host/v1`; a model's name may hold an `@` itself."""
    address = re.search(r"@(https?://.*)", model)
    return (model[: address.start()], address[1]) if address else (model, None)


def installed_backends() -> dict[str, str]:
    """Where the backends that are installed come from, by scheme.

    Example:
        >>> sorted(installed_backends())[:3]
        ['hf', 'openai', 'replay']
    """
    from importlib.metadata import entry_points

    points = entry_points(group="decompose_distill.backends")
    return {**{point.name: point.value for point in points}, **_BUILT_IN}


def _factory(scheme: str, model: str) -> Callable[..., Backend]:
    if target := _BUILT_IN.get(scheme):
        return _imported_for(f"{scheme}:{model}", target)
    from importlib.metadata import entry_points  # a third of this package's import time

    plugins = {point.name: point for point in entry_points(group="decompose_distill.backends")}
    if scheme not in plugins:
        known = sorted({*_BUILT_IN, *plugins})
        raise ConfigError(f"unknown backend scheme {scheme!r}; {nearest(scheme, known)}")
    loaded: Callable[..., Backend] = plugins[scheme].load()
    return loaded


def _imported(target: str) -> Callable[..., Backend]:
    module, _, attribute = target.partition(":")
    factory: Callable[..., Backend] = getattr(importlib.import_module(module), attribute)
    return factory


def _imported_for(name: str, target: str) -> Callable[..., Backend]:
    """A factory of ours; a package that it needs may have been left out on purpose."""
    try:
        return _imported(target)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers", "tokenizers", "safetensors"):
            raise
        raise MissingExtraError(
            f"{name!r} needs torch and transformers: pip install decompose-distill"
        ) from error
