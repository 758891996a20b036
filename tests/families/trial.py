"""What is tried with each family, and what comes out, as one row of a table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from decompose_distill import (
    DecomposeDistillError,
    Decomposer,
    DistillConfig,
    Failure,
    Message,
    Question,
    Request,
    Sampling,
    Trace,
    distill,
    prompts,
)
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.models.chat_template import end_of_turn, prompt_ids
from decompose_distill.models.loading import end_tokens, load_model
from tests.families.families import Family
from tests.support.samples import make_trace

PROMPT = prompts.Prompt("Split the question.", "{context}{question}")
NEW_TOKENS = 12
CONTEXTS = (0, 12, 3, 30)
"""Words before each question, so that prompts are of unlike length and longer than a window."""
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn")


@dataclass(frozen=True, slots=True)
class Row:
    """What works with a family; a cell is `yes`, or what is said instead."""

    family: str
    source: str
    prompt: str = "–"
    """The published template alone gives the prompt that is trained and sampled."""
    end: str = "–"
    """The token that ends an answer, which is trained and in both configs."""
    full: str = "–"
    lora: str = "–"
    packed: str = "–"
    batched: str = "–"
    """A batch writes what transformers' `generate` writes to each prompt alone."""

    def __str__(self) -> str:
        return f"| {' | '.join(astuple(self))} |"


HEAD = """\
| Family | Tokenizer / template | Prompt | End of turn | Full | LoRA | Packed | Batched = alone |
|---|---|---|---|---|---|---|---|"""


def traces() -> tuple[Trace, ...]:
    """Six finished traces, with contexts of unlike length."""
    return tuple(
        make_trace(_question(one, other, words), "1")
        for (one, other), words in zip(_pairs(), CONTEXTS * 2, strict=False)
    )


def _pairs() -> list[tuple[str, str]]:
    return list(zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True))


def _question(one: str, other: str, words: int) -> Question:
    context = " ".join(f"{NAMES[at % 6]} knows {NAMES[at % 5]}." for at in range(words))
    return Question(f"How old are {one} and {other} together?", answer="1", context=context)


def try_family(family: Family, folder: Path) -> Row:
    """Train, save, read back and sample a tiny model of a family.

    Raises:
        AssertionError: Something is silently wrong.
    """
    base = family.make(folder / "base")
    try:
        student = _distill(base, folder / "full")
    except DecomposeDistillError as refusal:
        return Row(family.name, family.source, full=_words(refusal))
    _check_names(base, student)
    _check_plain_load(student)
    return Row(
        family.name,
        family.source,
        _prompt(student),
        _end(student),
        "yes",
        _lora(base, folder),
        _said(lambda: _distill(base, folder / "packed", packing=True)),
        _batched(base),
    )


def _distill(base: Path, place: Path, **options: Any) -> Path:
    config = DistillConfig(epochs=1, learning_rate=1e-3, dtype="float32", **options)
    checkpoint = distill(
        traces(), student=base, output_dir=place, prompt=PROMPT, config=config, progress=False
    )
    [found] = Decomposer.from_pretrained(checkpoint).decompose([_question("Ada", "Dan", 2)])
    assert not (isinstance(found, Failure) and found.reason == "error"), found
    return checkpoint


def _said(work: Callable[[], object]) -> str:
    """`yes` where it works, else the words of the refusal."""
    try:
        work()
    except DecomposeDistillError as refusal:
        return _words(refusal)
    return "yes"


def _words(refusal: Exception) -> str:
    """What is refused, without the name of a folder."""
    text = str(refusal)
    known = ("does not keep packed rows apart", "is an encoder-decoder", "has no linear layer")
    said = [words for words in known if words in text]
    assert said, text
    return f"refused: {said[0]}"


def _lora(base: Path, folder: Path) -> str:
    def work() -> None:
        _check_names(base, _distill(base, folder / "lora", lora_rank=2))

    return _said(work)


def _check_names(base: Path, student: Path) -> None:
    assert _tensors(student) == _tensors(base)


def _tensors(place: Path) -> set[str]:
    names: set[str] = set()
    for file in place.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            names |= set(opened.keys())
    return names


def _check_plain_load(student: Path) -> None:
    model, told = AutoModelForCausalLM.from_pretrained(student, output_loading_info=True)

    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert model.generation_config.eos_token_id == model.config.eos_token_id


def _prompt(student: Path) -> str:
    """Whether what a server renders is what was trained, with every text in it."""
    decomposer = Decomposer.from_pretrained(student)
    tokenizer: Any = decomposer.backend.tokenizer  # type: ignore[attr-defined]
    messages = decomposer.prompt.render(_question("Ada", "Bob", 3))
    turns = [{"role": message.role, "content": message.content} for message in messages]
    plain = AutoTokenizer.from_pretrained(student)
    text = plain.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = prompt_ids(tokenizer, messages)

    assert plain(text, add_special_tokens=False)["input_ids"] == ids
    assert all(message.content in plain.decode(ids) for message in messages)
    assert ids.count(plain.bos_token_id) <= 1 or plain.bos_token_id is None
    return "yes"


def _end(student: Path) -> str:
    tokenizer = AutoTokenizer.from_pretrained(student)
    end = end_of_turn(tokenizer)
    config = json.loads((student / "generation_config.json").read_text())
    ends = config["eos_token_id"]

    assert end in (ends if isinstance(ends, list) else [ends])
    return f"`{tokenizer.decode([end])}`".replace("|", "\\|")


def _batched(base: Path) -> str:
    """Whether rows of a batch write what each writes alone, beyond any window of attention."""
    backend = TransformersBackend(base)
    backend.model = load_model(base, dtype=torch.float32)
    pairs = zip(_pairs(), CONTEXTS, strict=False)
    chats = [PROMPT.render(_question(*names, words)) for names, words in pairs]
    asked = Sampling(max_new_tokens=NEW_TOKENS)
    requests = [Request(str(at), chat, asked) for at, chat in enumerate(chats)]
    written = {each.id: each.text for each in backend.generate(requests)}
    alone = {each.id: _alone(backend, each.messages) for each in requests}

    return "yes" if written == alone else "**no**"


def _alone(backend: TransformersBackend, messages: Sequence[Message]) -> str:
    tokenizer, known = backend.tokenizer, end_tokens(backend.model.generation_config)
    ends = {tokenizer.eos_token_id, end_of_turn(tokenizer), *known}
    ids = torch.tensor([prompt_ids(tokenizer, messages)])
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        eos_token_id=sorted(ends),
        pad_token_id=tokenizer.pad_token_id,
    )
    output = backend.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config
    )
    written = output[0, ids.shape[1] :].tolist()
    stop = next((at for at, token in enumerate(written) if token in ends), None)
    text: str = tokenizer.decode(written[:stop], skip_special_tokens=True)
    return text.strip()
