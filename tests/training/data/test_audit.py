"""Each fault that would spoil a student in silence is caught before the first step."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decompose_distill import (
    DistillConfig,
    Question,
    Trace,
    TrainingError,
    distill,
    filters,
)
from decompose_distill.models.chat_template import end_of_turn
from decompose_distill.models.loading import load_config, load_tokenizer
from decompose_distill.training.data import preparation as prepare_module
from decompose_distill.training.data.audit import audit_row, audit_rows, end_masked, show_rows
from decompose_distill.training.data.batching import pad_rows
from decompose_distill.training.data.examples import (
    Example,
    TokenizedExample,
    make_examples,
    tokenize,
)
from decompose_distill.training.data.token_dataset import write_rows
from tests.support.samples import PROMPT, make_trace

Break = Callable[[Any, TokenizedExample], TokenizedExample]


@pytest.fixture
def tokenizer(tiny_dir: Path) -> Any:
    return load_tokenizer(tiny_dir)


@pytest.fixture
def example(learned: tuple[Trace, ...]) -> Example:
    return next(make_examples(learned, "decomposer", PROMPT, "subquestions"))


def _without_end(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, ids=row.ids[:-1])


def _cut_off(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, ids=(*row.ids[:-6], row.ids[-1]))


def _other_prompt(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, ids=(row.ids[0], *row.ids[2:]), start=row.start - 1)


def _nothing_trained(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, start=len(row.ids))


def _special_token(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, ids=(*row.ids[:-1], end_of_turn(tokenizer), row.ids[-1]))


def _other_words(tokenizer: Any, row: TokenizedExample) -> TokenizedExample:
    return replace(row, ids=(*row.ids[:-2], row.ids[-3], row.ids[-3], row.ids[-1]))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (_without_end, r"the end-of-turn token '<\|end\|>' is not trained"),
        (_cut_off, "its completion is cut off"),
        (_other_prompt, "the prompt differs from what sampling sends, from token 1 on"),
        (_nothing_trained, "no token of it would be trained"),
        (_special_token, r"its text holds the control token '<\|end\|>'"),
        (_other_words, "the tokenizer does not give its completion back"),
    ],
)
def test_a_broken_row_is_named_with_the_reason(
    broken: Break, message: str, tokenizer: Any, example: Example
) -> None:
    row = tokenize(tokenizer, example, 512)
    audit_row(tokenizer, example, row)

    with pytest.raises(TrainingError, match=f"audit: trace {re.escape(row.name)}: {message}"):
        audit_row(tokenizer, example, broken(tokenizer, row))


def test_a_tokenizer_that_loses_letters_is_caught(tokenizer: Any, example: Example) -> None:
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()

    with pytest.raises(TrainingError, match="does not give its completion back"):
        audit_row(tokenizer, example, tokenize(tokenizer, example, 512))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("How many? The answer is: 72", "gives the answer '72' away"),
        ("How many? #### 72.", "gives the answer '72' away"),
        ("How many?\n1. How old is Ada?\n2. What is #1 plus 2?", "holds the whole completion"),
    ],
)
def test_an_answer_in_the_prompt_is_a_leak(words: str, reason: str, tokenizer: Any) -> None:
    completion = "1. How old is Ada?\n2. What is #1 plus 2?"
    messages = PROMPT.render(Question(words))
    example = Example("q#0", "q", messages, completion, ("64 + 8 = 72\n#### 72",))

    with pytest.raises(TrainingError, match=f"audit: trace q#0: its prompt {reason}"):
        audit_row(tokenizer, example, tokenize(tokenizer, example, 512))


def test_an_answer_that_occurs_in_the_question_by_nature_is_no_leak(tokenizer: Any) -> None:
    messages = PROMPT.render(Question("Who is older, Ada or Bob, who is 72 and answers 721?"))
    example = Example("q#0", "q", messages, "1. How old is Ada?", ("Ada", "72"))

    audit_row(tokenizer, example, tokenize(tokenizer, example, 512))


def _distill(traces: list[Trace], tiny_dir: Path, tmp_path: Path, **options: Any) -> Path:
    return distill(
        traces,
        student=tiny_dir,
        output_dir=tmp_path / "s",
        prompt=PROMPT,
        progress=False,
        **options,
    )


def test_completions_that_are_all_the_same_are_refused(tiny_dir: Path, tmp_path: Path) -> None:
    twins = [make_trace(Question(f"Is it {number}?", answer="1"), "1") for number in range(3)]

    with pytest.raises(TrainingError, match="audit: all 3 completions are the same"):
        _distill(twins, tiny_dir, tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_many_repeated_rows_are_refused_and_can_be_dropped_or_allowed(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    many = [replace(trace, sample=sample) for trace in learned[:2] for sample in range(5)]

    with pytest.raises(TrainingError, match=r"audit: 8 of 10 examples repeat another one"):
        _distill(many, tiny_dir, tmp_path)
    assert _distill(many, tiny_dir, tmp_path, keep=filters.distinct())
    (tmp_path / "s").rename(tmp_path / "first")
    assert _distill(many, tiny_dir, tmp_path, config=DistillConfig(max_duplicates=0.8))


def test_a_validation_question_that_is_also_trained_is_refused(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="its prompt is also trained on, as are 2 of 3"):
        _distill([*learned[:5]], tiny_dir, tmp_path, validation=learned[3:6])


def test_samples_of_one_question_are_held_out_together(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    many = [replace(trace, sample=sample) for trace in learned for sample in range(2)]
    task = prepare_module.make_task(tiny_dir, "decomposer", prompt=PROMPT)
    found = prepare_module.prepare(task, many, filters.complete, 0.4, tmp_path)

    assert 0 < len(found.validation) < len(many)
    assert not found.validation.shared_prompts(found.train)
    assert len(found.validation) + len(found.train) == len(many)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(
    tokenizer: Any, tiny_dir: Path, rows: list[TokenizedExample], tmp_path: Path
) -> None:
    config = load_config(tiny_dir)
    train = write_rows(rows, tmp_path)
    none = train.where(np.zeros(len(rows), bool))
    audit_rows(tokenizer, config, train, none, 0.5)
    config.vocab_size = 100

    with pytest.raises(TrainingError, match=r"the tokenizer has \d+ tokens, the model only 100"):
        audit_rows(tokenizer, config, train, none, 0.5)


def test_a_token_that_only_the_tokenizer_knows_is_no_matter_while_it_is_not_used(
    tokenizer: Any, tiny_dir: Path, rows: list[TokenizedExample], tmp_path: Path
) -> None:
    config, train = load_config(tiny_dir), write_rows(rows, tmp_path)
    none = train.where(np.zeros(len(rows), bool))
    tokenizer.add_tokens(["<image>"], special_tokens=True)  # as Gemma 3's, past the vocabulary
    audit_rows(tokenizer, config, train, none, 0.5)
    tokenizer.pad_token = "<image>"

    assert len(tokenizer) == config.vocab_size + 1
    with pytest.raises(TrainingError, match=rf"number {config.vocab_size} is used"):
        audit_rows(tokenizer, config, train, none, 0.5)


def test_a_chat_template_that_is_lost_on_saving_is_caught(
    tiny_dir: Path, rows: list[TokenizedExample], tmp_path: Path, tokenizer: Any
) -> None:
    class Forgetful(type(tokenizer)):  # type: ignore[misc]
        def save_pretrained(self, place: str, **options: Any) -> Any:
            found = super().save_pretrained(place, **options)
            (Path(place) / "chat_template.jinja").unlink()
            return found

    tokenizer.__class__ = Forgetful
    train = write_rows(rows, tmp_path)

    with pytest.raises(TrainingError, match="audit: the chat template is lost"):
        audit_rows(
            tokenizer, load_config(tiny_dir), train, train.where(np.zeros(len(rows), bool)), 0.5
        )


def test_padding_that_equals_the_end_token_must_not_hide_it(
    tokenizer: Any, rows: list[TokenizedExample]
) -> None:
    batch = pad_rows(rows[:3], torch.device("cpu"))
    as_elsewhere = replace(batch, labels=batch.labels[batch.labels != end_of_turn(tokenizer)])

    assert end_masked(batch, rows[:3]) is None
    assert end_masked(as_elsewhere, rows[:3]) == (
        f"trace {rows[0].name}: padding hides some of its trained tokens"
    )


def test_a_pad_token_that_is_the_end_token_trains_the_end_all_the_same(
    tokenizer: Any, example: Example
) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    long = tokenize(tokenizer, example, 512)
    short = replace(long, ids=(*long.ids[:-8], long.ids[-1]))

    assert end_masked(pad_rows([long, short], torch.device("cpu")), [long, short]) is None


def test_rows_are_shown_with_the_trained_tokens_marked(
    tokenizer: Any, rows: list[TokenizedExample]
) -> None:
    shown = show_rows(tokenizer, rows)

    assert shown.count("⟦1|.|") == shown.count("<|end|>⟧") == 3
    assert f"trace {rows[0].name}: {len(rows[0].ids)} tokens" in shown
    assert "assistant\n⟦" in shown
