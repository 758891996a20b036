"""Time our training loop beside TRL's SFTTrainer and transformers' Trainer, on the same work.

    python benchmarks/training_vs_trl.py --json figures.json

One epoch over rows 0-159 of the recorded traces of DT6A/GSM8K-AI-SubQ with SmolLM2-135M, on the
processor: the same base weights, token ids, targets, batch size, optimizer and learning rates for
all three. Each run is a fresh process; rounds alternate who goes first; figures are medians. The
validation loss is computed on rows 800-847, by the same code for all.

TRL runs as `--trl-variant` says; the default was the fastest. To check that elsewhere, `--variants`
first runs each once and reports them: `padded` (batches in random order), `grouped` (by length),
`packed` (best-fit decreasing, about a batch's tokens in one sequence) and `autocast` (grouped, with
bf16=True on top of the weights' own type).

Needs `pip install trl==1.16.0 datasets`. Data: `--data DIR`, else DECOMPOSE_DISTILL_DATA, else
../shared/data.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch is imported in the runs only, see `_run`
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

    from decompose_distill import DistillConfig
    from decompose_distill.training.data import Example, TokenizedExample

Figures = Mapping[str, Any]
"""Read from JSON, or to be written as such."""
NAMES = ("ours", "trl", "trainer")
GROUPED = {"train_sampling_strategy": "group_by_length"}
VARIANTS: dict[str, dict[str, object]] = {
    "padded": {},
    "grouped": GROUPED,
    "packed": {"packing": True, "packing_strategy": "bfd", "per_device_train_batch_size": 1},
    "autocast": {**GROUPED, "bf16": True},
}
QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # TRL's own goes through the hub's
    "TOKENIZERS_PARALLELISM": "false",
}
FIRST_VALIDATION_ROW = 800
PRODUCT_ROWS = 1408
"""A batch of 8 rows of 176 tokens, as the model's products see it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What each trainer is given."""

    args: argparse.Namespace
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    rows: Sequence[TokenizedExample]
    config: DistillConfig


