"""A journal of requests: what a backend was asked once is not asked, nor paid, again."""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from decompose_distill.backend import (
    FIRST_LIMIT,
    Backend,
    BackendInfo,
    completions,
    info_of,
    sampling_key,
)
from decompose_distill.errors import BackendError, DataError
from decompose_distill.storage.jsonl import JsonlFile, decode_object, typed
from decompose_distill.types import Completion, Request, Usage

SCHEMA = 1
PARTS = ("cached_tokens", "reasoning_tokens")
"""Tokens that only some servers tell apart."""
MOST_HELD = 1024
"""Answers that may wait for one that is under way, before no more is asked until it is there;
a thousand times as many where the backend works in batches of hours."""
_KEY = re.compile("[0-9a-f]{64}")


class CompletionStore(JsonlFile):
    """A file of completions by the key of their request; see `JsonlFile` for what is durable when.

    Args:
        path: The file, created or continued.
        older: Another such file that is read too, and not written.
        guarded: Whether the file of traces beside which it stands is held open.

    Raises:
        ConfigError: Another run writes the file.
        DataError: A line is malformed; the message names file, line and field.

    Example:
        >>> import tempfile
        >>> from decompose_distill.types import Message
        >>> request = Request("0", (Message("user", "Hi"),))
        >>> with CompletionStore(tempfile.mkdtemp() + "/requests") as journal:
        ...     key = request_key(request, "some model")
        ...     journal.add(key, request, Completion("0", "Hello!"))
        ...     journal.find(key, request).text
        'Hello!'
    """

    def __init__(
        self, path: str | Path, older: Path | None = None, *, guarded: bool = False
    ) -> None:
        super().__init__(path, guarded=guarded)
        try:
            self._begins = {_digest(key): begins for begins, key in _scan(self.path)}
            self._older = _Archive(older) if older is not None and older.exists() else None
        except BaseException:
            self.__exit__()
            raise

    def add(self, key: str, request: Request, completion: Completion) -> None:
        """Keep a completion."""
        row = {
            "schema": SCHEMA,
            "key": key,
            "id": request.id,
            "seed": request.sampling.seed,
            "text": completion.text,
            "finish": completion.finish,
            "input_tokens": completion.usage.input_tokens,
            "output_tokens": completion.usage.output_tokens,
            **_further(completion),
        }
        self._begins[_digest(key)] = self.append(json.dumps(row))

    def find(self, key: str, request: Request) -> Completion | None:
        """The completion kept under a key, as an answer to this request."""
        row = self._row(key)
        if row is None or row["key"] != key:  # two keys with one digest
            return None
        return Completion(
            request.id,
            row["text"],
            row["finish"],
            _usage(row),
            reasoning=row.get("reasoning", ""),
            billed_usd=Decimal(row["billed_usd"]) if "billed_usd" in row else None,
        )

    def _row(self, key: str) -> dict[str, Any] | None:
        begins = self._begins.get(_digest(key))
        if begins is not None:
            return _decode(self.read(begins), f"{self.path} at byte {begins}")
        return self._older.row(key) if self._older else None


class _Archive:
    """Completions of a file that is only read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begins = {_digest(key): begins for begins, key in _scan(path)}

    def row(self, key: str) -> dict[str, Any] | None:
        begins = self._begins.get(_digest(key))
        if begins is None:
            return None
        with self._path.open("rb") as lines:
            lines.seek(begins)
            return _decode(lines.readline(), f"{self._path} at byte {begins}")


class CachingBackend:
    """Answers from a journal what was asked before, and asks the backend for the rest.

    A completion is in the journal before it is passed on. Errors are not kept, so they are
    asked again; equal requests under way at once are asked once.

    Example:
        >>> import tempfile
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> from decompose_distill.types import Message
        >>> asked = []
        >>> backend = ScriptedBackend(lambda text: asked.append(text) or "Hello!")
        >>> request = Request("0", (Message("user", "Hi"),))
        >>> with CompletionStore(tempfile.mkdtemp() + "/requests") as journal:
        ...     cached = CachingBackend(backend, journal)
        ...     [next(cached.generate([request])).text for _ in range(2)], asked
        (['Hello!', 'Hello!'], ['Hi'])
    """

    def __init__(self, backend: Backend, journal: CompletionStore) -> None:
        self.backend = backend
        self.journal = journal
        self.info: BackendInfo = info_of(backend)
        self.found: Usage = Usage()
        """Tokens of the answers that were in the store, and not paid for."""

    def __repr__(self) -> str:
        return f"Cached({self.backend!r}, {str(self.journal.path)!r})"

    def generate(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Complete each request once: stored answers at once, the others as they finish.

        Raises:
            BackendError: The backend permanently refused, or answered an unknown id.
        """
        stream = iter(requests)
        for request in stream:
            if stored := self.find(self.key(request), request):
                yield stored
                continue
            asking = _Round(self)
            for completion in completions(self.backend, asking.missing(chain([request], stream))):
                yield from asking.stored()
                yield from asking.keep(completion)
            yield from asking.stored()

    def key(self, request: Request) -> str:
        """The name under which the completion of a request is kept."""
        return request_key(request, self.info.identity, self.info.max_new_tokens)

    def find(self, key: str, request: Request) -> Completion | None:
        """The answer in the journal, counted as reused."""
        stored = self.journal.find(key, request)
        self.found += stored.usage if stored else Usage()
        return stored


