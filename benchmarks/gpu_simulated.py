# ruff: noqa: E402
"""Steps on a card that is not there: `distill()` and generation beside TRL and transformers.

    python benchmarks/gpu_simulated.py [CASE ...] [--where] [--json FILE]

Real rows, models of real shape without memory (`tests/support/simulated_card.py`). Counted between
updates of any torch optimizer, so that nothing of a trainer need be known:

- mismatch: operations with tensors of both devices, a crash on a card
- syncs: the processor waits for the device; uploads: a copy to the device that waits
- kernels: about, without views and allocations; fused attention and RMSNorm 1 forward, 2 backward
- tflop: products and attention, that of `varlen_attn` left out
- peak GB: live bytes, without an allocator's rounding
- attention: the kernel it would take: flash, efficient+mask, efficient (float32), math, or varlen

TRL needs `pip install trl==1.16.0 datasets`. Data: DECOMPOSE_DISTILL_DATA, else ../shared/data.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}
from tests.support.simulated_card import CARD, Kernels, on_card  # before torch

# isort: split
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import _disable_current_modes

SHAPES = {
    "135M": (576, 1536, 30, 9, 3, 49152, True),
    "1.5B": (1536, 8960, 28, 12, 2, 151936, True),
    "8B": (4096, 14336, 32, 32, 8, 128256, False),
}
PLAIN = {"master_weights": False}
CASES = {
    "135M ours": ("ours", "135M", PLAIN),
    "135M ours, masters": ("ours", "135M", {}),
    "135M TRL": ("trl", "135M", {}),
    "135M Trainer": ("trainer", "135M", {}),
    "1.5B ours": ("ours", "1.5B", PLAIN | {"batch": 32}),
    "1.5B ours, masters": ("ours", "1.5B", {"batch": 32}),
    "1.5B TRL": ("trl", "1.5B", {"batch": 32}),
    "1.5B Trainer": ("trainer", "1.5B", {"batch": 32}),
    "8B LoRA ours": ("ours", "8B", {"lora_rank": 16, "batch": 32}),
    "8B LoRA TRL": ("trl", "8B", {"lora_rank": 16, "batch": 32}),
    "135M generation ours": ("generation", "135M", {}),
    "135M generation transformers": ("transformers", "135M", {}),
}
MOST = {"mismatch": 0, "syncs": 1, "uploads": 1}
OF_TRL = {"kernels": 0.7, "peak_gb": 0.6}
"""Aims: the most of a step of ours, and the largest share of TRL's."""
STEPS = 4
MEDIAN_CHARACTERS = 430
SYSTEM = "Split the problem into simpler subquestions, numbered from 1, and answer none of them."
KINDS = {"mismatch": "mismatch", "syncs": "syncs", "uploads": "uploads"}