def main() -> int:
    args = _arguments()
    if args.task:
        _child(args)
        return 0
    if missing := _missing(args):
        print(f"cannot measure: {missing}")
        return 3
    try:
        result = _measure(args)
    except subprocess.CalledProcessError as error:
        print(f"cannot measure: the run `{error.cmd}` failed; its stderr ends:")
        print("\n".join(error.stderr.splitlines()[-20:]))
        return 3
    print(_table(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_data_folder())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", type=int, default=160)
    parser.add_argument("--validation", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--trl-variant", choices=tuple(VARIANTS), default="grouped")
    parser.add_argument("--variants", action="store_true", help="first run each TRL variant once")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _data_folder() -> Path:
    """As in real_traces.py, which this process must not import: it would bring in torch."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DECOMPOSE_DISTILL_DATA", beside))


def _missing(args: argparse.Namespace) -> str | None:
    if args.rounds < 1:
        return f"--rounds must be 1 or more, not {args.rounds}"
    for package in ("trl", "datasets"):
        if find_spec(package) is None:
            return f"{package} is not installed; pip install trl==1.16.0 datasets"
    path = _traces_path(args)
    return None if path.is_file() else f"{path} is not there; name the data folder with --data"


def _traces_path(args: argparse.Namespace) -> Path:
    return Path(args.data) / "ai_subq" / "traces_first1000.jsonl"


# --- The parent: starts the runs and compares what they wrote ---------------------------------


def _measure(args: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        work = _run("convert", folder)
        machine = _run("machine", folder)
        variants = [_trained("trl", folder, each) for each in VARIANTS if args.variants]
        runs = []
        for number in range(args.rounds):
            first = number % len(NAMES)
            for name in NAMES[first:] + NAMES[:first]:
                runs.append({"round": number, **_trained(name, folder)})
    return {
        **_compare(runs, work, machine["limit_gflops"][args.dtype]),
        "work": work,
        "machine": machine,
        "versions": _versions(),
        "settings": _settings(args),
        "variants": variants,
        "runs": runs,
    }


def _run(task: str, folder: Path, *more: str) -> Figures:
    """One task in a fresh process, which writes its figures to a file.

    This process must stay small: on Linux a child's peak memory counts its parent's at the fork.
    """
    command = [sys.executable, __file__, *sys.argv[1:], "--task", task, "--folder", str(folder)]
    env = {**os.environ, **QUIET}
    done = subprocess.run([*command, *more], env=env, capture_output=True, text=True)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, task, stderr=done.stderr)
    return json.loads((folder / f"{task}.json").read_text(encoding="utf-8"))


def _trained(name: str, folder: Path, variant: str | None = None) -> Figures:
    run = _run(name, folder, *(("--trl-variant", variant) if variant else ()))
    label = f"{name} ({variant})" if variant else name
    print(
        f"{label}: {run['steps']} steps in {run['seconds']:.1f} s, "
        f"peak {run['peak_bytes'] / 1e9:.2f} GB, validation loss {run['validation_loss']:.4f}",
        flush=True,
    )
    return {"name": name, **({"variant": variant} if variant else {}), **run}


def _compare(runs: Sequence[Figures], work: Figures, limit_gflops: float) -> Figures:
    medians = {name: _medians([run for run in runs if run["name"] == name]) for name in NAMES}
    gflops = work["flops_per_example"] / 1e9
    share = {
        name: round(each["examples_per_second"] * gflops / limit_gflops, 4)
        for name, each in medians.items()
    }
    ours = medians["ours"]
    return {
        **_ratios(ours, medians["trl"]),
        "trainer": _ratios(ours, medians["trainer"]),
        "share_of_peak": share,
        "medians": medians,
    }


def _medians(runs: Sequence[Figures]) -> dict[str, float]:
    keys = ("seconds", "examples_per_second", "peak_bytes", "before_bytes", "validation_loss")
    return {key: statistics.median(run[key] for run in runs) for key in (*keys, "steps")}


def _ratios(ours: Figures, theirs: Figures) -> dict[str, float]:
    keys = {
        "examples_per_second_ratio": "examples_per_second",
        "peak_memory_ratio": "peak_bytes",
        "loss_ratio": "validation_loss",
    }
    return {name: round(ours[key] / theirs[key], 4) for name, key in keys.items()}


def _versions() -> dict[str, str]:
    packages = ("torch", "transformers", "trl", "accelerate", "datasets")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _settings(args: argparse.Namespace) -> dict[str, object]:
    names = ("rounds", "train", "validation", "batch_size", "dtype", "trl_variant")
    return {name: getattr(args, name) for name in names}


def _table(result: Figures) -> str:
    lines = ["", "         examples/s  seconds  peak GB  before GB    loss  share of peak"]
    for name in NAMES:
        each = result["medians"][name]
        lines.append(
            f"{name:8} {each['examples_per_second']:10.3f} {each['seconds']:8.1f} "
            f"{each['peak_bytes'] / 1e9:8.2f} {each['before_bytes'] / 1e9:10.2f} "
            f"{each['validation_loss']:7.4f} {result['share_of_peak'][name]:14.1%}"
        )
    for name, ratios in (("trl", result), ("trainer", result["trainer"])):
        speed, memory = ratios["examples_per_second_ratio"], ratios["peak_memory_ratio"]
        lines.append(f"ours / {name}: {speed:.2f} times the examples/s, {memory:.2f} of the memory")
    return "\n".join(lines)


# --- The children: one task each --------------------------------------------------------------


def _child(args: argparse.Namespace) -> None:
    tasks: dict[str, Callable[[argparse.Namespace], Figures]] = {
        "convert": convert,
        "machine": measure_machine,
    }
    figures = tasks.get(args.task, train_and_validate)(args)
    (args.folder / f"{args.task}.json").write_text(json.dumps(figures), encoding="utf-8")


def convert(args: argparse.Namespace) -> dict[str, float]:
    """Write the base as an ordinary directory, and say how much work an epoch is."""
    from real_traces import find_student

    from decompose_distill.models import load_model, load_tokenizer, save_model

    student = find_student()
    model, tokenizer = load_model(student, dtype=_dtype(args)), load_tokenizer(student)
    save_model(model, tokenizer, _base(args))
    rows = tokenize_rows(tokenizer, args, 0, args.train)
    return {
        "tokens": sum(len(row.ids) for row in rows),
        "targets": sum(row.targets for row in rows),
        "flops_per_example": flops(model, rows) / len(rows),
        "untrained_validation_loss": validation_loss(model, _validation_rows(tokenizer, args)),
    }


def flops(model: PreTrainedModel, rows: Sequence[TokenizedExample]) -> float:
    """What an epoch must compute: two per weight forward and four backward, and no padding.

    6 · (weights but the vocabulary's) · tokens, 6 · layers · width · tokens² for causal attention
    (scores and mixture, half of the square), and 6 · vocabulary · hidden · targets. Work that a
    trainer saves, such as ours on a prefix that all rows share, counts as done.
    """
    config = model.config
    embedding = config.vocab_size * config.hidden_size
    body = model.num_parameters() - embedding * (1 if config.tie_word_embeddings else 2)
    width = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return float(
        sum(
            6 * (body * len(row.ids) + width * len(row.ids) ** 2 + embedding * row.targets)
            for row in rows
        )
    )


def measure_machine(args: argparse.Namespace) -> Figures:
    """How fast this processor multiplies matrices of the model's shapes."""
    import torch

    config = json.loads((_base(args) / "config.json").read_text(encoding="utf-8"))
    narrow, wide = config["hidden_size"], config["intermediate_size"]
    rates = {
        name: {
            f"{PRODUCT_ROWS}x{inner} @ {inner}x{outer}": product_gflops(dtype, inner, outer)
            for inner, outer in ((narrow, wide), (wide, narrow))
        }
        for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32))
    }
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "native_bfloat16": torch.cpu._is_avx512_bf16_supported()
        or torch.cpu._is_amx_tile_supported(),
        "gflops": rates,
        "limit_gflops": {name: max(each.values()) for name, each in rates.items()},
    }


