"""The whole of `dd.distill` in plain lines of torch and transformers, to read and to change.

    python examples/flat_loop.py traces.jsonl HuggingFaceTB/SmolLM2-135M-Instruct runs/flat

It trains a decomposer on the traces that led to the right answer, as
`dd.distill(traces, student=..., output_dir=..., keep=dd.filters.correct)` does, to the same
losses. What it leaves out: the audit, resuming, validation, LoRA, packing, out-of-memory
handling, the parity gate, the manifest and the model card. Nothing of the library is imported.
"""

import json
import math
import random
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

SYSTEM = (
    "You split a complex question into at most 3 simpler subquestions "
    "whose answers directly help to answer it. Write only the subquestions, one a line, "
    "numbered from 1, and answer none of them. If the question needs no splitting, write "
    '"No decomposition".'
)
EPOCHS, BATCH_SIZE, LEARNING_RATE, WARMUP_RATIO, MAX_GRAD_NORM, SEED = 2, 8, 1e-4, 0.05, 1.0, 0


def main(traces_path: str, student: str, output_dir: str) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(student)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    # ------------------------------------------------------------ traces → rows of token ids
    special = sorted(set(tokenizer.all_special_tokens), key=len, reverse=True)

    def data(text: str) -> str:
        """Text that cannot open or close a turn."""
        for token in special:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    rows = []  # (ids, number of prompt ids)
    with open(traces_path, encoding="utf-8") as lines:
        for trace in map(json.loads, lines):
            question = trace["question"]
            # Screening: a solution that equals the gold answer (compare scores.exact).
            if "solution" not in trace or trace["solution"]["answer"] != question.get("answer"):
                continue
            context = f"Context: {question['context']}\n\n" if question.get("context") else ""
            user = f"{context}Question: {question['text']}"
            chat = [
                {"role": "system", "content": data(SYSTEM)},
                {"role": "user", "content": data(user)},
            ]
            prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            steps = enumerate(trace["decomposition"]["subquestions"], start=1)
            completion = "\n".join(f"{number}. {step}" for number, step in steps)
            completion = data(completion or "No decomposition")
            prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            completion_ids = tokenizer(completion, add_special_tokens=False)["input_ids"]
            # The end of the turn is trained, or the student would never stop.
            rows.append(([*prompt_ids, *completion_ids, tokenizer.eos_token_id], len(prompt_ids)))

    # ------------------------------------------------------------ model and optimizer
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if device.type != "cpu":
        native = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    dtype = torch.bfloat16 if native else torch.float32
    model = AutoModelForCausalLM.from_pretrained(student, dtype=dtype).to(device)
    # bfloat16 loses small updates, so they are collected in float32.
    weights = list(model.parameters())
    copies = [weight.detach().float() for weight in weights]
    optimizer = torch.optim.AdamW(copies, lr=LEARNING_RATE, weight_decay=0.0, fused=True)

    # ------------------------------------------------------------ the order of training
    order = random.Random(SEED)
    batches = []
    for _ in range(EPOCHS):
        shuffle_decompositions = order.sample(range(len(rows)), len(rows))
        for start in range(0, len(shuffle_decompositions), 16 * BATCH_SIZE):
            # Rows of like length share a batch: little padding, and the order stays random.
            pool = sorted(
                shuffle_decompositions[start : start + 16 * BATCH_SIZE],
                key=lambda i: len(rows[i][0]),
            )
            drawn = [pool[at : at + BATCH_SIZE] for at in range(0, len(pool), BATCH_SIZE)]
            order.shuffle(drawn)
            batches += drawn

    # ------------------------------------------------------------ the steps
    losses = []
    warmup = max(1, round(len(batches) * WARMUP_RATIO))
    model.train()
    for number, batch in enumerate(batches):
        began = time.perf_counter()

        # Right padding needs no mask: a causal model never looks ahead.
        width = max(len(rows[i][0]) for i in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)  # (B, T)
        targets = torch.zeros(len(batch), width, dtype=torch.bool)  # (B, T)
        for place, i in enumerate(batch):
            row, start = rows[i]
            ids[place, : len(row)] = torch.tensor(row)
            targets[place, start : len(row)] = True

        # Logits only where they are needed: the vocabulary is most of the memory.
        hidden = model.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
        logits = model.get_output_embeddings()(hidden[:, :-1][targets[:, 1:]])  # (targets, V)
        labels = ids[targets].to(device)
        # Summed over the step, then divided: every target token counts alike.
        loss = F.cross_entropy(logits.float(), labels, reduction="sum") / labels.numel()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)

        if number < warmup:
            share = (number + 1) / warmup
        else:
            passed = (number - warmup) / max(1, len(batches) - warmup)
            share = 0.5 * (1 + math.cos(math.pi * passed))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share
        for weight, copy in zip(weights, copies, strict=True):
            copy.grad, weight.grad = weight.grad.float(), None
        optimizer.step()
        with torch.no_grad():
            for weight, copy in zip(weights, copies, strict=True):
                weight.copy_(copy)

        losses.append(loss.item())
        seconds = time.perf_counter() - began
        print(f"step {number + 1}/{len(batches)}: loss {losses[-1]:.4f}, {seconds:.2f} s")

    # ------------------------------------------------------------ the checkpoint
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:])
