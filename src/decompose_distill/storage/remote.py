"""Files at addresses such as s3://bucket/key, through fsspec, which knows each kind of storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from decompose_distill.errors import DataError, DecomposeDistillError, MissingExtraError


def is_remote(path: str | Path) -> bool:
    """Whether it is an address.

    Example:
        >>> is_remote("s3://bucket/traces.jsonl"), is_remote("traces.jsonl")
        (True, False)
    """
    return "://" in str(path)


def remote_files(address: str) -> Iterator[str]:
    """The files that an address means: itself, those of a folder, or those that fit a pattern.

    Raises:
        DataError: There is none.
        MissingExtraError: The package for that kind of address is missing.
    """
    with _explained(address, "cannot be read"):
        system, path = _system(address)
        if any(sign in path for sign in "*?["):
            names = system.glob(path)
        else:
            names = system.glob(f"{path}/*.jsonl") if system.isdir(path) else [path]
    if not names:
        raise DataError(f"{address}: no file of traces (*.jsonl) is there")
    yield from (system.unstrip_protocol(name) for name in sorted(names))


def open_remote(address: str) -> BinaryIO:
    """Open a file for reading.

    Raises:
        DataError: It is not there, or may not be read.
        MissingExtraError: The package for that kind of address is missing.
    """
    with _explained(address, "cannot be read"):
        system, path = _system(address)
        return cast("BinaryIO", system.open(path, "rb"))


@contextmanager
def writing_remote(address: str) -> Iterator[BinaryIO]:
    """A file to write, which appears whole when the block ends well.

    Raises:
        DataError: It cannot be written there.
        MissingExtraError: The package for that kind of address is missing.
    """
    with _explained(address, "cannot be written"):
        system, path = _system(address)
        with system.transaction, system.open(path, "wb") as file:
            yield file


def _system(address: str) -> tuple[Any, str]:
    import fsspec

    system, path = fsspec.core.url_to_fs(address)
    return system, path


@contextmanager
def _explained(address: str, what: str) -> Iterator[None]:
    try:
        yield
    except DecomposeDistillError:
        raise
    except ImportError as error:  # says itself what is to be installed
        raise MissingExtraError(f"{address}: {error}") from error
    except Exception as error:  # each kind of storage has its own, with no base in common
        raise DataError(f"{address} {what}: {error or type(error).__name__}") from error
