"""From a batch to the logits of its targets, the cheapest way that a model computes alike."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from decompose_distill.errors import ConfigError
from decompose_distill.models.generation import (
    SHORTEST_SHARED,
    logits_match,
    past_argument,
    probe_ids,
    run_prefix,
)
from decompose_distill.training.config import DistillConfig
from decompose_distill.training.data.batching import Batch, collate
from decompose_distill.training.data.tokenization import TokenizedExample
from decompose_distill.training.engine.attention import packed_mask, packed_positions

Forward = Callable[[Batch], torch.Tensor]
"""A batch to the logits of its targets (targets, vocabulary)."""


def choose_forward(model: Any, config: DistillConfig) -> Forward:
    """The cheapest way to the target's logits that this model computes alike.

    A plain head is applied to the target positions only, and the instruction that all rows of a
    batch share is run once. Some models scale or cap their logits behind the head, keep their
    past in another form, or have a mask of their own; comparing once on a few tokens tells.

    Raises:
        ConfigError: The model cannot keep packed rows apart.
    """

    def shared(batch: Batch) -> torch.Tensor:
        past = run_prefix(model, batch.ids[0, : batch.prefix].tolist(), len(batch.ids))
        rest = batch.ids[:, batch.prefix :].to(model.device)
        base = model.base_model
        output = base(input_ids=rest, use_cache=True, **past_argument(base, past))
        return head(output.last_hidden_state[:, :-1][batch.targets[:, batch.prefix + 1 :]])

    def alone(batch: Batch) -> torch.Tensor:
        output = model.base_model(**inputs(batch))
        return head(output.last_hidden_state[:, :-1][batch.targets[:, 1:]])

    def plain(batch: Batch) -> torch.Tensor:
        logits: torch.Tensor = model(**inputs(batch)).logits
        return logits[:, :-1][batch.targets[:, 1:]]

    def fast(batch: Batch) -> torch.Tensor:
        return (shared if batch.prefix else alone)(batch)

    def inputs(batch: Batch) -> dict[str, Any]:
        found = {"input_ids": batch.ids.to(model.device), "use_cache": False}
        if batch.documents is None:
            return found
        documents = batch.documents.to(model.device)
        mask, places = packed_mask(documents), packed_positions(documents)
        return found | {"attention_mask": mask, "position_ids": places}

    def head(hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits

    rows = _probe(model)
    apart = [collate([row]) for row in rows]
    wanted = _attempt(model, plain, apart)
    plain_head = _same(_attempt(model, alone, apart), wanted, HEAD_ROUNDING)
    cheapest = alone if plain_head else plain
    if config.packing:
        if _same(_attempt(model, cheapest, [collate(rows, packing=True)]), wanted):
            return cheapest
        raise ConfigError(
            f"packing: {type(model).__name__} does not keep packed rows apart; use packing=False"
        )
    if plain_head and not config.gradient_checkpointing:  # which would add to a past twice
        batch = replace(collate(rows), prefix=SHORTEST_SHARED)
        return fast if _same(_attempt(model, fast, [batch]), wanted) else alone
    return cheapest


HEAD_ROUNDING = 0.005
"""Of 16-bit logits of the same hidden states; a cap or scale behind the head is larger."""


def _probe(model: Any) -> list[TokenizedExample]:
    """Rows with a common beginning; the shorter two fit the length of the longest."""
    ids = tuple(probe_ids(model, 36))
    begin = ids[:SHORTEST_SHARED]
    long, first, second = ids[:26], (*begin, *ids[26:31]), (*begin, *ids[31:36])
    return [
        TokenizedExample("", long, 24),
        TokenizedExample("", first, 11),
        TokenizedExample("", second, 9),
    ]


def _attempt(model: Any, way: Forward, batches: Sequence[Batch]) -> torch.Tensor | None:
    """Logits of the targets in the way given, or `None` where the model cannot go it."""
    model.eval()
    with torch.no_grad():
        try:
            return torch.cat([way(batch) for batch in batches])
        except (TypeError, AttributeError, NotImplementedError, ValueError, RuntimeError):
            return None  # another kind of cache or mask, or no head of its own


def _same(found: torch.Tensor | None, wanted: torch.Tensor | None, short: float = 0.05) -> bool:
    return found is not None and wanted is not None and logits_match(found, wanted, short)