def product_gflops(dtype: torch.dtype, inner: int, outer: int) -> float:
    import torch

    left = torch.randn(PRODUCT_ROWS, inner).to(dtype)
    right = torch.randn(outer, inner).to(dtype)
    best = math.inf
    for _ in range(50):
        began = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - began)
    return round(2 * PRODUCT_ROWS * inner * outer / best / 1e9, 1)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def train_and_validate(args: argparse.Namespace) -> dict[str, float]:
    """One epoch by the trainer that `--task` names, and what it left."""
    from decompose_distill.models import load_model

    run = {"ours": run_ours, "trl": run_trl, "trainer": run_trainer}[args.task]
    work = _load(args)
    figures = run(work)
    figures |= {
        "examples_per_second": len(work.rows) / figures["seconds"],
        "peak_bytes": _peak_bytes(),
    }
    # A trainer may leave its own forward on the model, so the weights move to a fresh one.
    fresh = load_model(_base(args), dtype=_dtype(args))
    fresh.load_state_dict(work.model.state_dict())
    return figures | {
        "validation_loss": validation_loss(fresh, _validation_rows(work.tokenizer, args))
    }


def _load(args: argparse.Namespace) -> Work:
    from decompose_distill import DistillConfig
    from decompose_distill.models import load_model, load_tokenizer

    tokenizer = load_tokenizer(_base(args))
    rows = tokenize_rows(tokenizer, args, 0, args.train)
    # As theirs: they keep no float32 copy of bfloat16 weights.
    config = DistillConfig(epochs=1, batch_size=args.batch_size, master_weights=False)
    return Work(args, load_model(_base(args), dtype=_dtype(args)), tokenizer, rows, config)


def validation_loss(model: PreTrainedModel, rows: Sequence[TokenizedExample]) -> float:
    """Nats a target token, in float32 behind the logits, row by row and so without padding."""
    import torch

    total = 0.0
    with torch.inference_mode():
        for row in rows:
            logits = model(input_ids=torch.tensor([row.ids]), use_cache=False).logits
            found = logits[0, row.start - 1 : -1].float().log_softmax(-1)
            total -= found.gather(1, torch.tensor(row.ids[row.start :])[:, None]).sum().item()
    return total / sum(row.targets for row in rows)


def run_ours(work: Work) -> dict[str, float]:
    from decompose_distill.training.data import plan_batches
    from decompose_distill.training.engine import Optimizer, choose_forward, train

    rows, config = work.rows, work.config
    before, began = _resident_bytes(), time.perf_counter()
    lengths = [len(row.ids) for row in rows]
    plan = list(plan_batches(lengths, config.batch_size, config.epochs, config.seed))
    batches = ([rows[place] for place in places] for places in plan)
    forward = choose_forward(work.model, longest=max(lengths))
    optimizer = Optimizer(work.model, config)
    done = sum(1 for _ in train(forward, optimizer, batches, len(plan), config))
    return {"steps": done, "seconds": time.perf_counter() - began, "before_bytes": before}


def run_trl(work: Work) -> dict[str, float]:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    settings = _common(work) | {"completion_only_loss": True, "max_length": None}
    settings |= VARIANTS[work.args.trl_variant]
    if settings.get("packing"):
        settings["max_length"] = _packed_length(work)
    examples = make_rows(work.args, 0, work.args.train)
    columns = [_prompt_and_completion(work.tokenizer, each) for each in examples]
    trainer = SFTTrainer(
        work.model,
        args=SFTConfig(**settings),
        train_dataset=Dataset.from_list(columns),
        processing_class=work.tokenizer,
    )
    return _run_theirs(trainer, work)


