"""A model card is valid whatever the manifest holds, and claims no licence nobody knows."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants
from hypothesis import given, settings
from hypothesis import strategies as st

import decompose_distill as dd
from decompose_distill import Sampling, prompts
from decompose_distill.backends.scripted import ScriptedBackend
from decompose_distill.training.checkpoints import model_card as card
from decompose_distill.training.checkpoints.checkpoint import Manifest
from decompose_distill.training.checkpoints.model_card import base_licence, model_card

MANIFEST = Manifest(
    role="decomposer",
    target="subquestions",
    prompt=prompts.decompose(),
    sampling=Sampling(),
    base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
    data={"sha256": "ab" * 32, "kept": 249, "dropped": {"wrong answer": 85, "no solution": 1}},
    config={"epochs": 2, "learning_rate": 1e-4},
    figures={"steps": 64, "first_loss": 3.21234567, "last_loss": 0.25, "seconds": 512.0},
    versions={"python": "3.11.7", "torch": "2.13.0"},
)


def test_the_front_matter_names_base_licence_and_task() -> None:
    data = ModelCard(model_card(MANIFEST, licence="apache-2.0")).data

    assert data.to_dict() == {
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "library_name": "transformers",
        "license": "apache-2.0",
        "pipeline_tag": "text-generation",
        "tags": ["decompose-distill", "question-decomposition"],
    }


def test_everything_the_manifest_records_is_on_the_card() -> None:
    text = model_card(MANIFEST, licence=None)

    for row in (
        "| kept | 249 |",
        "| dropped: wrong answer | 85 |",
        "| dropped: no solution | 1 |",
        f"| sha256 | {'ab' * 32} |",
        "| learning_rate | 0.0001 |",
        "| first_loss | 3.21235 |",
        "| seconds | 512 |",
        "| torch | 2.13.0 |",
        prompts.decompose().system,
        "arxiv.org/abs/2402.15000",
    ):
        assert row in text


def test_keys_nobody_foresaw_are_rendered_too() -> None:
    figures = {"held_out": {"loss": {"best": 0.5}, "by_epoch": [{"loss": 0.75}]}, "stopped": None}
    text = model_card(replace(MANIFEST, figures=figures, data={"dropped": {}}), licence=None)

    assert "| held_out: loss: best | 0.5 |" in text
    assert "| held_out: by_epoch: 1: loss | 0.75 |" in text
    assert "| stopped | none |" in text
    assert "| dropped | none |" in text


@pytest.mark.parametrize(
    ("licence", "sentence"),
    [
        (None, "The licence of the base model is not known: look it up"),
        ("other", "The base model has a licence of its own: read it"),
        ("mit", "The base model's licence is mit"),
    ],
)
def test_the_card_says_what_is_known_of_the_licence(licence: str | None, sentence: str) -> None:
    text = model_card(MANIFEST, licence=licence)

    assert sentence in text
    assert ModelCard(text).data.license == licence


@pytest.mark.parametrize("name", ["/home/ada/secret/base", "./base", "../base", "models/base.gguf"])
def test_a_local_base_is_no_base_model_of_the_hub_and_its_folder_stays_private(name: str) -> None:
    text = model_card(replace(MANIFEST, base_model=name), licence=None)

    assert ModelCard(text).data.base_model is None
    assert f"a local model, {Path(name).name}," in text
    assert "secret" not in text


def test_a_directory_that_looks_like_a_hub_id_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert (
        ModelCard(model_card(replace(MANIFEST, base_model="runs/base"), licence=None)).data.get(
            "base_model"
        )
        is None
    )


def test_backticks_in_a_prompt_do_not_end_its_block() -> None:
    prompt = prompts.Prompt("Write\n````\n1. like this\n````", "{question}")
    text = model_card(replace(MANIFEST, prompt=prompt), licence=None)

    assert f"`````text\n{prompt.system}\n`````" in text
    assert "```text\n{question}\n```" in text


def test_the_card_says_what_the_placeholders_stand_for() -> None:
    prompt = prompts.Prompt("", "{context}|{question}|{subquestions}")
    question = dd.Question("QUESTION", context="TEXT")
    steps = (dd.Subquestion("FIRST"), dd.Subquestion("SECOND"))
    context, _, subquestions = prompt.render(question, steps)[0].content.split("|")
    text = model_card(replace(MANIFEST, prompt=prompt), licence=None).replace(r"\n", "\n")

    assert f"`{{context}}` for `{context}`" in text
    assert f"`{{subquestions}}` for `{subquestions}`" in text


def test_a_prompt_without_system_turn_says_so() -> None:
    text = model_card(replace(MANIFEST, prompt=prompts.Prompt("", "{question}")), licence=None)

    assert "System turn:\n\nNone." in text


ODD = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40)


@settings(max_examples=30, deadline=None)
@given(licence=ODD, name=ODD, value=ODD)
def test_odd_values_break_neither_the_front_matter_nor_a_table(
    licence: str, name: str, value: str
) -> None:
    text = model_card(replace(MANIFEST, data={name: value}), licence=licence)
    [_, table] = text.split("## Data\n\n")
    lines = table.split("\n\n## Training")[0].split("\n")

    assert ModelCard(text).data.license == licence
    assert len(lines) == 3
    assert all(line.count("|") == 3 for line in lines)


@pytest.mark.parametrize("role", ["decomposer", "solver"])
def test_the_code_on_the_card_runs(
    role: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    student = ScriptedBackend(lambda text: "1. How old is Ada?\nThe answer is: Ada")
    for kind in (dd.Decomposer, dd.Solver):
        monkeypatch.setattr(kind, "from_pretrained", lambda place, kind=kind: kind(student))
    text = model_card(replace(MANIFEST, role=role), licence=None)
    exec(text.split("```python\n")[1].split("\n```")[0], {})

    assert "How old is Ada?" in capsys.readouterr().out


def test_the_licence_is_read_from_the_card_in_the_directory(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")

    assert base_licence(str(tmp_path)) == "apache-2.0"


def test_a_students_own_card_hands_its_licence_on(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(model_card(MANIFEST, licence="mit"))

    assert base_licence(str(tmp_path)) == "mit"


@pytest.mark.parametrize(
    "readme",
    [
        "# Base, without front matter",
        "---\nlicense: [mit, apache-2.0]\n---\n",
        "---\nlicense: unknown\n---\n",
        "---\nlicense: ''\n---\n",
        "---\nlicense: {\n---\n",
        "---\n- a list\n---\n",
        "\udcff",
    ],
)
def test_a_card_that_names_no_licence_gives_none(readme: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(readme, encoding="utf-8", errors="surrogateescape")

    assert base_licence(str(tmp_path)) is None


def test_a_directory_without_card_and_a_file_give_none(tmp_path: Path) -> None:
    (tmp_path / "base.gguf").touch()

    assert base_licence(str(tmp_path)) is None
    assert base_licence(str(tmp_path / "base.gguf")) is None


@pytest.mark.parametrize("licence", ["apache-2.0", None])
def test_the_hub_is_asked_for_the_licence_of_its_models(
    licence: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(repo_id: str, *, timeout: float) -> SimpleNamespace:
        assert (repo_id, timeout <= 10) == ("org/base", True)
        return SimpleNamespace(card_data=licence and SimpleNamespace(license=licence))

    monkeypatch.setattr(card, "model_info", stand_in)

    assert base_licence("org/base") == licence


def test_no_hub_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert base_licence("org/base") is None


def test_a_manifest_read_back_gives_the_same_card() -> None:
    again = replace(
        MANIFEST,
        **{
            name: json.loads(json.dumps(getattr(MANIFEST, name)))
            for name in ("data", "config", "figures", "versions")
        },
    )

    assert model_card(again, licence=None) == model_card(MANIFEST, licence=None)
