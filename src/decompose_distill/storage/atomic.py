"""Files that are on the disk whole, or not at all."""

import filecmp
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from decompose_distill.errors import ConfigError, DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to that takes the place of `path` when the block ends well."""
    path = followed(path)
    partial = path.with_name(path.name + ".partial")
    yield partial
    sync(partial)
    partial.replace(path)
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


def sync(path: Path) -> None:
    """Make sure that a file or folder is on the disk itself."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
