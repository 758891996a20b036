"""A local model as a backend: batched, left-padded, bfloat16 if the hardware has it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import torch

from decompose_distill.backends.local_chat import LocalChat, turn_ends
from decompose_distill.cost.pricing import FREE
from decompose_distill.errors import ConfigError
from decompose_distill.models.attention import reach
from decompose_distill.models.generation import (
    fastest_decode,
    forget_habits,
    generate_plainly,
    ignores_padding,
)
from decompose_distill.models.loading import context_window, load_model, load_tokenizer
from decompose_distill.types import Completion, Request, Sampling

Way = Callable[..., Iterator[tuple[int, list[int]]]]
"""Continues prompts: their numbers and what was written, as they finish."""
HASHED = 4096
"""Numbers of each tensor that tell weights apart."""
WINDOW_BATCHES = 4
"""Batches read ahead, so that prompts of like length share a batch."""


class TransformersBackend:
    """Runs a model from the hub, a directory or a `.gguf` file in this process.

    Args:
        name: Hub id, local directory, or path of a `.gguf` file.
        batch_size: Requests completed together.
        device: Where it runs, such as `cpu` or `cuda:1`; by default on the accelerator if there
            is one.
        dtype: Number type of the weights, `bfloat16` or `float32`; by default bfloat16 if the
            hardware multiplies it natively.

    Raises:
        BackendError: The model cannot be loaded; the message says why.
        MissingExtraError: A `.gguf` file without the packages that read it.

    Example:
        ```python
        backend = TransformersBackend("HuggingFaceTB/SmolLM2-135M-Instruct")
        decomposer = dd.Decomposer(backend)
        ```
    """

    price = FREE

    def __init__(
        self,
        name: str | Path,
        *,
        batch_size: int = 64,
        device: str | None = None,
        dtype: Literal["bfloat16", "float32"] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, not {batch_size}")
        self.name: str = str(name)
        self.batch_size = batch_size
        self.tokenizer: Any = load_tokenizer(name)
        numbers = None if dtype is None else getattr(torch, dtype)
        self.model: Any = load_model(name, dtype=numbers, device=device)
        forget_habits(self.model.generation_config)  # a request's `Sampling` says all
        self._proven: dict[int, Way | None] = {}

    def __repr__(self) -> str:
        return f"TransformersBackend({self.name!r}, batch_size={self.batch_size})"

    @property
    def identity(self) -> str:
        """Model, number type, and hashes of its weights and its chat template, for keys.

        The first use costs some milliseconds for each hundred million weights.
        """
        return (
            f"hf:{self.name} {self.model.dtype} weights {self._weights} template {self._template}"
        )

    @cached_property
    def _weights(self) -> str:
        return weights_hash(self.model)

    @property
    def _template(self) -> str:
        return sha256(str(self.tokenizer.chat_template).encode()).hexdigest()[:16]

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete requests of like sampling together, each as soon as it is finished.

        A prompt that leaves no room in the model's context window comes back as an error.
        """
        stream = iter(requests)
        while window := list(islice(stream, self.batch_size * WINDOW_BATCHES)):
            prompts = {request.id: self._chat.prompt(request) for request in window}
            fitting = []
            for request in window:
                if refused := self._chat.refused(request, prompts[request.id]):
                    yield refused
                else:
                    fitting.append(request)
            for group in _groups(fitting, prompts):
                yield from self._complete(group, [prompts[request.id] for request in group])

    @property
    def _chat(self) -> LocalChat:
        window = context_window(self.model.config)
        return LocalChat(self.name, self.tokenizer, self._ends, window)

    def _complete(
        self, group: Sequence[Request], prompts: Sequence[Sequence[int]]
    ) -> Iterator[Completion]:
        sampling, chat = group[0].sampling, self._chat
        run = self._way(max(map(len, prompts)) + sampling.max_new_tokens)
        for number, ids in run(self.model, prompts, sampling, self._ends, self.batch_size):
            yield chat.completion(group[number], len(prompts[number]), ids)

    def _way(self, longest: int) -> Way:
        """The fastest way to continue prompts of this length that is proven right."""
        window = reach(self.model.config)
        beyond = window if window and longest > window else 0
        if beyond not in self._proven:
            self._proven[beyond] = fastest_decode(self.model, beyond)
        if proven := self._proven[beyond]:
            return proven
        pad = self.tokenizer.pad_token_id
        return partial(_by_batches, pad=pad, together=self._ignores_padding)

    @cached_property
    def _ignores_padding(self) -> bool:
        return ignores_padding(self.model, self.tokenizer.pad_token_id)

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Ids of the tokens that end a turn, by the tokenizer, its chat template and the model."""
        return turn_ends(self.tokenizer, self.model.generation_config)


def weights_hash(model: Any) -> str:
    """Tell weights apart: a hash over name, shape, type and `HASHED` numbers of each tensor.

    The numbers are taken evenly from all over the tensor. Training of any kind changes some of
    them; a change of single numbers by hand may go unseen, as reading all would take minutes
    with a large model.
    """
    digest = sha256()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        numbers = tensor.detach().reshape(-1)
        some = numbers[:: max(1, len(numbers) // HASHED)].contiguous().view(torch.uint8)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(some.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _groups(requests: Sequence[Request], prompts: dict[str, list[int]]) -> Iterator[list[Request]]:
    """Group by sampling, and sort by prompt length."""
    groups: dict[Any, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.sampling, []).append(request)
    for group in groups.values():
        yield sorted(group, key=lambda request: len(prompts[request.id]))


def _by_batches(
    model: Any,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    ends: frozenset[int],
    slots: int,
    **options: Any,
) -> Iterator[tuple[int, list[int]]]:
    """Numbers of prompts and what was written, by transformers' `generate`, a batch at a time."""
    for start in range(0, len(prompts), slots):
        some = prompts[start : start + slots]
        yield from enumerate(generate_plainly(model, some, sampling, ends, **options), start)
