"""The code blocks of a Markdown page, and stand-ins so that they run without a network."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import decompose_distill as dd
from decompose_distill.backends.replay import ScriptedBackend

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(
    r"(?P<mark><!-- no-run -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; `output` is the text block that follows directly, if there is one."""

    language: str
    body: str
    line: int
    runs: bool
    output: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    for match, after in zip_longest(found, found[1:]):
        directly = after and not text[match.end() : after.start()].strip()
        output = after["body"] if after and directly and after["language"] == "text" else None
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("body")) + 1
        yield Block(match["language"], body, line, match["mark"] is None, output)


def speak(text: str) -> str:
    """Stands in for a model behind a server: decomposes and solves ages."""
    asked = re.search(r"How old are Ada and (\w+) together", text)
    other = asked[1] if asked else "Bob"
    if "Subquestions:" in text:
        return f"Ada is 40 and {other} is 2, so 42.\nThe answer is: 42"
    return f"1. How old is Ada?\n2. How old is {other}?\n3. What is #1 plus #2?"


def questions(names: str) -> Iterator[dict[str, str]]:
    for name in names.split():
        yield {"question": f"How old are Ada and {name} together?", "answer": "42"}


def write_questions(folder: Path) -> None:
    """The files that the pages take for granted."""
    for file, names in {
        "train.jsonl": "Bob Cleo Dan Eve Finn Gina Hugo Ines",
        "heldout.jsonl": "Jon Kim Lea Max",
    }.items():
        rows = (json.dumps(row) + "\n" for row in questions(names))
        (folder / file).write_text("".join(rows), encoding="utf-8")


@pytest.fixture(scope="session")
def docs_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama that stands in for every model the pages name."""
    from decompose_distill.demo.tiny_model import make_tiny_student

    texts = [dd.prompts.decompose().system, dd.prompts.JOINT.system, speak(""), "Question: " * 9]
    place = tmp_path_factory.mktemp("docs") / "base"
    return make_tiny_student(texts, place, hidden_size=64, layers=1, vocab_size=640)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, docs_student: Path) -> None:
    """Give the pages a server that answers at once, and a student that is a small file."""
    from decompose_distill.backends import transformers
    from decompose_distill.backends.openai.batch import backend as openai_batch
    from decompose_distill.training import recipe
    from decompose_distill.training.data import preparation as prepare
    from decompose_distill.training.engine import student

    reads = {
        transformers: ("load_model", "load_tokenizer"),
        prepare: ("load_config", "load_tokenizer"),
        student: ("load_student",),
    }
    monkeypatch.setattr(recipe, "base_licence", lambda name: None)
    for module, names in reads.items():
        for name in names:
            load = getattr(module, name)
            monkeypatch.setattr(module, name, _instead_of_the_hub(load, docs_student))
    monkeypatch.setenv("OPENAI_API_KEY", "stand-in")
    monkeypatch.setattr(dd, "load_backend", _instead_of_a_server(dd.load_backend))
    if find_spec("pandas") is None:
        monkeypatch.setitem(sys.modules, "pandas", Mock())
    monkeypatch.setattr(
        openai_batch.OpenAIBatchBackend,
        "generate",
        lambda self, requests: ScriptedBackend(speak).generate(requests),
    )


def _instead_of_the_hub(load: Callable[..., object], place: Path) -> Callable[..., object]:
    def stand_in(name: object, **options: object) -> object:
        return load(name if Path(str(name)).exists() else place, **options)

    return stand_in


def _instead_of_a_server(
    load: Callable[..., dd.Backend],
) -> Callable[..., dd.Backend]:
    def stand_in(name: str, **options: Any) -> dd.Backend:
        load(name, **options)  # the arguments must be right
        return ScriptedBackend(speak, identity=name) if name.startswith("openai:") else load(name)

    return stand_in
