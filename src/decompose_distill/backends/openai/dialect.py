"""How one server wants to be asked: its provider's form, less what it has refused so far."""

import asyncio
import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import httpx2

from decompose_distill.backends.openai.providers import Provider
from decompose_distill.backends.openai.server_errors import ServerError
from decompose_distill.errors import ConfigError
from decompose_distill.types import Message, Request, Sampling

LIMITS = ("max_tokens", "max_completion_tokens")
SCOUT_SECONDS = 1.0
"""How long others wait for the first request's answer: a refusal comes at once."""
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
"""Part of the new tokens that an effort may think, if it is sent as a budget."""
_LEAST_BUDGET = 1024
_UNBOUNDED = 10**9
_OURS = ("messages", "stream", "n", *LIMITS)
"""Fields that would change what is read or billed."""

_REFUSES = re.compile(
    r"unsupported|(?:not|n't) (?:be )?(?:support|permit|allow|accept|available|implement|enabled"
    r"|recogni[sz]e|specified)|unrecogni[sz]ed|unknown|unexpected|extra\b|invalid|illegal|forbidden"
    r"|disallowed|deprecated|removed|incompatible|must|should|cannot|can't|only|instead|ignored"
    r"|not (?:an? )?(?:valid|known)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"unsupported|(?:not|n't) (?:be )?(?:support|permit|allow|accept|recogni[sz]e|implement)"
    r"|unrecogni[sz]ed|unknown|unexpected|extra\b|deprecated|instead|not (?:an? )?(?:valid|known)",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"\bsystem\W+(?:\w+\W+){0,3}?(?:role|message|prompt|instruction|turn)"
    r"|\b(?:role|message|prompt|instruction|turn)s?\b[^.]{0,60}\bsystem\b|developer instruction"
    r"|roles must alternate|only user and assistant|\bmessages\W+0\W+role\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;\n])\s+")
_AT_MOST = re.compile(
    r"(?:at most|less than or equal to|<=|up to|\[\s*1\s*,|\d\s*>|maximum (?:value|of|is|allowed))"
    r"[^\d.]{0,12}(\d{2,9})",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"(?:context[ _](?:length|window|size)|must be <=)\D{0,24}(\d{2,9})", re.I)
_WINDOW = re.compile(r"cannot be greater than max_model_len\W{0,3}(\d{2,9})", re.IGNORECASE)
"""vLLM's words: the whole of a window, whatever the prompt takes of it."""
_INPUT = re.compile(
    r"(\d{1,9})\D{0,3}(?:in the (?:messages|prompt|input)|inputs?\b|prompt\b)", re.IGNORECASE
)
_log = logging.getLogger(__name__)


class Dialect:
    """Writes the bodies of requests to one server, and learns what it refuses.

    A refusal costs one request more, once: the first request that holds something new goes
    alone, and the others wait until it is answered.

    Args:
        provider: Its form to begin with.
        extra_body: Fields of the user's, which go before all others.
        shown: The server's address, for the log.
        urls: Where completions may be, the likeliest first.
    """

    def __init__(
        self,
        provider: Provider,
        extra_body: Mapping[str, object] | None = None,
        shown: str = "",
        urls: Sequence[httpx2.URL] = (),
    ) -> None:
        self.provider = provider
        self.shown = shown
        self.urls = list(urls)
        self._extra = dict(extra_body or {})
        if ours := [name for name in _OURS if name in self._extra]:
            raise ConfigError(f"extra_body must not hold {ours[0]!r}, which requests set")
        try:
            json.dumps(self._extra, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"extra_body must be plain JSON: {error}") from None
        self._limit: str = provider.limit
        self._largest: int | None = None
        self._folds_system = False
        self._dropped: set[str] = set()
        self._tried: set[str] = set()
        self._scout: asyncio.Future[None] | None = None

    def before_learning(self) -> "Dialect":
        """The same as if nothing had been learnt."""
        return Dialect(self.provider, self._extra, self.shown, self.urls)

    def encode(self, model: str, request: Request) -> dict[str, object]:
        """The body of a request."""
        sampling, limit = request.sampling, request.sampling.max_new_tokens
        optional = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self._limit: min(limit, self._largest or limit),
            self.provider.seed: sampling.seed,
        }
        body: dict[str, object] = {"model": model, "messages": list(self._turns(request))}
        body |= {
            name: value
            for name, value in optional.items()
            if name and value is not None and name not in self._dropped
        }
        if "reasoning_effort" not in self._dropped:
            body |= self._effort(sampling)
        for name, value in self._extra.items():
            before = body.get(name)
            both = isinstance(before, dict) and isinstance(value, Mapping)
            body[name] = {**before, **value} if both else value  # type: ignore[dict-item]
        return body

    def learn(self, error: ServerError, request: Request) -> bool:
        """Leave out from now on what a refusal names; `False` if it names nothing of ours."""
        if error.status in (400, 422, 500) and self._refuses_system(error, request):
            self._folds_system = True
            self._say("no system turn: its text goes before the first user's", error)
            return True
        if error.status not in (400, 422):
            return False
        if self._lowers_limit(error, request):
            return True
        names = self._refused(error, self._optional(request.sampling))
        if self._limit in names:
            return self._swaps_limit(error)
        self._dropped |= names
        for name in sorted(names):
            self._say(f"no {name!r}: it is left out", error)
        return bool(names)

    async def enter(self, request: Request) -> "asyncio.Future[None] | None":
        """Wait while another request finds out what the server takes.

        Returns what this one must hand to `leave`, if it is to find out something itself.
        """
        features, loop = self._features(request), asyncio.get_running_loop()
        end = loop.time() + SCOUT_SECONDS
        while not features <= self._tried:
            scout = self._scout
            if scout is None or scout.done() or scout.get_loop() is not loop:
                self._scout = loop.create_future()
                return self._scout
            if loop.time() >= end:
                self._tried |= features  # so long a silence is a long answer: nobody waits any more
            else:
                await asyncio.wait([scout], timeout=end - loop.time())
        return None

    def leave(self, scout: "asyncio.Future[None] | None", request: Request) -> None:
        """End what `enter` began: the request was answered, or will not be."""
        if scout is not None:
            self._tried |= self._features(request)
            scout.set_result(None)

    def _turns(self, request: Request) -> Iterator[dict[str, str]]:
        messages = _folded(request.messages) if self._folds_system else request.messages
        for message in messages:
            yield {"role": message.role, "content": message.content}

    def _effort(self, sampling: Sampling) -> dict[str, object]:
        effort, provider = sampling.reasoning_effort, self.provider
        if effort is None:
            return {}
        if effort == "none" and provider.effort_none is not None:
            return dict(provider.effort_none)
        if provider.effort == "thinking.budget_tokens" and effort in _SHARES:
            budget = max(_LEAST_BUDGET, int(sampling.max_new_tokens * _SHARES[effort]))
            return {"thinking": {"type": "enabled", "budget_tokens": budget}}
        if provider.effort == "reasoning.effort":
            return {"reasoning": {"effort": effort}}
        return {"reasoning_effort": effort}

    def _optional(self, sampling: Sampling) -> dict[str, str]:
        """Names under which a server may refuse what can be left out, and what that is."""
        names = {name: name for name in ("temperature", "top_p", self._limit)}
        if self.provider.seed:
            names[self.provider.seed] = self.provider.seed
        names |= dict.fromkeys((*self._effort(sampling), "reasoning_effort"), "reasoning_effort")
        kept = {name: field for name, field in names.items() if field not in self._dropped}
        return {name: field for name, field in kept.items() if name not in self._extra}

    def _features(self, request: Request) -> set[str]:
        sampling = request.sampling
        values = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "reasoning_effort": sampling.reasoning_effort,
        }
        roles = {f"{message.role} turn" for message in request.messages}
        return {"limit"} | roles | {name for name, value in values.items() if value is not None}

    def _refused(self, error: ServerError, names: Mapping[str, str]) -> set[str]:
        """What it names, in fields of its own or else in the sentence that refuses."""
        if named := {names[name] for name in _named(error.fields, names)}:
            return named
        for sentence in _SENTENCE.split(error.text):
            if not _REFUSES.search(sentence):
                continue
            mentioned = {field for name, field in names.items() if _mentions(sentence, name)}
            if "both" in sentence and len(mentioned) > 1:
                mentioned.discard("temperature")  # one of the two is enough
            if len(mentioned) > 1 or not _UNKNOWN.search(sentence):
                mentioned.discard(self._limit)
            if mentioned:
                return mentioned
        return set()

    def _swaps_limit(self, error: ServerError) -> bool:
        other = LIMITS[1 - LIMITS.index(self._limit)]
        if other in self._dropped or not _UNKNOWN.search(error.text):
            return False
        self._dropped.add(self._limit)  # so that it never goes back and forth
        self._say(f"no {self._limit!r}: {other!r} is sent in its place", error)
        self._limit = other
        return True

    def _lowers_limit(self, error: ServerError, request: Request) -> bool:
        largest = _largest(error.text)
        sent = min(request.sampling.max_new_tokens, self._largest or _UNBOUNDED)
        if largest is None or not 0 < largest < sent:
            return False
        self._largest = largest
        self._say(f"at most {largest} new tokens, which are asked for from now on", error)
        return True

    def _refuses_system(self, error: ServerError, request: Request) -> bool:
        if self._folds_system or all(message.role != "system" for message in request.messages):
            return False
        texts = (*error.fields, error.text)
        return any(map(_SYSTEM.search, texts)) and bool(_REFUSES.search(error.text))

    def _say(self, what: str, error: ServerError) -> None:
        _log.warning("%s takes %s (it says: %s)", self.shown or "the server", what, error.words)


