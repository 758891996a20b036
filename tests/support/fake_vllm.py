"""Stands in for the package `vllm`: an engine that echoes prompts, with the real one's names."""

import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class FakeEngine:
    """Writes the last tokens of a prompt backwards, one more finished request at a step."""

    def __init__(self, options: Mapping[str, object]) -> None:
        self.options = options
        self.model_config = SimpleNamespace(max_model_len=200, dtype="float32")
        self.queue: list[tuple[str, list[int], Any]] = []
        self.received: list[tuple[list[int], Any, Any]] = []
        self.aborted: list[str] = []
        self.reason: str | None = None
        """Of every end, in place of what happened."""

    def add_request(
        self, name: str, prompt: Mapping[str, list[int]], settings: Any, lora_request: Any = None
    ) -> None:
        ids = prompt["prompt_token_ids"]
        if settings.temperature > 2:
            raise ValueError("temperature must be in [0, 2]")
        self.queue.append((name, ids, settings))
        self.received.append((ids, settings, lora_request))

    def step(self) -> list[Any]:
        running = [SimpleNamespace(request_id=name, finished=False) for name, *_ in self.queue[1:]]
        name, ids, settings = self.queue.pop(0)
        written = ids[-6:-2][::-1] + settings.stop_token_ids[:1]
        reason = "stop" if len(written) <= settings.max_tokens else "length"
        written = written[: settings.max_tokens]
        return [
            *running,
            SimpleNamespace(
                request_id=name,
                finished=True,
                prompt_token_ids=ids,
                num_cached_tokens=2,
                outputs=[SimpleNamespace(token_ids=written, finish_reason=self.reason or reason)],
            ),
        ]

    def abort_request(self, names: list[str]) -> None:
        self.aborted += names
        self.queue = [queued for queued in self.queue if queued[0] not in names]


def install(monkeypatch: pytest.MonkeyPatch, fault: Exception | None = None) -> None:
    """Let `import vllm` give the fake; with a fault no engine starts."""

    def start(options: Mapping[str, object]) -> FakeEngine:
        if fault:
            raise fault
        return FakeEngine(options)

    package = ModuleType("vllm")
    parts = {"vllm": package}
    for name in ("sampling_params", "lora", "lora.request"):
        parts[f"vllm.{name}"] = ModuleType(f"vllm.{name}")
    package.EngineArgs = dict  # type: ignore[attr-defined]
    package.LLMEngine = SimpleNamespace(from_engine_args=start)  # type: ignore[attr-defined]
    package.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    kinds = SimpleNamespace(FINAL_ONLY="final only")
    parts["vllm.sampling_params"].RequestOutputKind = kinds  # type: ignore[attr-defined]
    parts["vllm.lora.request"].LoRARequest = lambda *facts: facts  # type: ignore[attr-defined]
    for name, part in parts.items():
        monkeypatch.setitem(sys.modules, name, part)
