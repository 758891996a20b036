"""The forward pass of a run: how many tokens it takes, and how it is made."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from decompose_distill.errors import ConfigError
from decompose_distill.models.attention import (
    attempt,
    attending_by,
    is_out_of_memory,
    logits_match,
    probe_ids,
    reach,
)
from decompose_distill.models.kernels import fused_kernels
from decompose_distill.models.past import SHORTEST_SHARED
from decompose_distill.training.data.batching import Batch, lay_end_to_end, pad_rows
from decompose_distill.training.data.examples import TokenizedExample
from decompose_distill.training.engine import attention, compiling
from decompose_distill.training.engine.compiling import CompiledLayers
from decompose_distill.training.engine.loss import LinearHead, OwnHead
from decompose_distill.training.engine.sharding import TRAINED_BYTES, is_split, local, within

PROCESSOR_TOKENS = 2048
"""A step in one pass needs no more memory than in two halves: while the activations of one pass go,
its gradients come, and those of two would stand beside the second half's activations."""
LEAST, MOST = 1024, 32768
"""Bounds on a card; more tokens than the upper one do not make its products faster."""
SHARE = 0.7
"""Of the free memory: the rest is for the logits of a chunk and what an allocator cannot use."""


def tokens_that_fit(model: Any) -> int:
    """Tokens of a forward pass to begin with; memory that runs out halves them later."""
    if model.device.type != "cuda":
        return PROCESSOR_TOKENS
    free, _ = torch.cuda.mem_get_info(model.device)
    trained = sum(local(weight).numel() for weight in model.parameters() if weight.requires_grad)
    room = SHARE * (free - TRAINED_BYTES * trained)
    return int(min(MOST, max(LEAST, room / _bytes_per_token(model))))


def _bytes_per_token(model: Any) -> int:
    """Activations that a layer keeps for its gradients: about ten vectors, and three of the MLP."""
    config = model.config.get_text_config()
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    numbers = config.num_hidden_layers * (10 * config.hidden_size + 3 * inner)
    return int(numbers * model.dtype.itemsize)


logger = logging.getLogger(__name__)

HEAD_ROUNDING = 0.005
"""Of 16-bit logits of the same hidden states; a cap or scale behind the head is larger."""


@dataclass(frozen=True)
class EndToEnd:
    """Rows on one line that do not see each other: no padding, and a shared beginning once."""

    fused: bool = True
    """Norms, rotary positions and gated activations by kernels of our own."""
    layers: CompiledLayers | None = None
    """The layers compiled, in place of those kernels."""

    def __str__(self) -> str:
        compiled = ", compiled layers" if self.layers else ""
        return "rows end to end" + compiled + (", fused kernels" if self.fused else "")

    def lay(self, rows: Sequence[TokenizedExample], device: torch.device) -> Batch:
        """Make one batch of rows."""
        return lay_end_to_end(rows, device)

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """What the model is called with."""
        return {
            "input_ids": batch.ids,
            "position_ids": batch.positions,
            "documents": batch.documents,
        }

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        """Prepare a model for forward and backward passes, and leave it as it was."""
        with ExitStack() as stack:
            name = compiling.ATTENTION if self.layers else attention.NAME
            stack.enter_context(attending_by(model, name))
            if self.fused:
                stack.enter_context(fused_kernels(model))
            if self.layers:
                stack.enter_context(self.layers.applied())
            yield


@dataclass(frozen=True)
class Padded:
    """One row per line: for models that mix tokens by other means than attention."""

    def __str__(self) -> str:
        return "rows padded"

    def lay(self, rows: Sequence[TokenizedExample], device: torch.device) -> Batch:
        """Make one batch of rows."""
        return pad_rows(rows, device)

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """What the model is called with."""
        return {"input_ids": batch.ids}

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        """Leave the model as it is."""
        yield


