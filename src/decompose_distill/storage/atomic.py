"""Files that appear whole or not at all, and a disk that is full told as such."""

import errno
import filecmp
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from decompose_distill.errors import CheckpointError, ConfigError, DataError, DecomposeDistillError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_SAID = re.compile(rf"os error (?:{'|'.join(map(str, sorted(_FULL)))})\b")
"""In the words of libraries written in Rust, which raise no `OSError`."""


@contextmanager
def telling_full_disk(output_dir: Path) -> Iterator[None]:
    """Map what a full disk raises, in any library, to an error that says what to do.

    Raises:
        CheckpointError: There is no room for a file.
    """
    try:
        yield
    except DecomposeDistillError:
        raise
    except Exception as error:
        if not _is_full(error):
            raise
        raise CheckpointError(
            f"cannot write a file for {output_dir}: {error}. Free some space, there and in the "
            "folder for temporary files, and call again: what was trained so far is kept"
        ) from error


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _FULL or bool(_SAID.search(str(error)))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to that takes the place of `path` when the block ends well."""
    path = followed(path)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    sync(path.parent)


def followed(path: Path) -> Path:
    """The file itself where a path is a symbolic link to it."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes `path`, unless other content stands there already.

    Raises:
        ConfigError: There is other content; it stays.
        DataError: It cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            yield partial
            if path.exists() and not filecmp.cmp(partial, path, shallow=False):
                raise ConfigError(
                    f"{path} exists with other content: name another file, or remove it"
                )
    except OSError as error:
        raise DataError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small file."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def chunks(path: Path) -> Iterator[bytes]:
    """The content of a file, a megabyte at a time; nothing where there is no file."""
    if path.exists():
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk


def sync(path: Path) -> None:
    """Make sure that a file or folder is on the disk itself."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
