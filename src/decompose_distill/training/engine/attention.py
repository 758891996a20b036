"""Keeping packed documents apart: masks and positions."""

import torch


def packed_mask(documents: torch.Tensor) -> torch.Tensor:
    """Who sees whom (B, 1, T, T): earlier tokens of the same document, and no others."""
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    return same.tril().unsqueeze(1)


def packed_positions(documents: torch.Tensor) -> torch.Tensor:
    """Place of each token in its own document (B, T), from 0."""
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - (places * begins).cummax(dim=1).values
