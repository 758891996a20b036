"""The pages keep their word: their Python runs, their commands parse, no name is missing."""

import doctest
import re
import tomllib
from importlib import import_module
from pathlib import Path
from shlex import split
from types import FunctionType
from unittest.mock import create_autospec

import pytest
from typer.main import get_command

import decompose_distill as dd
from decompose_distill.cli.commands import app
from tests.support import llms
from tests.support.docs_blocks import PAGES, ROOT, blocks, docs_student, stand_ins, write_questions

__all__ = ["docs_student", "stand_ins"]

COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_python_of_a_page_runs_in_order_and_prints_what_it_says(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_questions(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language != "python" or not block.runs:
            continue
        padding = "\n" * (block.line - 1)  # so that a traceback shows the line of the page
        capsys.readouterr()
        exec(compile(padding + block.body, _name(page), "exec"), names)
        printed = capsys.readouterr().out
        if block.output is not None:
            same = doctest.OutputChecker().check_output(
                block.output, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )

            assert same, f"{_name(page)}:{block.line} printed:\n{printed}"


@pytest.fixture
def no_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what takes hours, a hub or an engine be called, with arguments that it takes."""
    calls = ("demo.run.run_demo", "backends.vllm.VLLMBackend", "paper")
    calls += tuple(f"training.checkpoints.publishing.{name}" for name in ("check_push", "push"))
    for call in calls:
        module, _, name = f"decompose_distill.{call}".rpartition(".")
        real = getattr(import_module(module), name)
        monkeypatch.setattr(f"{module}.{name}", create_autospec(real))
    load = dd.load_questions
    monkeypatch.setattr(
        dd, "load_questions", lambda name, **_: load(str(name).replace("gsm8k", "questions.jsonl"))
    )


@pytest.mark.usefixtures("stand_ins", "no_hours")
def test_the_longer_examples_of_docstrings_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_questions(tmp_path)
    Path("train.jsonl").rename("questions.jsonl")
    source = ROOT / "src" / "decompose_distill"
    first = [
        source / "__init__.py",
        source / "training" / "recipe.py",
    ]  # they write traces, student
    for path in (*first, *sorted({*source.rglob("*.py")} - {*first})):
        for block in blocks(path):
            name = ".".join(path.relative_to(source.parent).with_suffix("").parts)
            names = vars(import_module(name.removesuffix(".__init__"))) | {"dd": dd}
            exec(compile("\n" * (block.line - 1) + block.body, str(path), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_commands_of_a_page_have_the_options_it_gives_them(page: Path) -> None:
    scripts = (block.body for block in blocks(page) if block.language == "bash")
    text = "\n".join(scripts).replace("\\\n", " ")
    for line in re.findall(r"\bdecompose-distill ([\w-]+ .*)", text):
        command, *arguments = split(line.split("&&")[0], comments=True)

        assert COMMANDS[command].make_context(command, arguments).params


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"^::: decompose_distill\.(\w+)$", pages, re.MULTILINE))

    assert shown >= set(dd.__all__)


def test_every_name_in_the_reference_has_an_example() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for path in re.findall(r"^::: (decompose_distill\.[\w.]+)$", pages, re.MULTILINE):
        module, _, name = path.rpartition(".")
        shown = getattr(import_module(module), name)
        is_error = isinstance(shown, type) and issubclass(shown, Exception)
        if not is_error and isinstance(shown, type | FunctionType):
            assert "Example:" in (shown.__doc__ or ""), path


def test_every_command_and_option_is_in_the_reference() -> None:
    page = _page("reference/cli.md")
    for name, command in COMMANDS.items():
        assert f"## {name}" in page
        for parameter in command.params:
            assert f"`{max(parameter.opts, key=len)}`" in page or parameter.name == "help"


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs").as_posix()) in navigation


def test_every_link_between_files_leads_somewhere() -> None:
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_backend_package_of_the_how_to_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = list(blocks(ROOT / "docs" / "how-to" / "write-a-backend.md"))
    project = tomllib.loads(next(each.body for each in page if each.language == "toml"))["project"]
    [(group, points)] = project["entry-points"].items()
    metadata = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    rows = "\n".join(f"{name} = {target}" for name, target in points.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{rows}\n")
    [module] = {target.partition(":")[0] for target in points.values()}
    (tmp_path / f"{module}.py").write_text(
        next(each.body for each in page if each.body.startswith(f"# {module}.py"))
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    for name in points:
        dd.testing.check_backend(lambda name=name: dd.load_backend(f"{name}:model"))


def test_the_readme_keeps_its_two_commands_and_the_place_of_the_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.search(r"<!-- demo table -->.*<!-- /demo table -->", readme, re.DOTALL)
    assert "decompose-distill demo --output-dir runs/demo" in readme
    assert ".venv/bin/pytest" in readme


def test_llms_txt_lists_every_page_with_its_first_sentence() -> None:
    assert llms.PAGE.read_text(encoding="utf-8") == llms.written(), "python -m tests.support.llms"
