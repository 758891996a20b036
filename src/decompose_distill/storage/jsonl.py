"""A file of lines with one writer: appended durably, repaired after a kill, put in order whole."""

import json
import math
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from decompose_distill.errors import ConfigError, DataError
from decompose_distill.storage.atomic import followed, replacing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from filelock import BaseFileLock

SYNC_SECONDS = 1.0
"""Longest time between two waits for the disk while lines are added."""
MOST_NESTED = 100
"""Levels of nesting that JSON of others may have; data sets have some five."""


class InUse(ConfigError):
    """Another run writes the file."""


class JsonlFile:
    """An append-only file of JSON lines; each is with the operating system before the next.

    A kill of this process loses none of them. The disk is waited for once in `SYNC_SECONDS`
    and on closing, so a power cut may lose what was added since.

    Opening takes the lock that keeps other writers out, under whatever name of the file, and
    repairs a last line torn by a kill. Others may read meanwhile. A process that is forked off
    leaves file and lock to its parent. Use as a context manager. `guarded` says that the lock of
    the file it stands beside is held, as writers of all versions do first: it needs none then.

    Raises:
        ConfigError: Another run writes the file, or one that was forked off would.
        DataError: The file ends in something that is no line of JSON, or cannot be written.
    """

    def __init__(self, path: str | Path, *, guarded: bool = False) -> None:
        self.path: Path = followed(Path(path))
        self._process = os.getpid()
        with ExitStack() as undo, writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._held = undo.enter_context(ExitStack())
            if not guarded:
                self._held.callback(_locked(self.path).release)
            self._open()
            undo.callback(self._file.close)
            _repair_last_line(self.path)
            self._end = self._file.seek(0, os.SEEK_END)
            undo.pop_all()

    def _open(self) -> None:
        self._file: BinaryIO = self.path.open("ab+", buffering=0)
        _lock_content(self._file, self.path)
        self._end = self._file.seek(0, os.SEEK_END)
        self._synced = time.monotonic()

    def append(self, line: str) -> int:
        """Write one line, given without its end, and tell where it begins."""
        if os.getpid() != self._process:
            raise ConfigError(f"{self.path} was opened by another process, which goes on with it")
        data, begins = line.encode() + b"\n", self._end
        with writing(self.path):
            if self._file.write(data) != len(data):
                self._file.truncate(begins)  # what comes next must not be glued to it
                raise OSError("no room for a whole line")
            self._end += len(data)
            if time.monotonic() - self._synced > SYNC_SECONDS:
                self._sync()
        return begins

    def read(self, begins: int) -> str:
        """The line that begins there, without its end."""
        self._file.seek(begins)  # writing goes to the end all the same
        parts = []
        while part := self._file.read(4096):
            parts.append(part)
            if b"\n" in part:
                break
        return b"".join(parts).partition(b"\n")[0].decode()

    def put_last(self, order: Sequence[int], dropped: Collection[int]) -> None:
        """Rewrite the file, at once or not at all.

        Args:
            order: Offsets of the lines that are to stand last, in their new order.
            dropped: Offsets of the lines that are to go; all others stay as they are.
        """
        with writing(self.path), self.path.open("rb") as lines:
            others = _others(lines, sorted({*order, *dropped}))
            self.rewrite(chain(others, (_line(lines, begins) for begins in order)))

    def rewrite(self, parts: Iterable[bytes]) -> None:
        """Give the file other lines, at once or not at all."""
        self._close()
        with writing(self.path):
            with replacing(self.path) as partial, partial.open("wb") as new:
                new.writelines(parts)
            self._open()

    def append_all(self, parts: Iterable[bytes]) -> None:
        """Add whole lines in parts of any size, and wait for the disk."""
        with writing(self.path):
            with self.path.open("ab") as file:  # buffered, as our own is not
                file.writelines(parts)
            self._end = self._file.seek(0, os.SEEK_END)
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() != self._process:
            return  # to release the lock here would release the parent's
        try:
            if not self._file.closed:  # as it is where rewriting it failed
                with writing(self.path):
                    self._sync()
        finally:
            self._close()
            self._held.close()

    def _close(self) -> None:
        if not self._file.closed:
            _unlock_content(self._file)
            self._file.close()


def _others(lines: BinaryIO, left_out: Sequence[int]) -> Iterator[bytes]:
    upcoming = iter(left_out)
    skipped, begins = next(upcoming, None), 0
    for line in lines:
        if begins == skipped:
            skipped = next(upcoming, None)
        else:
            yield line
        begins += len(line)


def _line(lines: BinaryIO, begins: int) -> bytes:
    lines.seek(begins)
    return lines.readline()