def _packed_length(work: Work) -> int:
    """So long that a step sees about as many examples as with the others."""
    lengths = [len(row.ids) for row in work.rows]
    return max(*lengths, math.ceil(sum(lengths) / len(lengths) * work.config.batch_size))


def run_trainer(work: Work) -> dict[str, float]:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    trainer = Trainer(
        work.model,
        args=TrainingArguments(**_common(work), **GROUPED),
        train_dataset=[
            {"input_ids": list(row.ids), "labels": list(_labels(row))} for row in work.rows
        ],
        data_collator=DataCollatorForSeq2Seq(work.tokenizer),
        processing_class=work.tokenizer,
    )
    return _run_theirs(trainer, work)


def _common(work: Work) -> dict[str, object]:
    """What both of them are told; SFTConfig would checkpoint gradients and autocast by default."""
    return {
        "output_dir": str(work.args.folder / "output"),
        "num_train_epochs": work.config.epochs,
        "per_device_train_batch_size": work.config.batch_size,
        "learning_rate": work.config.learning_rate,
        "max_grad_norm": work.config.max_grad_norm,
        "seed": work.config.seed,
        "weight_decay": 0.0,
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "report_to": "none",
        "save_strategy": "no",
    }


def _run_theirs(trainer: Trainer, work: Work) -> dict[str, float]:
    """Train, timed by their own clock, which leaves out the set-up; ours is timed with it."""
    _check_same_rows(trainer.train_dataset, work.rows)
    _set_learning_rates(trainer, work.config)
    before = _resident_bytes()
    seconds = trainer.train().metrics["train_runtime"]
    return {"steps": trainer.state.global_step, "seconds": seconds, "before_bytes": before}


def _check_same_rows(dataset: Iterable[Figures], rows: Sequence[TokenizedExample]) -> None:
    found = sorted(pair for row in dataset for pair in _unpack(row))
    if found != sorted((row.ids, _labels(row)) for row in rows):
        raise SystemExit("the trainer's token ids or labels are not those of our tokenize()")


def _unpack(row: Figures) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Ids and labels of each example in a row; a packed row holds several."""
    start = 0
    for length in row.get("seq_lengths", [len(row["input_ids"])]):
        part = slice(start, start + length)
        yield tuple(row["input_ids"][part]), tuple(row["labels"][part])
        start += length


def _labels(row: TokenizedExample) -> tuple[int, ...]:
    return (*[-100] * row.start, *row.ids[row.start :])


def _set_learning_rates(trainer: Trainer, config: DistillConfig) -> None:
    """The same rate at each step as ours.

    Left to themselves they warm up from 0, and so give away the first of twenty steps.
    """
    from torch.optim.lr_scheduler import LambdaLR

    from decompose_distill.training.engine import lr_factor

    steps = math.ceil(len(trainer.train_dataset) / trainer.args.per_device_train_batch_size)
    trainer.lr_scheduler = LambdaLR(
        trainer.create_optimizer(),
        lambda done: lr_factor(done, steps, config.warmup_ratio, config.schedule),
    )


# --- Rows, as benchmarks/real_traces.py makes them --------------------------------------------


def make_rows(args: argparse.Namespace, first: int, number: int) -> list[Example]:
    from real_traces import PROMPT, to_trace

    from decompose_distill.training.data import make_examples

    lines = _traces_path(args).read_text(encoding="utf-8").splitlines()[first : first + number]
    traces = (to_trace(json.loads(line)) for line in lines)
    return list(make_examples(traces, "decomposer", PROMPT, "subquestions"))


def tokenize_rows(
    tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace, first: int, number: int
) -> list[TokenizedExample]:
    from decompose_distill.training.data import tokenize

    return [tokenize(tokenizer, example, 1 << 30) for example in make_rows(args, first, number)]


def _validation_rows(
    tokenizer: PreTrainedTokenizerBase, args: argparse.Namespace
) -> list[TokenizedExample]:
    return tokenize_rows(tokenizer, args, FIRST_VALIDATION_ROW, args.validation)


def _prompt_and_completion(tokenizer: PreTrainedTokenizerBase, example: Example) -> dict[str, str]:
    """TRL's columns, as text: its conversations would end with a line break after the end token."""
    turns = [{"role": each.role, "content": each.content} for each in example.messages]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return {"prompt": prompt, "completion": example.completion}


def _base(args: argparse.Namespace) -> Path:
    return Path(args.folder) / "base"


def _dtype(args: argparse.Namespace) -> torch.dtype:
    import torch

    return getattr(torch, args.dtype)


def _resident_bytes() -> int:
    import psutil  # comes with accelerate

    return int(psutil.Process().memory_info().rss)


def _peak_bytes() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    sys.exit(main())
