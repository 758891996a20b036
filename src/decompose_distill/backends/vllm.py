"""A local model on vLLM's engine: requests join and leave a running batch, LoRA stays unmerged."""

import importlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any, Literal

from decompose_distill.backends.local_chat import LocalChat, turn_ends
from decompose_distill.cost.pricing import FREE
from decompose_distill.errors import BackendError, ConfigError, MissingExtraError
from decompose_distill.models.adapters import (
    adapter_base,
    adapter_quantization,
    adapter_room,
    is_adapter,
)
from decompose_distill.models.content_hash import content_hash
from decompose_distill.models.loading import LONGEST, load_generation_config, load_tokenizer
from decompose_distill.types import Completion, Request, Sampling, Usage


class VLLMBackend:
    """Runs a model on vLLM's engine in this process; needs `[vllm]` and mostly a card.

    Prompts are the token ids that training saw, each request has a seed of its own, and a LoRA
    adapter is used beside its base without being merged. vLLM starts a process: keep the calls of
    a script behind `if __name__ == "__main__":`.

    Args:
        name: Hub id, or directory of a model or of a LoRA adapter.
        max_in_flight: Requests in the engine at a time; how many run at once is the engine's
            choice.
        dtype: Number type of the weights; by default that of the model's files.
        engine: Settings of vLLM's `EngineArgs`, such as `{"gpu_memory_utilization": 0.5}`.

    Raises:
        MissingExtraError: vLLM is not installed.
        BackendError: vLLM cannot run the model; the message says why.

    Example:
        ```python
        backend = VLLMBackend("runs/student")
        student = dd.Decomposer.from_pretrained("runs/student", backend=backend)
        ```
    """

    price = FREE

    def __init__(
        self,
        name: str | Path,
        *,
        max_in_flight: int = 256,
        dtype: Literal["bfloat16", "float32"] | None = None,
        engine: Mapping[str, object] | None = None,
    ) -> None:
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight must be 1 or more, not {max_in_flight}")
        self.name: str = str(name)
        self.max_in_flight = max_in_flight
        self.tokenizer: Any = load_tokenizer(name)
        self._vllm = _import("vllm")
        self._adapter = _adapter(name)
        self._engine = _start(self._vllm, name, {"dtype": dtype or "auto", **(engine or {})})
        ends = turn_ends(self.tokenizer, load_generation_config(name))
        window = int(self._engine.model_config.max_model_len)
        self._chat = LocalChat(self.name, self.tokenizer, ends, window)
        self._names = map(str, count())
        self._outputs: dict[str, Any] = {}
        """Finished, by the engine's name, until the call of `generate` that waits takes them."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"VLLMBackend({self.name!r}, max_in_flight={self.max_in_flight})"

    @cached_property
    def identity(self) -> str:
        """Model, number type, and a hash of its files, for keys."""
        names = [self.name, adapter_base(self.name)] if self._adapter else [self.name]
        files = " ".join(map(content_hash, names))
        return f"vllm:{self.name} {self._engine.model_config.dtype} files {files}"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete requests as they finish; new ones join as soon as there is room.

        A prompt that leaves no room in the context window, or that the engine refuses, comes back
        as an error.

        Raises:
            BackendError: The engine ended.
        """
        stream, waiting = iter(requests), dict[str, Request]()
        try:
            while True:
                for request in islice(stream, self.max_in_flight - len(waiting)):
                    name = next(self._names)
                    if refused := self._submit(name, request):
                        yield refused
                    else:
                        waiting[name] = request
                if not waiting:
                    return
                for output in self._finished(waiting):
                    yield self._read(waiting.pop(output.request_id), output)
        finally:
            self._forget(waiting)

    def _submit(self, name: str, request: Request) -> Completion | None:
        """Hand a request to the engine; gives a completion where it is refused."""
        prompt = self._chat.prompt(request)
        if refused := self._chat.refused(request, prompt):
            return refused
        try:
            with self._lock:
                settings = self._settings(request.sampling)
                self._engine.add_request(
                    name, {"prompt_token_ids": prompt}, settings, lora_request=self._adapter
                )
        except ValueError as error:
            words = f"vLLM refused the request: {shorten(str(error), LONGEST)}"
            return Completion(request.id, "", "error", Usage(len(prompt), 0), words)
        return None

    def _settings(self, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature or 0.0,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=sampling.seed or 0,
            stop_token_ids=sorted(self._chat.ends),
            detokenize=False,  # of its own tokens, by our tokenizer
            output_kind=_import("vllm.sampling_params").RequestOutputKind.FINAL_ONLY,
        )

    def _finished(self, waiting: Mapping[str, Request]) -> list[Any]:
        """Outputs that are there of these requests, one or more; others' are kept for them."""
        while True:
            with self._lock:
                if mine := waiting.keys() & self._outputs.keys():
                    return [self._outputs.pop(name) for name in sorted(mine, key=int)]
                for output in self._step():
                    if output.finished:
                        self._outputs[output.request_id] = output

    def _step(self) -> Sequence[Any]:
        try:
            outputs: Sequence[Any] = self._engine.step()
        except Exception as error:  # an engine that died raises all kinds
            raise BackendError(
                f"vLLM ended while it ran {self.name!r}: {shorten(str(error), LONGEST)}"
            ) from error
        return outputs

    def _read(self, request: Request, output: Any) -> Completion:
        written, prompt = output.outputs[0], len(output.prompt_token_ids)
        ids = list(written.token_ids)
        if written.finish_reason in ("stop", "length"):
            cached = output.num_cached_tokens or 0
            return self._chat.completion(request, prompt, ids, cached_tokens=cached)
        words = f"vLLM ended the request: {written.finish_reason}"
        return Completion(request.id, "", "error", Usage(prompt, len(ids)), words)

    def _forget(self, waiting: Mapping[str, Request]) -> None:
        """Take requests that nobody waits for any more out of the engine."""
        with self._lock:
            for name in waiting:
                self._outputs.pop(name, None)
            if waiting:
                self._engine.abort_request(list(waiting))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"vllm: backends need vLLM ({error}): pip install 'decompose-distill[vllm]'"
        ) from error


def _adapter(name: str | Path) -> Any:
    """How requests name the adapter; `None` for a model that is none."""
    if not is_adapter(name):
        return None
    return _import("vllm.lora.request").LoRARequest("student", 1, str(Path(name).absolute()))


def _start(vllm: ModuleType, name: str | Path, settings: dict[str, object]) -> Any:
    """The engine, with the model loaded.

    Raises:
        BackendError: It does not start.
    """
    options: dict[str, object] = {"model": str(name), "skip_tokenizer_init": True}
    if is_adapter(name):
        base = adapter_base(name)
        if is_adapter(base):
            raise BackendError(
                f"{name} is an adapter on the adapter {base}, which vLLM does not run: name it "
                f"hf:{name}, or train it with merge_lora=True"
            )
        if adapter_quantization(name):
            raise BackendError(
                f"{name} is an adapter on a base in 4 bits, which vLLM would run in other ones: "
                f"name it hf:{name}, or train it with merge_lora=True"
            )
        options |= {"model": base, "enable_lora": True, "max_lora_rank": adapter_room(name)}
    try:
        arguments = vllm.EngineArgs(**(options | settings))
        return vllm.LLMEngine.from_engine_args(arguments)
    except Exception as error:  # all kinds, of any library below
        raise BackendError(
            f"vLLM cannot run {str(name)!r}: {shorten(str(error), LONGEST)}. Its own log says "
            "more; engine={...} changes its settings"
        ) from error
