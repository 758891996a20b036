"""On a card lent for some minutes: our steps and generation beside TRL's and transformers'.

    python benchmarks/gpu.py --seconds 600 --json figures.json [--only WORD]

Each measurement is a fresh process; what no time is left for is left out, and said. Weights are
random and of real shape, rows real, batches of 32, bfloat16 weights without float32 copies for
all. TRL and `Trainer` run with their best settings. `share` is of the card's own rate of bfloat16
products of the model's shapes, measured in the same process. Never in CI.

TRL needs `pip install trl==1.16.0 datasets`. Data: DECOMPOSE_DISTILL_DATA, else ../shared/data.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {
    "135M": (576, 1536, 30, 9, 3, 49152, True),
    "1.5B": (1536, 8960, 28, 12, 2, 151936, True),
    "8B": (4096, 14336, 32, 32, 8, 128256, False),
}
BATCH = 32
GENERATED = 64
SUITE: tuple[dict[str, Any], ...] = (
    {"who": "ours", "size": "135M", "steps": 24},
    {"who": "ours", "size": "135M", "steps": 24, "compile": "on"},
    {"who": "trl", "size": "135M", "steps": 24},
    {"who": "trainer", "size": "135M", "steps": 24},
    {"who": "ours", "size": "1.5B", "steps": 16},
    {"who": "ours", "size": "1.5B", "steps": 16, "compile": "on"},
    {"who": "trl", "size": "1.5B", "steps": 16, "packing": True},
    {"who": "trainer", "size": "1.5B", "steps": 16},
    {"who": "ours", "size": "8B", "steps": 8, "rank": 16},
    {"who": "trl", "size": "8B", "steps": 8, "rank": 16},
    {"who": "ours generates", "size": "135M"},
    {"who": "transformers generates", "size": "135M"},
)
SYSTEM = "Split the problem into simpler subquestions, numbered from 1, and answer none of them."
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="", help="measure what has this word in it")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print("RESULT " + json.dumps(_measure(json.loads(args.one))))
        return 0
    ends, found = time.monotonic() + args.seconds, []
    for case in SUITE:
        if args.only not in json.dumps(case):
            continue
        found.append(case | _in_a_process(case, ends - time.monotonic()))
        print(" ".join(f"{key}={_short(value)}" for key, value in found[-1].items()), flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return int(any("error" in figures for figures in found))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_a_process(case: dict[str, Any], seconds: float) -> dict[str, Any]:
    if seconds < 15:
        return {"error": "no time left"}
    command = [sys.executable, __file__, "--one", json.dumps(case)]
    environment = {**os.environ, **QUIET}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"error": "out of time"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        return dict(json.loads(lines[0].removeprefix("RESULT ")))
    return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:300]}


def _measure(case: dict[str, Any]) -> dict[str, Any]:
    import torch

    with tempfile.TemporaryDirectory() as name:
        tokenizer = _tokenizer(Path(name))
        model = _model(case["size"])
        torch.cuda.reset_peak_memory_stats()
        if "generates" in case["who"]:
            figures = _generate(case["who"], model, tokenizer)
        else:
            figures = _train(case, model, tokenizer, Path(name))
    return figures | {
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "card": torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }


# --- Training ---------------------------------------------------------------------------------


def _train(case: dict[str, Any], model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
    """Examples a second, of all but the first fifth of the steps."""
    count, rank = case["steps"] * BATCH, case.get("rank")
    rows = _token_rows(tokenizer, count)
    marks: list[float] = []
    if case["who"] == "ours":
        _ours(model, rows, rank, marks, compiled=case.get("compile") == "on")
    else:
        _theirs(case, model, tokenizer, rows, count, folder, marks)
    warm = max(1, len(marks) // 5)
    seconds = (marks[-1] - marks[warm - 1]) / (len(marks) - warm)
    per_step = count / len(marks)
    rate = per_step / seconds
    flops = sum(_flops(model, row, rank) for row in rows) / count * rate
    limit = _product_rate(model.config)
    return {
        "steps": len(marks),
        "examples_per_second": rate,
        "tokens_per_second": rate * sum(len(row.ids) for row in rows) / count,
        "share": flops / limit,
        "product_tflops": limit / 1e12,
    }


def _ours(
    model: Any, rows: Sequence[Any], rank: int | None, marks: list[float], *, compiled: bool
) -> None:
    from decompose_distill import DistillConfig
    from decompose_distill.training.data import plan_batches
    from decompose_distill.training.engine import Optimizer, attach, choose_forward, train

    config = DistillConfig(epochs=1, batch_size=BATCH, master_weights=False, lora_rank=rank)
    if rank:
        attach(model, rank, "random", 0)
    lengths = [len(row.ids) for row in rows]
    plan = list(plan_batches(lengths, BATCH, 1, 0))
    batches = ([rows[place] for place in places] for places in plan)
    forward = choose_forward(model, longest=max(lengths), compiled=compiled)
    print(forward, file=sys.stderr)
    for _ in train(forward, Optimizer(model, config), batches, len(plan), config):
        marks.append(time.perf_counter())


def _theirs(
    case: dict[str, Any],
    model: Any,
    tokenizer: Any,
    rows: Sequence[Any],
    count: int,
    folder: Path,
    marks: list[float],
) -> None:
    import torch
    import transformers

    class Mark(transformers.TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            torch.cuda.synchronize()
            marks.append(time.perf_counter())

    settings: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": 1,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": False,
        "bf16": False,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "report_to": "none",
        "save_strategy": "no",
    }
    by_length = {"train_sampling_strategy": "group_by_length"}
    if case["who"] == "trainer":
        labels = [[-100] * row.start + list(row.ids[row.start :]) for row in rows]
        data = [
            {"input_ids": list(row.ids), "labels": label}
            for row, label in zip(rows, labels, strict=True)
        ]
        transformers.Trainer(
            model,
            args=transformers.TrainingArguments(**settings, **by_length),
            train_dataset=data,
            data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
            processing_class=tokenizer,
            callbacks=[Mark()],
        ).train()
        return
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    if case.get("packing"):
        mean = sum(len(row.ids) for row in rows) / count
        settings |= {"packing": True, "packing_strategy": "bfd", "max_length": int(BATCH * mean)}
        settings["per_device_train_batch_size"] = 1
    else:
        settings |= by_length | {"max_length": None}
    adapter = None
    if rank := case.get("rank"):
        adapter = LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    SFTTrainer(
        model,
        args=SFTConfig(**settings, completion_only_loss=True),
        train_dataset=Dataset.from_list(_columns(tokenizer, count)),
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[Mark()],
    ).train()


def _flops(model: Any, row: Any, rank: int | None) -> float:
    """What a row must compute: two per weight forward and four backward, two where it is frozen."""
    config = model.config
    embedding = config.vocab_size * config.hidden_size
    body = sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n)
    body -= embedding * (1 if config.tie_word_embeddings else 2)
    width = config.num_hidden_layers * config.hidden_size
    tokens = len(row.ids)
    times = 4 if rank else 6
    return float(times * (body * tokens + width * tokens**2 + embedding * row.targets))


def _product_rate(config: Any) -> float:
    """Floating-point operations a second of this card's products of the model's shapes."""
    import torch

    inner, outer = config.hidden_size, config.intermediate_size
    left = torch.randn(8192, inner, device="cuda", dtype=torch.bfloat16)
    right = torch.randn(outer, inner, device="cuda", dtype=torch.bfloat16)
    best = math.inf
    for _ in range(20):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(10):
            torch.nn.functional.linear(left, right)
        torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / 10)
    return 2 * 8192 * inner * outer / best


# --- Generation -------------------------------------------------------------------------------


def _generate(who: str, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Tokens a second of the second run; the first one warms up."""
    import torch

    from decompose_distill.models import fastest_decode
    from decompose_distill.types import Sampling

    prompts = [list(row.ids[: row.start]) for row in _token_rows(tokenizer, 256)]
    prompts.sort(key=len)
    batches = [prompts[at : at + 64] for at in range(0, len(prompts), 64)]
    model.generation_config.eos_token_id = None
    decode = fastest_decode(model)
    assert decode, "the model of this benchmark goes on from a past"

    def ours(batch: list[list[int]]) -> None:
        list(decode(model, batch, Sampling(max_new_tokens=GENERATED), frozenset(), len(batch)))

    def theirs(batch: list[list[int]]) -> None:
        width = max(map(len, batch))
        ids = [[2] * (width - len(prompt)) + prompt for prompt in batch]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch]
        with torch.inference_mode():
            model.generate(
                input_ids=torch.tensor(ids, device="cuda"),
                attention_mask=torch.tensor(mask, device="cuda"),
                max_new_tokens=GENERATED,
                do_sample=False,
                pad_token_id=2,
            ).cpu()

    run: Callable[[list[list[int]]], None] = ours if who == "ours generates" else theirs
    for _ in range(2):
        began = time.perf_counter()
        for batch in batches:
            run(batch)
        seconds = time.perf_counter() - began
    return {"tokens_per_second": len(prompts) * GENERATED / seconds}