@dataclass(frozen=True)
class Forward:
    """A way through a model."""

    model: Any
    layout: EndToEnd | Padded
    head: LinearHead | OwnHead
    tokens: int = PROCESSOR_TOKENS
    """Of a pass, about, to begin with."""

    def __str__(self) -> str:
        return f"{self.layout}, {self.head}, {self.tokens} tokens per pass"

    def lay(self, rows: Sequence[TokenizedExample]) -> Batch:
        """Make one batch of rows, on the model's device."""
        return self.layout.lay(rows, self.model.device)

    def states(self, batch: Batch) -> torch.Tensor:
        """What the head's loss is computed of, for each target (N, D)."""
        states = self.head.states(self.model, **self.layout.inputs(batch), use_cache=False)
        return states.flatten(0, 1).index_select(0, batch.predicting)

    def loss(self, batch: Batch, share: float = 1.0) -> torch.Tensor:
        """Cross-entropy of the targets, summed and multiplied by `share`: a scalar, in nats."""
        return self.computing(lambda: self.head.loss(self.states(batch), batch.labels, share))

    def computing(self, compute: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Compute with the head's weights at hand, if they are split over processes."""
        return compute() if isinstance(self.head, OwnHead) else within(self.model, compute)

    def applied(self) -> Any:
        """Prepare the model for forward and backward passes, as a context."""
        return self.layout.applied(self.model)


def choose_forward(
    model: Any,
    *,
    longest: int | None = None,
    packing: bool = False,
    tokens: int | None = None,
    compiled: bool = False,
) -> Forward:
    """Choose the cheapest way that this model computes alike.

    Some models scale or cap their logits behind the head, mix tokens by other means than
    attention, or have a mask of their own; comparing once on a few tokens tells.

    Args:
        longest: Tokens of the longest row; by default rows may be longer than any window.
        packing: Whether rows must be laid end to end.
        tokens: Of a forward pass; by default as many as fit the memory that is free now, before
            the optimizer takes its share.
        compiled: Whether to compile the layers, where rows lie end to end and it computes alike.

    Raises:
        ConfigError: They must, and the model cannot keep them apart.
        RuntimeError: Memory ran out.
    """
    rows = _probe(model, longest)
    model.eval()
    with torch.no_grad():
        wanted = _logits(Forward(model, Padded(), OwnHead()), rows, alone=True)
    head = LinearHead.of(model) or OwnHead()
    direct = Forward(model, Padded(), head)
    if not logits_match(attempt(lambda: _logits(direct, rows, alone=True)), wanted, HEAD_ROUNDING):
        head = OwnHead()
    ways = [Forward(model, EndToEnd(fused), head) for fused in (True, False)]
    if not _sees_all(model, longest):
        ways = []
    for way in ways:
        if logits_match(attempt(lambda way=way: _logits(way, rows)), wanted):  # type: ignore[misc]
            break
    else:
        if packing:
            raise ConfigError(
                f"packing: {type(model).__name__} does not keep packed rows apart; use "
                "packing=False"
            )
        way = Forward(model, Padded(), head)
    if compiled:
        way = _compiled(way, rows)
    way = replace(way, tokens=tokens or tokens_that_fit(model))
    logger.info("forward pass of %s: %s", type(model).__name__, way)
    return way


def _compiled(way: Forward, rows: Sequence[TokenizedExample]) -> Forward:
    """The same with its layers compiled, if that has the same gradients; else as it is."""
    if isinstance(way.layout, Padded) or is_split(way.model):
        logger.warning("layers are not compiled: rows are padded, or weights split over processes")
        return way
    swifter = replace(way, layout=EndToEnd(fused=False, layers=CompiledLayers.of(way.model)))
    wanted = _gradients(way, rows)
    try:
        if logits_match(_gradients(swifter, rows), wanted):
            return swifter
        reason = "they give other gradients"
    except Exception as error:  # a compiler raises anything
        if is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    logger.warning("layers are not compiled: %s", reason)
    return way


def _gradients(way: Forward, rows: Sequence[TokenizedExample]) -> torch.Tensor:
    """Gradients of all trained weights, end to end; none is left behind."""
    way.model.train()
    try:
        with way.applied():
            torch.autograd.backward(way.loss(way.lay(rows)))
        weights = [weight for weight in way.model.parameters() if weight.grad is not None]
        return torch.cat([weight.grad.flatten() for weight in weights])
    finally:
        way.model.zero_grad()
        way.model.eval()


def _logits(way: Forward, rows: Sequence[TokenizedExample], *, alone: bool = False) -> torch.Tensor:
    """Logits of the targets (N, vocabulary), with the rows in one batch or alone."""
    with way.applied():
        batches = [way.lay([row]) for row in rows] if alone else [way.lay(rows)]
        parts = [way.computing(partial(_logits_of, way, batch)) for batch in batches]
        return torch.cat(parts)


def _logits_of(way: Forward, batch: Batch) -> torch.Tensor:
    return way.head.logits(way.states(batch))


def _probe(model: Any, longest: int | None) -> list[TokenizedExample]:
    """Rows with a common beginning, the first longer than what a layer sees if rows may be."""
    window = reach(model.config)
    beyond = window if window and (longest is None or longest > window) else 0
    ids = tuple(probe_ids(model, 36 + beyond))
    begin, length = ids[:SHORTEST_SHARED], 26 + beyond
    long, first, second = ids[:length], ids[length : length + 5], ids[length + 5 :]
    return [
        TokenizedExample("", long, length - 2),
        TokenizedExample("", (*begin, *first), 11),
        TokenizedExample("", (*begin, *second), 9),
    ]


def _sees_all(model: Any, longest: int | None) -> bool:
    """Whether no layer cuts rows into chunks, of which attention functions are not told."""
    chunk = getattr(model.config.get_text_config(), "attention_chunk_size", None)
    return chunk is None or (longest is not None and longest <= chunk)
