"""Which model lies at a name, told without loading it."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from decompose_distill.models.loading import load_config

MODEL_FILES = (".safetensors", ".gguf", ".json", ".jinja", ".model", ".txt")
BLOCK, BLOCKS = 1 << 14, 256
"""Bytes of a block, and how many of a large file are read."""


def content_hash(name: str | Path) -> str:
    """Tell what lies at a name apart from what lay there before, without loading it.

    Of files on this machine a hash over names, sizes and blocks from all over each: training of
    any kind changes some of them. Of the hub the commit.

    Raises:
        BackendError: There is no such model.
    """
    path = Path(name)
    if not path.exists():
        return str(load_config(name)._commit_hash)
    digest = sha256()
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        if file.suffix in MODEL_FILES:
            digest.update(f"{file.name} {file.stat().st_size}".encode())
            for block in _some_blocks(file):
                digest.update(block)
    return digest.hexdigest()[:16]


def _some_blocks(file: Path) -> Iterator[bytes]:
    step = max(BLOCK, file.stat().st_size // BLOCKS)
    with file.open("rb") as opened:
        for start in range(0, file.stat().st_size, step):
            opened.seek(start)
            yield opened.read(BLOCK)
