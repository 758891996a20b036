"""What is exported for TRL is what TRL's own trainers make of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from decompose_distill import Trace, export_traces, preference_pairs
from decompose_distill.interop.training_formats import Format
from tests.support.samples import PROMPT, make_trace

pytest.importorskip("datasets", reason="pip install 'decompose-distill[datasets]'")
trl = pytest.importorskip("trl", reason="pip install trl")


def _dataset(path: Path) -> Any:
    import datasets

    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return datasets.Dataset.from_list(rows)


def _config(kind: Any, folder: Path, **options: Any) -> Any:
    return kind(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        per_device_train_batch_size=2,
        max_steps=1,
        **options,
    )


@pytest.fixture
def student(tiny_dir: Path) -> tuple[Any, Any]:
    from decompose_distill.models.loading import load_model, load_tokenizer

    return load_model(tiny_dir), load_tokenizer(tiny_dir)


@pytest.mark.filterwarnings("ignore")  # those of the libraries below are not ours
def test_sft_trains_on_our_tokens_and_on_the_completion_only(
    student: tuple[Any, Any], learned: Sequence[Trace], tmp_path: Path
) -> None:
    from decompose_distill.training.data.examples import make_examples, tokenize

    export_traces(learned, tmp_path / "sft.jsonl", format="trl", prompt=PROMPT)
    model, tokenizer = student
    trainer = trl.SFTTrainer(
        model=model,
        args=_config(trl.SFTConfig, tmp_path / "out"),
        train_dataset=_dataset(tmp_path / "sft.jsonl"),
        processing_class=tokenizer,
    )
    examples = make_examples(learned, "decomposer", PROMPT, "subquestions")
    ours = [tokenize(tokenizer, each, 512) for each in examples]
    theirs = list(trainer.train_dataset)
    batch = trainer.data_collator(theirs)

    # TRL keeps the line break that the template puts behind the end of the turn; we do not.
    for row, labels, mine in zip(theirs, batch["labels"].tolist(), ours, strict=True):
        length = len(mine.ids)
        assert row["input_ids"][:length] == list(mine.ids)
        assert labels[:length] == [*[-100] * mine.start, *mine.ids[mine.start :]]
        assert tokenizer.decode(row["input_ids"][length:]).strip() == ""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["axolotl", "hub"])
def test_sft_takes_a_step_on_the_other_conversational_forms(
    form: Format, student: tuple[Any, Any], learned: Sequence[Trace], tmp_path: Path
) -> None:
    import datasets

    export_traces(learned, tmp_path / "sft", format=form, prompt=PROMPT)
    data = (
        datasets.load_dataset(
            str(tmp_path / "sft"), split="train", cache_dir=str(tmp_path / "cache")
        )
        if form == "hub"
        else _dataset(tmp_path / "sft")
    )
    model, tokenizer = student
    trainer = trl.SFTTrainer(
        model=model,
        args=_config(trl.SFTConfig, tmp_path / "out"),
        train_dataset=data,
        processing_class=tokenizer,
    )

    assert trainer.train().global_step == 1


@pytest.mark.filterwarnings("ignore")
def test_dpo_takes_a_step_on_preference_pairs(
    student: tuple[Any, Any], questions: Sequence[Any], tmp_path: Path
) -> None:
    from dataclasses import replace

    traces = []
    for question in questions:
        right = make_trace(question, question.answer or "")
        assert right.decomposition
        shorter = replace(right.decomposition, subquestions=right.decomposition.subquestions[:1])
        wrong = replace(right.outcome, decomposition=shorter, answer="7")
        traces += [right, replace(right, outcome=wrong)]
    preference_pairs(traces, prompt=PROMPT).write(tmp_path / "pairs.jsonl")
    model, tokenizer = student
    trainer = trl.DPOTrainer(
        model=model,
        args=_config(trl.DPOConfig, tmp_path / "out"),
        train_dataset=_dataset(tmp_path / "pairs.jsonl"),
        processing_class=tokenizer,
    )

    assert trainer.train().global_step == 1