def _folded(messages: Collection[Message]) -> Iterator[Message]:
    """The same chat without system turns: their text stands before that of the next user's."""
    held: list[str] = []
    for message in messages:
        if message.role == "system":
            held.append(message.content)
        elif message.role == "user":
            yield Message("user", "\n\n".join([*held, message.content]))
            held = []
        else:
            yield message
    if held:
        yield Message("user", "\n\n".join(held))


def _named(fields: Collection[str], names: Mapping[str, Any]) -> Iterator[str]:
    for field in fields:
        first = re.split(r"[.\[]", field.removeprefix("body."), maxsplit=1)[0]
        if first in names:
            yield first


def _mentions(text: str, name: str) -> bool:
    """Whether a text has a name as a word, its parts joined in whatever way."""
    pattern = re.escape(name).replace("_", "[_ -]")
    return bool(re.search(rf"(?<![\w-]){pattern}(?![\w-])", text, re.IGNORECASE))


def _largest(text: str) -> int | None:
    """The most new tokens that a refusal allows, by its numbers.

    Example:
        >>> _largest("max_tokens is too large: 9000. This model supports at most 4096 tokens")
        4096
        >>> _largest("maximum context length is 4096 tokens and your request has 96 input tokens")
        4000
        >>> _largest("the question is too long")
    """
    if window := _WINDOW.search(text):
        return int(window[1]) // 2  # the prompt has the other half
    context, read = _CONTEXT.search(text), _INPUT.search(text)
    if context and read:
        room = int(context[1]) - int(read[1])
        return room if room > int(context[1]) // 8 else None  # else it is the text that is too long
    if not re.search(r"max_?(?:completion|new|output)?_?tokens|completion|output", text, re.I):
        return None
    most = _AT_MOST.search(text)
    return int(most[1]) if most else None