class Enough(BaseException):
    """Ends a run after its last counted step."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--where", action="store_true", help="name the lines that wait")
    parser.add_argument("--check", action="store_true", help="fail where an aim is missed")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    args = parser.parse_args()
    if args.one:
        print("RESULT " + json.dumps(_measure(*CASES[args.cases[0]])))
        return 0
    columns = ("mismatch", "syncs", "uploads", "kernels", "tflop", "peak_gb")
    print(f"{'a step, or a token of a batch':31}" + "".join(f"{name:>9}" for name in columns))
    found = {case: _in_a_process(case) for case in args.cases or CASES}
    for case, figures in found.items():
        if "error" in figures:
            print(f"{case:31}{figures['error']}")
            continue
        row = "".join(f"{figures[name]:9.4g}" for name in columns)
        print(f"{case:31}{row}  {figures['attention']}")
        for site, count in figures["where"].items() if args.where else ():
            print(f"{'':31}{count:g} {site}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    missed = list(_missed(found))
    print(*missed, sep="\n")
    failed = any("error" in figures for figures in found.values())
    return int(failed or (args.check and bool(missed)))


def _missed(found: dict[str, dict]) -> Iterator[str]:
    """Aims that were missed, in words."""
    for case, figures in found.items():
        if "error" in figures or "ours" not in case:
            continue
        for name, most in MOST.items():
            if figures[name] > most:
                yield f"{case}: {name} {figures[name]:g}, at most {most} are meant"
        theirs = found.get(case.replace("ours", "TRL"), {})
        for name, most in OF_TRL.items():
            if name in theirs and (share := figures[name] / theirs[name]) > most:
                yield f"{case}: {name} {share:.2f} of TRL's, at most {most} are meant"


def _in_a_process(case: str) -> dict:
    """Measure one case apart: patches stay."""
    command = [sys.executable, __file__, case, "--one"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if lines:
        return json.loads(lines[0].removeprefix("RESULT "))
    return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}


def _measure(who: str, size: str, config: dict) -> dict:
    on_card()
    if who in ("generation", "transformers"):
        return _generate(who, size)
    return _train(who, size, **config)


def _train(who: str, size: str, batch: int = 8, **config: object) -> dict:
    """Figures of a step, of the last half: the first ones allocate."""
    rows = _rows(STEPS * batch)
    with tempfile.TemporaryDirectory() as name, CARD, Kernels():
        folder = Path(name)
        tokenizer = _student(folder / "base", [row["problem"] + row["answer"] for row in rows])
        _use_shape(size)

        def end(*_: object) -> None:
            if len(CARD.marks) >= STEPS:
                raise Enough

        register_optimizer_step_post_hook(end)
        try:
            if who == "ours":
                _distill(folder, rows, batch, config)
            else:
                _theirs(who, folder, tokenizer, rows, batch, config)
        except Enough:
            pass
    return _figures(CARD.marks[STEPS // 2 - 1], CARD.marks[-1], STEPS - STEPS // 2)


def _distill(folder: Path, rows: list[dict], batch: int, config: dict) -> None:
    import decompose_distill as dd

    traces = []
    for row in rows:
        question = dd.Question(row["problem"])
        lines = [line.strip() for line in row["answer"].splitlines() if line.strip()]
        steps = tuple(map(dd.Subquestion, lines))
        split = dd.Decomposition(question, steps, row["answer"])
        traces.append(dd.Trace(question, dd.Solution(split, "1", "1")))
    dd.distill(
        traces,
        student=folder / "base",
        output_dir=folder / "out",
        prompt=dd.prompts.Prompt(SYSTEM, "{question}"),
        config=dd.DistillConfig(
            epochs=1, batch_size=batch, save_steps=10**6, max_duplicates=1.0, **config
        ),
        progress=False,
    )


def _theirs(
    who: str, folder: Path, tokenizer: object, rows: list[dict], batch: int, config: dict
) -> None:
    import transformers

    settings = {
        "output_dir": str(folder / "out"),
        "num_train_epochs": 1,
        "per_device_train_batch_size": batch,
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": False,
        "bf16": False,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "report_to": "none",
        "save_strategy": "no",
        "train_sampling_strategy": "group_by_length",
    }
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.bfloat16)
    prompts = [_prompt(tokenizer, row["problem"]) for row in rows]
    answers = [row["answer"] for row in rows]
    if who == "trl":
        _trl(model, tokenizer, prompts, answers, settings, config.get("lora_rank"))
        return
    data = []
    for prompt, answer in zip(prompts, answers, strict=True):
        before, after = tokenizer(prompt)["input_ids"], [*tokenizer(answer)["input_ids"], 2]
        data.append({"input_ids": before + after, "labels": [-100] * len(before) + after})
    transformers.Trainer(
        model,
        args=transformers.TrainingArguments(**settings),
        train_dataset=data,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    ).train()


def _trl(
    model: object,
    tokenizer: object,
    prompts: list[str],
    answers: list[str],
    settings: dict,
    rank: int | None,
) -> None:
    import datasets
    import peft
    import trl

    columns = [
        {"prompt": prompt, "completion": answer}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    adapter = None
    if rank:
        adapter = peft.LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    trl.SFTTrainer(
        model,
        args=trl.SFTConfig(**settings, completion_only_loss=True, max_length=None),
        train_dataset=datasets.Dataset.from_list(columns),
        processing_class=tokenizer,
        peft_config=adapter,
    ).train()


def _generate(who: str, size: str, batch: int = 16) -> dict:
    """Figures of a token of a batch: of 24 less 8, so that the prompts' own pass drops out."""
    import decompose_distill as dd

    problems = [row["problem"] for row in _rows(batch)]
    with tempfile.TemporaryDirectory() as name, CARD, Kernels(), torch.no_grad():
        tokenizer = _student(Path(name), problems)
        _use_shape(size)
        backend = dd.load_backend(f"hf:{name}")

        def ours(tokens: int) -> None:
            sampling = dd.Sampling(max_new_tokens=tokens)
            chats = [(dd.Message("user", problem),) for problem in problems]
            requests = (dd.Request(str(at), chat, sampling) for at, chat in enumerate(chats))
            list(backend.generate(requests))

        def theirs(tokens: int) -> None:
            chats = [_prompt(tokenizer, problem) for problem in problems]
            ids = tokenizer(chats, return_tensors="pt", padding=True, padding_side="left")
            backend.model.generate(
                input_ids=ids["input_ids"].to("cuda"),
                attention_mask=ids["attention_mask"].to("cuda"),
                max_new_tokens=tokens,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )

        for tokens in (8, 8, 24):
            (ours if who == "generation" else theirs)(tokens)
            CARD.mark()
    before, short, long = CARD.marks
    spent = _less(short, before)
    return _figures(spent, _less(long, short), 16)