# --- Rows and models --------------------------------------------------------------------------


def _data(count: int) -> list[dict[str, Any]]:
    data = Path(os.environ.get("DECOMPOSE_DISTILL_DATA", ROOT.parent / "shared" / "data"))
    lines = (data / "ai_subq" / "traces_first1000.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def _tokenizer(folder: Path) -> Any:
    from decompose_distill.demo import make_tiny_student
    from decompose_distill.models import load_tokenizer

    texts = [row["problem"] + row["questions"][0] for row in _data(1000)]
    make_tiny_student(texts, folder / "base", hidden_size=64, layers=1, vocab_size=16384)
    return load_tokenizer(folder / "base")


def _columns(tokenizer: Any, count: int) -> list[dict[str, str]]:
    found = []
    for row in _data(count):
        chat = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": row["problem"]},
        ]
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        found.append({"prompt": prompt, "completion": row["questions"][0]})
    return found


def _token_rows(tokenizer: Any, count: int) -> list[Any]:
    from decompose_distill.training.data import TokenizedExample

    found = []
    for number, column in enumerate(_columns(tokenizer, count)):
        prompt = tokenizer(column["prompt"], add_special_tokens=False)["input_ids"]
        completion = tokenizer(column["completion"], add_special_tokens=False)["input_ids"]
        ids = (*prompt, *completion, tokenizer.eos_token_id)
        found.append(TokenizedExample(str(number), ids, len(prompt)))
    return found


def _model(size: str) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    hidden, inner, layers, heads, groups, vocabulary, tied = SHAPES[size]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    return model.eval()


if __name__ == "__main__":
    sys.exit(main())
