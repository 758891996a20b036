"""The layers of a model compiled, each as few graphs that all layers and lengths share."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from decompose_distill.training.config import Compile
from decompose_distill.training.engine.attention import attend
from decompose_distill.training.engine.throughput import ProductShare

ATTENTION = "decompose_distill_documents_outside"
"""Attention by documents, which no graph takes in: it cuts a line in Python, row by row."""
WORTH_SECONDS = 300.0
"""Compiling takes up to a minute, which the fifth that others report of cards then saves."""
USUAL_SHARE = 0.2
"""Of a card's product rate that a step reaches without: a guess, to tell how long a run takes."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledLayers:
    """What the layers of a model call in place of their `forward`."""

    calls: tuple[tuple[Any, Callable[..., Any]], ...]

    @classmethod
    def of(cls, model: torch.nn.Module) -> "CompiledLayers":
        """Wrap the layers; they are compiled when they are first called."""
        outside = torch.compiler.disable(attend)  # type: ignore[no-untyped-call]
        AttentionInterface.register(ATTENTION, outside)
        layers = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
        return cls(tuple((layer, torch.compile(layer.forward, dynamic=True)) for layer in layers))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the layers compute by their graphs."""
        for layer, call in self.calls:
            layer.forward = call
        try:
            yield
        finally:
            for layer, _ in self.calls:
                del layer.forward


def pays(compile: Compile, model: Any, tokens: int) -> bool:
    """Whether to compile for a run of so many tokens.

    By data and card alone, so that a run that goes on decides as it did before.
    """
    if compile != "auto":
        return compile == "on"
    share = ProductShare(model)(tokens, 1.0).get("product_share")
    return share is not None and share / USUAL_SHARE > WORTH_SECONDS