def _less(after: object, before: object) -> object:
    counts = [Counter(b) - Counter(a) for a, b in zip(before[:3], after[:3], strict=True)]
    return type(after)(*counts, after.flops - before.flops, after.peak)


def _figures(before: object, after: object, steps: int) -> dict:
    spent = _less(after, before)
    counts = {name: spent.ops.pop(name, 0) / steps for name in KINDS}
    return counts | {
        "kernels": round(sum(spent.ops.values()) / steps),
        "tflop": spent.flops / steps / 1e12,
        "peak_gb": after.peak / 1e9,
        "attention": {kind: count / steps for kind, count in spent.attention.items()},
        "where": {site: count / steps for site, count in spent.where.most_common(12)},
    }


# --- Rows and models ---------------------------------------------------------------------------


def _rows(count: int) -> list[dict]:
    """Rows of like length, so that any two batches are alike."""
    data = Path(os.environ.get("DECOMPOSE_DISTILL_DATA", ROOT.parent / "shared" / "data"))
    lines = (data / "ai_subq" / "traces_first1000.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows = [{"problem": row["problem"], "answer": row["questions"][0]} for row in rows]
    rows.sort(key=lambda row: abs(len(row["problem"] + row["answer"]) - MEDIAN_CHARACTERS))
    return rows[:count]


def _student(folder: Path, texts: list[str]) -> object:
    """A small Llama and its tokenizer as a directory."""
    from decompose_distill.demo import make_tiny_student
    from decompose_distill.models import load_tokenizer

    make_tiny_student(texts, folder, hidden_size=64, layers=1, vocab_size=4096)
    return load_tokenizer(folder)


def _prompt(tokenizer: object, problem: str) -> str:
    chat = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": problem}]
    return str(tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))


def _use_shape(size: str) -> None:
    """Load a model of real shape in place of the small one; all else stays as it is."""
    import transformers

    CARD.limit = 1 << 20
    load = lambda cls, *_, **options: _answer(_shaped(size), options)  # noqa: E731
    transformers.AutoModelForCausalLM.from_pretrained = classmethod(load)


def _answer(model: object, options: dict) -> object:
    return (model, {"missing_keys": set()}) if options.get("output_loading_info") else model


def _shaped(size: str) -> object:
    """A model without memory, in bfloat16, on the card."""
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
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    torch.set_default_dtype(torch.bfloat16)
    with _disable_current_modes(), torch.device("meta"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    done: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                fresh = torch.nn.Parameter(CARD.wrap(weight.detach()))
                module._parameters[name] = done.setdefault(id(weight), fresh)
        for name, buffer in module._buffers.items():
            module._buffers[name] = buffer if buffer is None else CARD.wrap(buffer)
    return model.eval()


if __name__ == "__main__":
    sys.exit(main())
