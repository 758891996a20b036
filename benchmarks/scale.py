"""What a process holds, sends and spends on a step among 8, 64 and 512, without so many machines.

    python benchmarks/scale.py --json figures.json

Process 0 of a job trains for real among others that torch's fake process group stands for: every
collective returns at once. So the seconds are those of its own work, to be equal at any number of
processes, and calls and bytes are what a network would have to carry.
"""

import argparse
import collections
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from decompose_distill import DistillConfig
from decompose_distill.models import load_model
from decompose_distill.training.data import Share, TokenizedExample, write_rows
from decompose_distill.training.engine import Optimizer, Ranks, choose_forward, load_split, train

SHAPES = {  # the first is SmolLM2-135M's
    "135M": {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30},
    "tiny": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4},
}
ROWS, LENGTH = 2, 64
"""Of a process and step."""
STEPS = 4


class Alone(Ranks):
    """One process that is told the others think alike."""

    def gather(self, value: Any) -> list[Any]:
        """As many times the own value."""
        return [value] * self.size


class Calls(TorchDispatchMode):
    """Counts what goes to other processes."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = collections.Counter()
        self.bytes, self.largest = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Let an operation pass."""
        if func.namespace == "c10d":
            tensors: list[torch.Tensor] = []
            torch.utils._pytree.tree_map_only(torch.Tensor, tensors.append, args)
            size = max(tensor.nbytes for tensor in tensors)
            self.count[func._overloadpacket.__name__.strip("_")] += 1
            self.bytes, self.largest = self.bytes + size, max(self.largest, size)
        return func(*args, **(kwargs or {}))


def _measure(student: Path, size: int, split: bool, folder: Path) -> dict[str, Any]:
    dist.init_process_group("fake", rank=0, world_size=size, store=FakeStore())
    try:
        ranks = Alone(0, size)
        if split:
            model = load_split(ranks, str(student), torch.bfloat16, "cpu")
        else:
            model = load_model(student, dtype=torch.bfloat16, device="cpu")
        forward = choose_forward(model, longest=LENGTH)
        config = DistillConfig(batch_size=ROWS * size, dtype="bfloat16")
        optimizer = Optimizer(model, config, ranks)
        ids = [tuple(range(at % 97 + 3, at % 97 + 3 + LENGTH)) for at in range(ROWS * size)]
        rows = write_rows((TokenizedExample(str(at), row, 8) for at, row in enumerate(ids)), folder)
        seconds, calls = [], Calls()
        for number in range(STEPS):
            began = time.perf_counter()
            share = Share.dealt(rows, range(len(rows)), 0, size)
            steps = train(forward, optimizer, [share], STEPS, config, done=number, ranks=ranks)
            if number == STEPS - 1:
                with calls:
                    list(steps)
            else:
                list(steps)
                seconds.append(time.perf_counter() - began)
        weights = sum(_bytes(weight) for weight in model.parameters())
        state = optimizer.state()
        held = sum(_bytes(tensor) for name, tensor in state.items() if name[:7] != "weight.")
        return {
            "ranks": size,
            "way": "split" if split else "copied",
            "held_mb": (2 * weights + held) / 1e6,  # gradients are as large as the weights
            "gathered_mb": calls.largest / 1e6,
            "calls": dict(calls.count),
            "moved_mb": calls.bytes / 1e6,
            "step_seconds": min(seconds),
        }
    finally:
        dist.destroy_process_group()


def _bytes(tensor: Any) -> int:
    part = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return int(part.nbytes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="135M")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 8, 64, 512])
    args = parser.parse_args()
    figures: dict[str, Any] = {"shape": args.shape, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        student = Path(folder) / "student"
        heads = {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
        shape = SHAPES[args.shape] | (heads if args.shape == "135M" else {"num_attention_heads": 3})
        vocabulary = 49152 if args.shape == "135M" else 1024
        config = LlamaConfig(vocab_size=vocabulary, **shape)
        LlamaForCausalLM(config).bfloat16().save_pretrained(student)
        for split in (False, True):
            for size in args.ranks:
                if split and size == 1:
                    continue
                rows = Path(folder) / f"{size}-{split}"
                figures["cases"].append(_measure(student, size, split, rows))
                print(json.dumps(figures["cases"][-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
