"""The public surface is deliberate, documented, and light to import."""

import ast
import doctest
import importlib
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import decompose_distill as dd

SOURCE = Path(dd.__file__).parent
ROOT = Path(__file__).parents[1]

ROOMS = (
    ("errors",),
    ("faces", "keys", "scores", "console"),
    ("types",),
    ("backend", "models", "parsing", "storage"),
    ("cost", "data", "prompts", "testing"),
    ("filters",),
    ("backends", "pipelines", "training"),
    ("collection",),
    ("evaluation", "interop"),
    ("reporting", "demo"),
    ("experiments",),
    ("cli",),
)
"""The rooms in the order of the data: each imports only from rows above its own."""

NEVER = {
    "training": {"backends", "pipelines"},
    "cost": {"pipelines", "prompts", "parsing"},
}
"""What the order would allow and the design does not."""


def _runs(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from _runs(child)


def _imports(tree: ast.AST, top_level_only: bool) -> set[str]:
    nodes = ast.iter_child_nodes(tree) if top_level_only else _runs(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("decompose_distill"):
            inside = (node.module or "").split(".")[1:2]
            found.update(inside or [alias.name for alias in node.names])
    return found


@pytest.mark.parametrize("room", [room for row in ROOMS for room in row])
def test_imports_go_one_way(room: str) -> None:
    row = next(number for number, rooms in enumerate(ROOMS) if room in rooms)
    allowed = {above for rooms in ROOMS[:row] for above in rooms} - NEVER.get(room, set())
    folder = SOURCE / room
    files = folder.rglob("*.py") if folder.is_dir() else [SOURCE / f"{room}.py"]
    for file in files:
        imported = _imports(ast.parse(file.read_text(encoding="utf-8")), top_level_only=True)

        assert imported <= allowed | {room}, file


def test_every_module_has_its_room_in_the_table() -> None:
    names = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    rooms = {name for name in names if "__" not in name}

    assert rooms == {room for row in ROOMS for room in row}


def _module(file: Path) -> str:
    parts = ("decompose_distill", *file.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


FILES = {_module(file): file for file in SOURCE.rglob("*.py")}


def _statements(node: ast.AST, *, functions: bool) -> Iterator[ast.AST]:
    """All below a node but what only type checkers read; functions run later, or never."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        is_typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not is_typing and (functions or not is_function):
            yield child
            yield from _statements(child, functions=functions)


def _imported(module: str, *, functions: bool) -> set[str]:
    """Files that a file imports, by the names it writes."""
    names: set[str] = set()
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    for node in _statements(tree, functions=functions):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("decompose_distill"):
            targets = (f"{node.module}.{alias.name}" for alias in node.names)
            names |= {name if name in FILES else str(node.module) for name in targets}
    return names - {module}


@cache
def _longest_chain(module: str) -> tuple[str, ...]:
    """The longest chain of files, each importing the next."""
    chains = map(_longest_chain, _imported(module, functions=False))
    return (module, *max(chains, key=len, default=()))


def test_no_file_stands_on_a_tall_tower_of_imports() -> None:
    longest = max(map(_longest_chain, FILES), key=len)

    assert len(longest) <= 12, " > ".join(longest)


def test_the_house_stays_small() -> None:
    rooms = {room for row in ROOMS for room in row}
    arrows = {
        (room, target)
        for module in FILES
        for name in _imported(module, functions=True)
        for room in module.split(".")[1:2]
        for target in name.split(".")[1:2]
        if room != target and {room, target} <= rooms
    }

    assert len(rooms) <= 26
    assert len(arrows) <= 150
    assert len([file for file in SOURCE.glob("*.py") if "__" not in file.stem]) <= 8


BLANK = {"ENCODING", "COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}


def _code_lines(module: str) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    text = FILES[module].read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kept = [token for token in tokens if tokenize.tok_name[token.type] not in BLANK]
    lines = {line for token in kept for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


@pytest.mark.parametrize(
    ("modules", "most"),
    [
        (("training.engine.ranks", "training.engine.sharding"), 200),
        (("collection.ray_engine",), 150),
    ],
)
def test_what_spreads_work_over_machines_is_small_enough_to_read(
    modules: tuple[str, ...], most: int
) -> None:
    assert sum(_code_lines(f"decompose_distill.{module}") for module in modules) <= most


def test_every_public_name_is_there_and_documented() -> None:
    for name in dd.__all__:
        assert getattr(dd, name).__doc__, name
    assert dir(dd) == dd.__all__ == sorted(dd.__all__)


MODULES = [
    ".".join(("decompose_distill", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in sorted(SOURCE.rglob("*.py"))
    if path.stem != "__init__"
]


FACES = [
    ".".join(("decompose_distill", *path.relative_to(SOURCE).parent.parts))
    for path in sorted(SOURCE.rglob("__init__.py"))
    if path.parent != SOURCE
]


@pytest.mark.parametrize("package", FACES)
def test_a_face_shows_type_checkers_what_it_gives(package: str) -> None:
    face = importlib.import_module(package)
    tree = ast.parse(Path(face.__file__ or "").read_text(encoding="utf-8"))
    shown = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}.")
        for alias in node.names
    }

    assert shown <= {*dir(face)}
    assert not any(isinstance(getattr(face, name), ModuleType) for name in shown)


@pytest.mark.parametrize("folder", ["docs", "examples", "benchmarks"])
def test_what_users_read_names_faces_never_files_below_them(folder: str) -> None:
    files = {module for module in MODULES if module.count(".") > 1}
    pattern = re.compile("|".join(rf"{re.escape(file)}\b" for file in sorted(files)))
    for page in sorted((ROOT / folder).rglob("*")):
        if page.suffix in (".md", ".py"):
            assert not pattern.findall(page.read_text(encoding="utf-8")), page


def test_no_module_bears_a_public_functions_name() -> None:
    modules = {path.stem for path in SOURCE.rglob("*") if path.suffix == ".py" or path.is_dir()}
    functions = {name for name in dd.__all__ if type(getattr(dd, name)).__name__ == "function"}

    assert not modules & functions


def test_a_lazy_name_stays_the_same_on_second_access() -> None:
    assert dd.distill is dd.distill
    assert callable(dd.distill)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        dd.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy_and_opens_no_socket() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        "import decompose_distill\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'numpy', 'httpx2', 'tqdm', 'typer'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_run(module: str) -> None:
    result = doctest.testmod(
        importlib.import_module(module),
        extraglobs={name: getattr(dd, name) for name in dd.__all__},
        optionflags=doctest.ELLIPSIS,
    )

    assert result.failed == 0
