"""What is published: complete, the same each time it is built, and what its metadata say."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import decompose_distill as dd
from tests.support.oldest import oldest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two builds of the same files, with sdist and wheel in each."""
    for needed in ("hatchling", "hatch_fancy_pypi_readme"):
        pytest.importorskip(needed, reason="pip install hatchling hatch-fancy-pypi-readme")
    folders = (tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second"))
    for folder in folders:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)],
            cwd=ROOT,
            env={"SOURCE_DATE_EPOCH": "1764547200", "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return folders


def _tracked() -> set[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("no git checkout")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def test_two_builds_are_the_same_to_the_last_bit(built: tuple[Path, Path]) -> None:
    first, second = ({path.name: path.read_bytes() for path in each.iterdir()} for each in built)

    assert len(first) == 2
    assert first == second


def test_the_source_distribution_holds_every_file_of_the_repository(
    built: tuple[Path, Path],
) -> None:
    [path] = built[0].glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert _tracked() - names <= {".gitignore"}


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    [path] = built[0].glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    sources = {
        str(file.relative_to(ROOT / "src").as_posix())
        for file in (ROOT / "src").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    assert {name for name in names if ".dist-info/" not in name} == sources
    assert "decompose_distill/py.typed" in names


def test_the_page_of_the_package_index_leads_nowhere_that_only_the_repository_has(
    built: tuple[Path, Path],
) -> None:
    [path] = built[0].glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        page = archive.read(name).decode()

    assert re.findall(r"\]\((?!https?:|#)", page) == []
    assert "<!--" not in page
    assert "pip install decompose-distill" in page


def test_the_metadata_name_the_pythons_that_are_tested() -> None:
    named = {each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if ":: 3." in each}
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))

    assert named == {*workflow["jobs"]["tests"]["strategy"]["matrix"]["python"]}
    assert min(named) in PROJECT["requires-python"]


def test_what_is_imported_is_declared() -> None:
    declared = {re.split(r"[><=\[]", each)[0].replace("-", "_") for each in PROJECT["dependencies"]}
    optional = {"gguf", "peft", "bitsandbytes", "datasets", "pyarrow", "yaml", "ray"}
    optional |= {"wandb", "trackio", "tensorboard", "pandas"}
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            foreign = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
            foreign -= {"_typeshed"}  # of the standard library, for type checkers alone

            assert foreign <= declared | optional | {"decompose_distill"}, file


def test_every_dependency_has_an_oldest_version_and_no_newest() -> None:
    assert len(oldest()) == len(PROJECT["dependencies"])


def test_the_version_is_said_once() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert citation["version"] == PROJECT["version"]


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda f: f.name)
def test_workflows_and_templates_are_yaml(file: Path) -> None:
    assert yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_package_says_its_version() -> None:
    assert dd.__version__ == PROJECT["version"]
