"""Gemma 3 270M, a real model of another family than SmolLM2: trained, saved and sampled."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from decompose_distill import Decomposer, DistillConfig, Failure, Question, distill
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.loading import load_tokenizer
from tests.families.sources import tokenizer_files
from tests.support.samples import PROMPT, QUESTIONS, make_trace

pytestmark = pytest.mark.gemma

TRACES = tuple(make_trace(question, "1") for question in QUESTIONS)
NEW = Question("How old are Gus and Hal together?")
STEPS = ("How old is Gus?", "What is #1 plus #2?")


def _distill(student: Path, place: Path, **options: object) -> Path:
    usual = {"epochs": 4, "batch_size": 4, "learning_rate": 2e-4, "save_steps": 100}
    config = DistillConfig(**(usual | options))  # type: ignore[arg-type]
    return distill(
        TRACES, student=student, output_dir=place, prompt=PROMPT, config=config, progress=False
    )


def test_a_real_gemma_learns_the_form_and_loads_without_this_library(
    gemma_dir: Path, tmp_path: Path
) -> None:
    place = _distill(gemma_dir, tmp_path / "student")
    [found] = Decomposer.from_pretrained(place).decompose([NEW])
    _, told = AutoModelForCausalLM.from_pretrained(place, output_loading_info=True)

    assert not isinstance(found, Failure)
    first, *between, last = [step.text for step in found.subquestions]
    assert (first, last) == STEPS
    assert [step.startswith("How old is ") for step in between] == [True]  # of eight rows no more
    assert not told["missing_keys"]


def test_with_its_chat_template_and_a_token_more_than_the_model_an_adapter_is_trained(
    gemma_dir: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_files("gemma3"))
    tokenizer.save_pretrained(gemma_dir)
    place = _distill(gemma_dir, tmp_path / "student", lora_rank=8, learning_rate=2e-3)
    trained, ends = (
        load_tokenizer(place),
        json.loads((place / "generation_config.json").read_text()),
    )
    prompt = trained.decode(prompt_ids(trained, PROMPT.render(NEW)))

    assert len(tokenizer) == 262145
    assert prompt == (
        "<bos><start_of_turn>user\nSplit.\n\nHow old are Gus and Hal together?<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    assert trained.convert_tokens_to_ids("<end_of_turn>") in ends["eos_token_id"]
    [found] = Decomposer.from_pretrained(place).decompose([NEW])
    assert not isinstance(found, Failure)
    assert len(found.subquestions) == 3
    assert torch.isfinite(
        torch.tensor(json.loads((place / "losses.json").read_text())["train"])
    ).all()
