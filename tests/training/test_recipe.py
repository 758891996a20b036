"""distill() gives a student that is whole, the one that was trained, and what was asked for."""

import json
import os
import re
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

from decompose_distill import (
    CheckpointError,
    ConfigError,
    Decomposer,
    DistillConfig,
    Failure,
    Question,
    Solver,
    Subquestion,
    Trace,
    TrainingError,
    distill,
    filters,
    prompts,
)
from decompose_distill.models.chat_template import prompt_ids
from decompose_distill.models.loading import load_model, load_tokenizer
from decompose_distill.training import recipe
from decompose_distill.training.checkpoints.checkpoint import save_student
from decompose_distill.training.checkpoints.manifest import MANIFEST
from decompose_distill.training.engine.loop import TrainStep
from tests.support import chats
from tests.support.samples import PROMPT, QUESTIONS, make_trace

QUICK = DistillConfig(epochs=30, batch_size=4, learning_rate=5e-3, save_steps=20)
SHORT = DistillConfig(epochs=1)


@pytest.fixture(scope="module")
def checkpoint(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("runs") / "student"
    return _distill(learned, tiny_dir, place, config=QUICK)


def _distill(
    traces: tuple[Trace, ...], student: Path, place: Path, *, prompt: Any = PROMPT, **options: Any
) -> Path:
    options = {"config": SHORT, "progress": False} | options
    return distill(traces, student=student, output_dir=place, prompt=prompt, **options)


def _manifest(checkpoint: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_text())
    return found


def test_the_student_writes_what_it_learned_and_its_prompt_came_along(checkpoint: Path) -> None:
    student = Decomposer.from_pretrained(checkpoint)
    answers = list(student.decompose(QUESTIONS))

    assert student.prompt == PROMPT
    assert not [answer for answer in answers if isinstance(answer, Failure)]
    assert all("What is #1 plus #2?" in answer.text for answer in answers)


def test_a_checkpoint_is_an_ordinary_directory_of_safetensors(checkpoint: Path) -> None:
    names = {path.name for path in checkpoint.iterdir()}
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    wanted = {"config.json", "generation_config.json", "model.safetensors", "README.md", MANIFEST}
    assert wanted <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert (
        model.generation_config.eos_token_id == tokenizer.eos_token_id == model.config.eos_token_id
    )
    assert tokenizer.chat_template


def test_a_finished_run_leaves_nothing_but_the_student(checkpoint: Path) -> None:
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_the_manifest_tells_how_the_checkpoint_came_to_be(checkpoint: Path, tiny_dir: Path) -> None:
    manifest = _manifest(checkpoint)

    assert (manifest["role"], manifest["target"]) == ("decomposer", "subquestions")
    assert manifest["base_model"] == str(tiny_dir)
    assert manifest["data"]["kept"] == len(QUESTIONS)
    assert len(manifest["data"]["sha256"]) == 64
    assert manifest["config"]["learning_rate"] == QUICK.learning_rate
    assert manifest["figures"]["steps"] == 60
    assert {"torch", "transformers", "decompose-distill"} <= set(manifest["versions"])


@pytest.mark.parametrize("target", ["rationale", "gold_rationale", "answer"])
def test_a_solver_is_trained_and_restored_as_solver(
    target: str, learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    place = _distill(learned, tiny_dir, tmp_path / "s", role="solver", target=target, prompt=None)
    wanted = prompts.DIRECT if target == "answer" else prompts.JOINT

    assert Solver.from_pretrained(place).prompt == wanted
    assert _manifest(place)["target"] == target
    with pytest.raises(CheckpointError, match=r"load it with Solver\.from_pretrained"):
        Decomposer.from_pretrained(place)


def test_a_student_brings_no_habits_of_its_base_to_servers(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    settings = json.loads((base / "generation_config.json").read_text())
    habits = {"do_sample": True, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.1}
    (base / "generation_config.json").write_text(json.dumps(settings | habits))
    place = _distill(learned, base, tmp_path / "student")
    saved = json.loads((place / "generation_config.json").read_text())

    assert not habits.keys() & saved.keys()
    assert saved["eos_token_id"] is not None


def test_a_model_without_chat_template_gets_one_that_is_saved(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(tiny_dir), load_tokenizer(tiny_dir)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "bare")
    model.save_pretrained(tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink(missing_ok=True)
    place = _distill(learned, tmp_path / "bare", tmp_path / "student")

    assert AutoTokenizer.from_pretrained(place).chat_template
    assert next(Decomposer.from_pretrained(place).decompose(QUESTIONS[:1]))


def _with_template(base: Path, template: str, place: Path) -> Path:
    """A student like the base, with another chat template."""
    model, tokenizer = load_model(base), load_tokenizer(base)
    tokenizer.chat_template = template.replace("<|im_start|>", "<|start|>").replace(
        "<|im_end|>", "<|end|>"
    )
    tokenizer.save_pretrained(place)
    model.save_pretrained(place)
    return place


def test_a_student_is_sampled_with_the_opening_it_was_trained_on(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    base = _with_template(tiny_dir, chats.THINKING_OPEN, tmp_path / "base")
    place = _distill(learned, base, tmp_path / "student", config=QUICK)
    student = Decomposer.from_pretrained(place)
    [answer] = student.decompose(QUESTIONS[:1])
    prompt = prompt_ids(student.backend.tokenizer, PROMPT.render(QUESTIONS[0]))

    assert "What is #1 plus #2?" in answer.text
    assert student.backend.tokenizer.decode(prompt).endswith("<think>\n\n</think>\n\n")
    assert _manifest(place)["template"]["opening"] == "\n</think>\n\n"


def test_a_run_that_goes_on_the_next_day_shows_the_date_it_began(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(step: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    base = _with_template(tiny_dir, chats.DATED, tmp_path / "base")
    monkeypatch.setattr(recipe, "begun_on", lambda folder: date(2026, 3, 5))
    monkeypatch.setattr(TrainStep, "figures", property(stop))
    with pytest.raises(KeyboardInterrupt):
        _distill(learned, base, tmp_path / "student")
    monkeypatch.undo()
    place = _distill(learned, base, tmp_path / "student")

    assert _manifest(place)["template"]["day"] == "2026-03-05"


def test_the_date_of_training_stays_in_the_prompts(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = _with_template(tiny_dir, chats.DATED, tmp_path / "base")
    monkeypatch.setattr(recipe, "begun_on", lambda folder: date(2026, 3, 5))
    place = _distill(learned, base, tmp_path / "student")
    tokenizer = load_tokenizer(place)

    assert "Today: 05 Mar 2026" in tokenizer.decode(
        prompt_ids(tokenizer, PROMPT.render(QUESTIONS[0]))
    )
    assert _manifest(place)["template"]["day"] == "2026-03-05"


@pytest.mark.parametrize(
    "options",
    [
        {"packing": True},
        {"gradient_checkpointing": True},
        {"master_weights": False, "dtype": "bfloat16"},
        {"micro_batch_size": 3},
        {"tokens_per_pass": 100},
        {"schedule": "linear", "weight_decay": 0.1},
        {"dtype": "float32"},
    ],
)
def test_every_way_to_train_learns_the_task(
    options: dict[str, Any], learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    config = replace(QUICK, **options)
    place = _distill(learned, tiny_dir, tmp_path / "student", config=config)
    [answer] = Decomposer.from_pretrained(place).decompose(QUESTIONS[:1])
    figures = _manifest(place)["figures"]

    assert figures["last_loss"] < 0.2 < 2 < figures["first_loss"]
    assert "What is #1 plus #2?" in answer.text


def test_the_state_with_the_best_validation_is_the_student(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    options = {"validation": learned[6:], "config": replace(QUICK, save_steps=5)}
    best = _distill(learned[:6], tiny_dir, tmp_path / "best", **options)
    figures = _manifest(best)["figures"]
    # A run cut at that step has another schedule; of this one, the state itself is kept.
    assert 0 < figures["best_step"] < figures["steps"] == 60
    again = _validation_loss(best, learned[6:])

    assert again == pytest.approx(figures["validation_loss"], rel=1e-3)
    assert _manifest(best)["data"]["held_out"] == 2


def _validation_loss(checkpoint: Path, traces: tuple[Trace, ...]) -> float:
    from decompose_distill.training.data.examples import make_examples, tokenize
    from decompose_distill.training.engine import choose_forward
    from decompose_distill.training.engine.loop import validation_loss

    tokenizer = load_tokenizer(checkpoint)
    examples = make_examples(traces, "decomposer", PROMPT, "subquestions")
    rows = [tokenize(tokenizer, each, 512) for each in examples]
    return validation_loss(choose_forward(load_model(checkpoint)), rows)


def test_training_stops_early_where_validation_no_longer_improves(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    config = replace(QUICK, save_steps=2, patience=2, epochs=60)
    place = _distill(learned[:6], tiny_dir, tmp_path / "s", validation=learned[6:], config=config)
    figures = _manifest(place)["figures"]

    assert figures["steps"] == figures["best_step"] + 4 < 120


def test_what_no_filter_kept_is_told_with_the_reasons(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    wrong = tuple(make_trace(trace.question, "7") for trace in learned)

    with pytest.raises(TrainingError, match=r"kept 0 of 8 traces, dropped 8 wrong answer"):
        _distill(wrong, tiny_dir, tmp_path / "student", keep=filters.correct)
    assert not list(tmp_path.iterdir())


def test_an_output_dir_with_other_content_is_refused_before_any_work(
    learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("do not lose me")

    with pytest.raises(ConfigError, match="exists with other content"):
        distill(learned, student="nowhere", output_dir=tmp_path, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "do not lose me"


def test_a_trace_longer_than_the_context_window_is_named(tiny_dir: Path, tmp_path: Path) -> None:
    long = make_trace(Question("How old is Ada? " * 300, id="tome"), "1")

    with pytest.raises(TrainingError, match=r"trace tome#0: \d+ tokens exceed .* of 512"):
        _distill((long,), tiny_dir, tmp_path / "student")


def test_a_student_of_a_long_example_still_leaves_room_for_its_prompt(
    tiny_dir: Path, tmp_path: Path
) -> None:
    asked = Question("How old is Ada?", answer="1")
    long = make_trace(asked, "1")
    subquestions = (Subquestion("How old is Ada? " * 60),)
    decomposition = replace(long.solution.decomposition, subquestions=subquestions)  # type: ignore[union-attr]
    long = replace(long, outcome=replace(long.solution, decomposition=decomposition))  # type: ignore[type-var]
    checkpoint = _distill((long,), tiny_dir, tmp_path / "student")
    [found] = Decomposer.from_pretrained(checkpoint).decompose([asked])

    assert _manifest(checkpoint)["sampling"]["max_new_tokens"] > 256
    assert not (isinstance(found, Failure) and found.reason == "error")


def test_settings_for_sampling_that_a_base_model_brings_do_not_stop_the_saving(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    base = shutil.copytree(tiny_dir, tmp_path / "base")
    settings = json.loads((base / "generation_config.json").read_text())
    settings |= {"temperature": 0.6, "top_p": 0.9}
    settings.pop("eos_token_id", None)  # set by us then, and what was changed is checked strictly
    (base / "generation_config.json").write_text(json.dumps(settings))

    assert _distill(learned, base, tmp_path / "student").is_dir()


def test_patience_without_validation_is_refused(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="give validation too"):
        _distill(learned, tiny_dir, tmp_path / "student", config=DistillConfig(patience=2))


@pytest.mark.parametrize("validation", [-0.1, 1.0, 0.0001])
def test_a_share_to_hold_out_that_makes_no_sense_is_refused(
    validation: float, learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="validation"):
        _distill(learned, tiny_dir, tmp_path / "student", validation=validation)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("micro_batch_size", 0),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("max_grad_norm", -1),
        ("warmup_ratio", 1),
        ("weight_decay", -1),
        ("dtype", "float16"),
        ("schedule", "constant"),
        ("lora_rank", 0),
        ("save_steps", 0),
        ("patience", 0),
        ("max_duplicates", 2),
    ],
)
def test_a_setting_out_of_range_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        DistillConfig(**{field: value})


def test_a_student_that_reads_back_otherwise_is_not_handed_out(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(place: Path, *rest: Any) -> None:
        save_student(place, *rest)
        weights = load_file(place / "model.safetensors")
        spoilt = {name: -weight for name, weight in weights.items()}
        save_file(spoilt, place / "model.safetensors", metadata={"format": "pt"})

    place = tmp_path / "student"
    monkeypatch.setattr(recipe, "save_student", damage)
    told = r"predicted differ, .* in memory, .* after reloading"
    with pytest.raises(CheckpointError, match=told):
        _distill(learned, tiny_dir, place)
    monkeypatch.undo()

    assert not place.exists()
    assert _distill(learned, tiny_dir, place)  # from its last state, without training again


def test_a_template_that_reads_back_otherwise_is_not_handed_out(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(place: Path, *rest: Any) -> None:
        save_student(place, *rest)
        template = place / "chat_template.jinja"
        template.write_text(template.read_text().replace("assistant", "robot"))

    monkeypatch.setattr(recipe, "save_student", damage)

    with pytest.raises(CheckpointError, match="prompt_ids differ"):
        _distill(learned, tiny_dir, tmp_path / "student")


def test_an_end_token_that_is_lost_on_saving_is_noticed(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(place: Path, *rest: Any) -> None:
        save_student(place, *rest)
        config = json.loads((place / "generation_config.json").read_text())
        (place / "generation_config.json").write_text(json.dumps(config | {"eos_token_id": 0}))

    monkeypatch.setattr(recipe, "save_student", damage)

    with pytest.raises(CheckpointError, match="end_tokens differ"):
        _distill(learned, tiny_dir, tmp_path / "student")


def test_figures_of_each_step_are_reported_where_asked(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    options = {"report_to": "tensorboard", "config": DistillConfig(epochs=3, batch_size=4)}
    _distill(learned[:6], tiny_dir, tmp_path / "s", validation=learned[6:], **options)
    events = EventAccumulator(str(tmp_path / "s.logs")).Reload()

    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("validation_loss")] == [2, 4, 6]


def test_the_student_is_pushed_when_it_is_whole_and_the_right_to_do_so_is_asked_first(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(recipe, "check_push", lambda repo: told.append((repo, _begun(tmp_path))))
    monkeypatch.setattr(recipe, "push", lambda place, repo: told.append((place, repo)) or repo)
    place = _distill(learned, tiny_dir, tmp_path / "s", push_to_hub="me/student")

    assert told == [("me/student", False), (place, "me/student")]
    assert (place / MANIFEST).is_file()


def _begun(folder: Path) -> bool:
    return any(folder.iterdir())


def test_directories_of_pickles_are_refused(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_dir, tmp_path / "pickled")
    weights = load_file(tmp_path / "pickled" / "model.safetensors")
    torch.save(weights, tmp_path / "pickled" / "pytorch_model.bin")
    (tmp_path / "pickled" / "model.safetensors").unlink()

    with pytest.raises(Exception, match=re.escape("holds no *.safetensors weights")):
        _distill(learned, tmp_path / "pickled", tmp_path / "student")


def test_a_directory_without_manifest_is_no_checkpoint(tiny_dir: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{MANIFEST} is missing"):
        Decomposer.from_pretrained(tiny_dir)


@pytest.mark.parametrize("content", ["{", "{}", '{"format": 1, "role": "cook"}'])
def test_a_damaged_manifest_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)

    with pytest.raises(CheckpointError, match="is damaged"):
        Decomposer.from_pretrained(tmp_path)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_student_of_which_a_bit_was_flipped_is_refused(
    name: str, checkpoint: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    student = shutil.copytree(checkpoint, tmp_path / "copy")
    _flip_a_bit(student / name)

    with pytest.raises(CheckpointError, match=f"{name} is damaged or was changed"):
        Decomposer.from_pretrained(student)
    with pytest.raises(CheckpointError, match=f"{name} is damaged or was changed"):
        _distill(learned, student, tmp_path / "second")


def test_a_student_of_which_a_file_is_missing_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    student = shutil.copytree(checkpoint, tmp_path / "copy")
    (student / "chat_template.jinja").unlink()

    with pytest.raises(CheckpointError, match=r"is incomplete: chat_template\.jinja is missing"):
        Decomposer.from_pretrained(student)


def test_a_student_that_lacks_a_tensor_is_refused_with_its_name(
    checkpoint: Path, tmp_path: Path
) -> None:
    student = shutil.copytree(checkpoint, tmp_path / "copy")
    weights = load_file(student / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, student / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(
        CheckpointError, match=r"lacks 1 .* 'model\.layers\.0\.mlp\.up_proj\.weight'"
    ):
        Decomposer.from_pretrained(student)


def test_the_card_and_the_losses_of_a_student_are_the_users_to_change(
    checkpoint: Path, tmp_path: Path
) -> None:
    student = shutil.copytree(checkpoint, tmp_path / "copy")
    (student / "README.md").write_text("My student.")
    (student / "losses.json").unlink()

    assert Decomposer.from_pretrained(student).prompt == PROMPT


def test_a_student_without_checksums_is_read_as_before(checkpoint: Path, tmp_path: Path) -> None:
    student = shutil.copytree(checkpoint, tmp_path / "copy")
    earlier = {key: value for key, value in _manifest(student).items() if key != "files"}
    (student / MANIFEST).write_text(json.dumps(earlier))
    _flip_a_bit(student / "model.safetensors")

    assert Decomposer.from_pretrained(student).prompt == PROMPT


def test_the_files_of_a_student_have_the_rights_that_the_user_gives_files(
    learned: tuple[Trace, ...], tiny_dir: Path, tmp_path: Path
) -> None:
    before = os.umask(0o027)
    try:
        student = _distill(learned, tiny_dir, tmp_path / "student")
    finally:
        os.umask(before)

    assert {oct(path.stat().st_mode & 0o777) for path in student.iterdir()} == {"0o640"}


def test_a_device_that_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    config = DistillConfig(device="cuda:77")

    with pytest.raises(ConfigError, match="device 'cuda:77' cannot be used"):
        distill(iter(()), student="nowhere", output_dir=tmp_path / "s", config=config)


def test_an_absurd_learning_rate_is_warned_of_before_hours_are_spent(
    tiny_dir: Path, learned: tuple[Trace, ...], tmp_path: Path
) -> None:
    config = DistillConfig(learning_rate=10, device="student has the place")
    with (
        pytest.warns(UserWarning, match=r"learning_rate=10: fine-tuning uses 0\.00001"),
        pytest.raises(ConfigError, match="student has the place"),
    ):
        distill(learned, student=tiny_dir, output_dir=tmp_path / "student", config=config)
