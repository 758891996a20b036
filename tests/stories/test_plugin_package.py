"""A package of somebody else's: built, installed, found by its entry point, and used."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import decompose_distill as dd
from tests.support.docs_blocks import ROOT

PACKAGE = ROOT / "tests" / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package's wheel is installed, and nothing else."""
    pytest.importorskip("hatchling", reason="pip install hatchling")
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(PACKAGE, folder / "source")
    build = ["-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    _run(source, *build)
    [wheel] = folder.glob("*.whl")
    target = folder / "installed"
    options = ["--no-index", "--no-deps", "--target", str(target)]
    _run(folder, "-m", "pip", "install", "--quiet", *options, str(wheel))
    return target


def _run(folder: Path, *arguments: str, path: str = "") -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    source = str(Path(dd.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, (path, source)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_line_lists_it_and_collects_with_it(installed: Path, tmp_path: Path) -> None:
    cli = ("-m", "decompose_distill")
    listed = json.loads(_run(tmp_path, *cli, "backends", "--json", path=str(installed)))
    (tmp_path / "questions.jsonl").write_text('{"question": "How old is Ada"}\n')
    options = ("questions.jsonl", "--teacher", "echo:plain", "--output", "traces.jsonl")
    _run(tmp_path, *cli, "collect", *options, path=str(installed))
    [trace] = dd.read_traces(tmp_path / "traces.jsonl")

    assert listed["backends"]["echo"] == "decompose_distill_echo:EchoBackend"
    assert trace.answer == "42"


def test_its_own_tests_pass(installed: Path) -> None:
    tests = installed.parent / "source" / "tests"
    _run(tests, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), path=str(installed))
