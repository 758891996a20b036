"""A disk that is full, told as such at whatever file it strikes."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from decompose_distill.errors import CheckpointError, DecomposeDistillError

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
            f"cannot write a file for {output_dir}: {error}. Make room, there and in the folder "
            "for temporary files, and call again: what was trained so far is kept"
        ) from error


def _is_full(error: BaseException) -> bool:
    return getattr(error, "errno", None) in _FULL or bool(_SAID.search(str(error)))
