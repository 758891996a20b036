"""A proxy that gives the replies of a plain server in a provider's own dialect."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import httpx2

from decompose_distill.backends.openai.providers import Provider
from decompose_distill.backends.openai.replies import LENGTH, STOP
from decompose_distill.types import Usage
from tests.support.loopback import Loopback, Reply

THINKING = "1. Is this a trick?\n2. Is it late?\nThe answer is: 7"
"""What must be read neither as subquestions nor as an answer."""
THOUGHT_TOKENS, CACHED_TOKENS = 17, 5
_PLAIN = ("model", "messages", "temperature", "top_p", "max_tokens", "seed")


class DialectProxy(Loopback):
    """Serves until the block ends.

    It refuses what the provider's models may refuse, is busy once, and thinks before it speaks.

    Attributes:
        calls: Bodies that came in, in order.
        billed: Tokens of all that was answered.
    """

    def __init__(self, provider: Provider, upstream: str) -> None:
        super().__init__()
        self.provider = provider
        self.calls: list[dict[str, Any]] = []
        self.billed = Usage()
        self._upstream = httpx2.Client(base_url=upstream, timeout=240, trust_env=False)
        self._busy = True
        self._lock = threading.Lock()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._upstream.close()

    def handle(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        with self._lock:
            self.calls.append(request)
            number, busy = len(self.calls), self._busy
            if refusal := self._refusal(request):
                return refusal
            self._busy = False
        if busy:
            return Reply(429, self._error(429, "Busy: please slow down"), {"Retry-After": "0.01"})
        request["max_tokens"] = request.pop(self.provider.limit)
        if self.provider.seed in request:
            request["seed"] = request.pop(self.provider.seed)
        plain = {name: value for name, value in request.items() if name in _PLAIN}
        answer = self._upstream.post("chat/completions", json=plain)
        if answer.status_code != 200:
            return Reply(answer.status_code, answer.content)
        return Reply(200, self._spoken(answer.json(), number))

    def _refusal(self, request: Mapping[str, Any]) -> Reply | None:
        known = {*_PLAIN, self.provider.limit, self.provider.seed, "reasoning_effort", "reasoning"}
        known |= {"thinking", "chat_template_kwargs"} - {*self.provider.refuses}
        known -= {"max_tokens", "seed"} - {self.provider.limit, self.provider.seed}
        known -= {*self.provider.refuses}
        for name in request:
            if name not in known:
                words = f"Unsupported parameter: {name!r} is not supported with this model."
                return Reply(400, self._error(400, words))
        return None

    def _error(self, status: int, words: str) -> Any:
        """The provider's form of an error, with these words in it."""

        def filled(value: Any, name: str = "") -> Any:
            if isinstance(value, Mapping):
                return {key: filled(inner, key) for key, inner in value.items()}
            if isinstance(value, list | tuple):
                return [filled(inner) for inner in value]
            if name == "code" and isinstance(value, int):
                return status
            return words if name in ("message", "error") else value

        return filled(self.provider.error)

    def _spoken(self, plain: dict[str, Any], number: int) -> dict[str, Any]:
        """A plain reply as the provider gives it; of several forms of thinking, each in turn."""
        [choice] = plain["choices"]
        text, cut = choice["message"]["content"], choice["finish_reason"] == "length"
        forms = self.provider.thinking
        message = _message(forms[number % len(forms)] if forms else "", text)
        names = LENGTH if cut else STOP
        endings = [name for name in self.provider.finish_reasons if name in names]
        usage = self._usage(plain["usage"]["prompt_tokens"], plain["usage"]["completion_tokens"])
        reason = endings[number % len(endings)]
        return {**plain, "choices": [{"message": message, "finish_reason": reason}], "usage": usage}

    def _usage(self, read: int, spoken: int) -> dict[str, Any]:
        provider = self.provider
        thought = THOUGHT_TOKENS if provider.thinking or provider.thinking_tokens else 0
        written = spoken + thought
        with self._lock:
            self.billed += Usage(read, written)
        usage: dict[str, Any] = {
            "prompt_tokens": read,
            "completion_tokens": spoken if provider.thinking_outside else written,
            "total_tokens": read + written,
        }
        paths = {provider.thinking_tokens: thought, provider.cached_tokens: CACHED_TOKENS}
        for path, count in paths.items():
            *outer, name = path.split(".")
            if name and " " not in name:
                (usage.setdefault(outer[0], {}) if outer else usage)[name] = count
        return usage


def _message(form: str, text: str) -> dict[str, Any]:
    if form.startswith("<"):
        return {"role": "assistant", "content": f"{form}{THINKING}</{form[1:]}\n{text}"}
    if form.startswith("content parts"):
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": THINKING}]}
        return {"role": "assistant", "content": [thought, {"type": "text", "text": text}]}
    if form == "reasoning_details":
        details = [{"type": "reasoning.text", "text": THINKING}]
        return {"role": "assistant", "content": text, "reasoning_details": details}
    return {"role": "assistant", "content": text} | ({form: THINKING} if form else {})