def beside(path: str | Path, ending: str) -> Path:
    """The file that belongs to another: beside it, and also beside a link to it if it is there."""
    near = Path(f"{path}{ending}")
    return near if near.exists() else Path(f"{followed(Path(path))}{ending}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Map what the operating system says against writing."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot write: {error.strerror or error}; what is in it is kept: free some "
            "space or fix its permissions, then run again to go on"
        ) from error


def _locked(path: Path) -> "BaseFileLock":
    from filelock import FileLock, Timeout  # half of what importing this package would take

    lock = FileLock(f"{path}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _taken(path) from None
    return lock


def _taken(path: Path) -> InUse:
    return InUse(f"{path} is being written by another run: wait for it, or name another file")


def _lock_content(file: BinaryIO, path: Path) -> None:
    """Lock what is in the file, as it may have a second name (a hard link) with another lock."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise _taken(path) from None
    except OSError:  # some network file systems have no such locks
        return


def _unlock_content(file: BinaryIO) -> None:
    """Do so by name: closing the file leaves the lock to a process that was forked off."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _repair_last_line(path: Path) -> None:
    """Complete or drop what follows the last line end: a kill came in the middle of a write."""
    with path.open("rb+") as file:
        begins = _last_line(file)
        file.seek(begins)
        torn = file.read()
        if is_json(torn):
            file.write(b"\n")
        elif torn.startswith((b"{", b"\0")):  # zeros are what a power cut leaves
            file.truncate(begins)
        elif torn:
            raise DataError(f"{path}: not JSON: it ends in {torn[:40]!r}; name another file")


def _last_line(file: BinaryIO) -> int:
    """Byte offset just past the last newline, 0 if there is none."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def is_json(line: bytes) -> bool:
    """Whether a line is whole."""
    with suppress(ValueError, RecursionError):
        json.loads(line)
        return True
    return False


def decode_object(line: str | bytes, where: str) -> dict[str, Any]:
    """Read one line; `where` (file and line) starts every error message.

    Raises:
        DataError: The line is no JSON object, or holds NaN or an infinite number.
    """
    try:
        row = _STANDARD.decode(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}")
    return row


def decode_foreign(text: str, where: str, first_line: int | None = None) -> Any:
    """Read JSON that others wrote: what would be misread in silence is refused.

    NaN and infinite numbers pass, as they often stand in fields that nobody reads; who uses a
    number looks for them.

    Args:
        text: One value.
        where: File, and line where the text is one line.
        first_line: Number of the text's first line, if it has several.

    Raises:
        DataError: It is no JSON, an object holds a field twice, or it is nested beyond
            `MOST_NESTED` levels.
    """
    try:
        value = _FOREIGN.decode(text)
    except RecursionError:
        raise DataError(f"{where}: nested deeper than {MOST_NESTED} levels") from None
    except json.JSONDecodeError as error:
        line = "" if first_line is None else f":{first_line + error.lineno - 1}"
        raise DataError(f"{where}{line}: not JSON: {error.msg}, column {error.colno}") from None
    except ValueError as error:  # a field twice, or an integer of thousands of digits
        raise DataError(f"{where}: not JSON: {error}") from None
    return value


def check_nesting(row: Any, where: str) -> None:
    """Refuse what functions that follow the nesting could not walk.

    Raises:
        DataError: It is nested beyond `MOST_NESTED` levels; names the field.
    """
    if not _nested_beyond(row, MOST_NESTED):
        return
    fields = row.items() if isinstance(row, dict) else ()
    deep = [name for name, value in fields if _nested_beyond(value, MOST_NESTED - 1)]
    field = f"field {deep[0]!r} is " if deep else ""
    raise DataError(f"{where}: {field}nested deeper than {MOST_NESTED} levels")


def _nested_beyond(value: Any, levels: int) -> bool:
    level = [value] if type(value) in (dict, list) else []
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) in (dict, list)
        ]
        if not level:
            return False
    return bool(level)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        for name, value in pairs:
            if value is not fields[name] and value != fields[name]:
                raise ValueError(f"field {name!r} stands in one object twice, with other values")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


_STANDARD = json.JSONDecoder(parse_constant=_refuse_constant)
_FOREIGN = json.JSONDecoder(object_pairs_hook=_without_repeats)


def typed(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A field of a JSON object.

    Raises:
        DataError: It is missing, of another type, or a number that is not finite.
    """
    value = row.get(name)
    if type(value) is kind:  # exactly, as a bool is an int too; JSON makes no subclasses
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{where}: field {name!r} must be a finite number, not {value}")
        return value
    if name not in row:
        raise DataError(f"{where}: missing field {name!r}")
    actual = type(value).__name__
    raise DataError(f"{where}: field {name!r} must be {kind.__name__}, not {actual}")
