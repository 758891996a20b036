"""A manifest of somebody else's is read as data, and leads nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest

import decompose_distill as dd
from decompose_distill import CheckpointError, Sampling
from decompose_distill.training.checkpoints.manifest import MANIFEST, Manifest, load_manifest


def _write(folder: Path, **changes: Any) -> None:
    nothing: dict[str, Any] = {}
    manifest = Manifest(
        "decomposer",
        "subquestions",
        prompt=dd.prompts.decompose(),
        sampling=Sampling(),
        base_model="base",
        data=nothing,
        config=nothing,
        figures=nothing,
        versions={"torch": "2"},
    )
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json() | changes))


@pytest.mark.parametrize(
    "name",
    [
        *("../secret", "/etc/passwd", "a/../../secret", "..\\secret", "C:\\secret", "\\\\host\\x"),
        *("C:secret", "a/.."),
    ],
)
def test_a_file_outside_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    _write(tmp_path, files={name: "0" * 64})
    with pytest.raises(CheckpointError, match="outside of the folder"):
        load_manifest(tmp_path, role="decomposer")


def test_files_in_the_folder_and_below_are_read(tmp_path: Path) -> None:
    files = {"model.safetensors": "0" * 64, "sub/..model": "1" * 64}
    _write(tmp_path, files=files)

    assert load_manifest(tmp_path, role="decomposer").files == files


def test_a_manifest_says_what_it_was_told(tmp_path: Path) -> None:
    _write(tmp_path)

    assert load_manifest(tmp_path, role="decomposer").prompt == dd.prompts.decompose()