class _Round:
    """One call of the backend: what it was asked, and what waits for its answers."""

    def __init__(self, cached: CachingBackend) -> None:
        self._cached = cached
        self._most = MOST_HELD * (1000 if cached.info.batch else 1)
        self._keys: dict[str, str] = {}
        self._alike: dict[str, list[Request]] = {}
        self._stored: deque[Completion] = deque()
        self._repeats = 0

    def missing(self, requests: Iterator[Request]) -> Iterator[Request]:
        """Pass on what is not in the journal, while the backend has something to do."""
        for request in requests:
            key = self._cached.key(request)
            if stored := self._cached.find(key, request):
                self._stored.append(stored)
            elif key in self._alike:
                self._alike[key].append(request)
                self._repeats += 1
            else:
                self._keys[request.id], self._alike[key] = key, [request]
                yield request
            if self._is_idle or len(self._stored) + self._repeats >= self._most:
                return

    @property
    def _is_idle(self) -> bool:
        """Whether answers wait for a backend that has none to give."""
        return not self._alike and bool(self._stored)

    def stored(self) -> Iterator[Completion]:
        """Yield what was in the store meanwhile."""
        while self._stored:
            yield self._stored.popleft()

    def keep(self, completion: Completion) -> Iterator[Completion]:
        """Keep an answer, and give it to every request that asked for it."""
        if completion.id not in self._keys:
            name = self._cached.info.identity
            raise BackendError(f"{name} answered an unknown id {completion.id!r}")
        key = self._keys.pop(completion.id)
        first, *repeats = self._alike.pop(key)
        if completion.finish != "error":
            self._cached.journal.add(key, first, completion)
        self._repeats -= len(repeats)
        yield completion
        for request in repeats:
            self._cached.found += completion.usage
            yield replace(completion, id=request.id)


def request_key(request: Request, identity: str, own_limit: int = FIRST_LIMIT) -> str:
    """The name under which a completion is kept: all that it depends on, hashed.

    Args:
        identity: Of the backend: endpoint, model and revision, or the hash of local weights and
            of their chat template.
        own_limit: `max_new_tokens` of the backend's `info`; see `sampling_key`.
    """
    turns = [(message.role, message.content) for message in request.messages]
    sampling = sampling_key(request.sampling, own_limit)
    parts = (identity, turns, sampling, request.sample, request.solve)
    return sha256(json.dumps(parts).encode()).hexdigest()


def _further(completion: Completion) -> dict[str, Any]:
    """Fields that few completions have; a line without them is as short as it always was."""
    usage, billed = completion.usage, completion.billed_usd
    fields = {
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "reasoning": completion.reasoning,
        "billed_usd": None if billed is None else str(billed),
    }
    return {name: value for name, value in fields.items() if value}


def _usage(row: Mapping[str, Any]) -> Usage:
    parts = {name: row[name] for name in PARTS if name in row}
    return Usage(row["input_tokens"], row["output_tokens"], **parts)


def _digest(key: str) -> int:
    return int(key[:16], 16)  # a number is a third of the text, and millions are held


def _scan(path: Path) -> Iterator[tuple[int, str]]:
    """Offset of each line, and its key."""
    begins = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return  # another run is writing it
            if line.strip():
                yield begins, _decode(line, f"{path}:{number}")["key"]
            begins += len(line)


def _decode(line: bytes | str, where: str) -> dict[str, Any]:
    row = decode_object(line, where)
    schema = typed(row, "schema", int, where)
    if schema != SCHEMA:
        raise DataError(f"{where}: schema {schema}; this version reads schema {SCHEMA}")
    if not _KEY.fullmatch(typed(row, "key", str, where)):
        raise DataError(f"{where}: field 'key' must be a SHA-256 in hexadecimal")
    if typed(row, "finish", str, where) not in ("stop", "length"):
        raise DataError(f"{where}: field 'finish' must be 'stop' or 'length'")
    typed(row, "text", str, where)
    for kind in ("input", "output"):
        typed(row, f"{kind}_tokens", int, where)
    for name, field_type in (*((part, int) for part in PARTS), ("reasoning", str)):
        if name in row:
            typed(row, name, field_type, where)
    if "billed_usd" in row:
        _amount(row, where)
    return row


def _amount(row: Mapping[str, Any], where: str) -> None:
    try:
        billed = Decimal(typed(row, "billed_usd", str, where))
        if billed.is_finite() and billed >= 0:
            return
    except InvalidOperation:
        pass
    raise DataError(f"{where}: field 'billed_usd' must be an amount, not {row['billed_usd']!r}")
