"""What the files in `files/` were made from: the same arguments, for `make.py` and the test."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch

import decompose_distill as dd
from decompose_distill import load_backend
from decompose_distill.backends.caching import request_key
from decompose_distill.backends.openai import OpenAIBackend
from decompose_distill.backends.openai.batch.backend import OpenAIBatchBackend
from decompose_distill.backends.replay import ScriptedBackend
from decompose_distill.backends.transformers import TransformersBackend
from decompose_distill.cost.pricing import Price
from decompose_distill.demo.run import PROMPT as DEMO_PROMPT
from decompose_distill.demo.scripted_model import ScriptedModel
from decompose_distill.demo.scripted_model import scripted_teacher as demo_teacher
from decompose_distill.demo.solver import DatabaseSolver
from decompose_distill.demo.world import build_world
from decompose_distill.experiments.values import digest, hash_questions
from decompose_distill.keys import fingerprint_line
from decompose_distill.models.content_hash import content_hash
from decompose_distill.models.loading import load_model
from decompose_distill.types import Finish

FILES = Path(__file__).parent / "files"
BASE = "base"
"""The student, named as from a working directory that holds a copy of `FILES`."""

# ── collect ──────────────────────────────────────────────────────────────────────────────────

QUESTIONS = (
    dd.Question("How old are Ada and Eve together?", answer="40"),
    dd.Question("How old are Bob and Finn together?", answer="41", aliases=("forty-one",)),
    dd.Question("Who is older?", answer="Zoë", context="Zoë is 40, Dan is 7.", id="our/own id"),
    dd.Question("How old is Ada?"),  # without a gold answer, and nothing to decompose
    dd.Question("Talk to me, please!", answer="no"),  # no subquestions can be read
    dd.Question("Tell me everything.", answer="all"),  # the decomposition is cut off
    dd.Question("Who wrote it?", answer="\ud83d half a pair"),  # the solution is cut off
    dd.Question("Why not?", answer="because"),  # the solution is empty
)
SAMPLED = dd.Sampling(temperature=0.7, top_p=0.9, max_new_tokens=64, seed=3)
STEPS = {
    "How old is Ada?": "No decomposition",
    "Talk to me, please!": "With pleasure, but there is nothing to say.",
    "Tell me everything.": "",
    "Who is older?": "1. How old is Zoë?\n2. How old is Dan?\n3. Which is more, #1 or #2?",
}


def decompose(request: dd.Request) -> dd.Completion:
    """The teacher: as good as its table."""
    text = request.messages[-1].content.rpartition("Question: ")[2]
    said = STEPS.get(text, f"1. {text[:-1]} in {request.sample + 1}?\n2. What is #1?")
    finish: Finish = "stop" if said else "length"
    return dd.Completion(request.id, said, finish, dd.Usage(len(text), len(said) or 64))


def solve(request: dd.Request) -> dd.Completion:
    """The solver: right in the first solve of a sample, wrong in the others."""
    asked = request.messages[-1].content
    known = {each.text: each.answer or "36" for each in (*QUESTIONS, *TRAIN, *TEST)}
    question = next(text for text in known if text in asked)
    answer = known[question] if not request.solve else "7"
    used = dd.Usage(len(asked), 9)
    if question == "Who wrote it?":
        return dd.Completion(request.id, "First of all", "length", used)
    if question == "Why not?":
        return dd.Completion(request.id, "", "stop", used)
    unanswered = int(question == "How old is Ada?")
    said = f"Well.\nThe answer is: {answer}"
    return dd.Completion(request.id, said, "stop", used, unanswered=unanswered)


PRICE = Price(Decimal("0.4"), Decimal("1.6"))


@dataclass(frozen=True)
class Recorded:
    """A backend with an identity and a price, as a server has."""

    identity: str
    answer: Callable[[dd.Request], dd.Completion]
    backwards: bool = False
    """Whether what was asked last is answered first."""
    price: Price = PRICE
    max_attempts: int = 3

    def generate(self, requests: Iterable[dd.Request]) -> Iterator[dd.Completion]:
        asked = list(requests)[::-1] if self.backwards else requests
        return map(self.answer, asked)


def pipeline(
    first: Callable[[dd.Request], dd.Completion] = decompose,
    second: Callable[[dd.Request], dd.Completion] = solve,
    *,
    backwards: bool = False,
) -> dd.Pipeline:
    """A teacher and a solver whose prompts and sampling are not the usual ones."""
    teacher, solver = Recorded("teacher 1", first, backwards), Recorded("solver 1", second)
    return dd.Pipeline(
        dd.Decomposer(teacher, prompt=dd.prompts.decompose(4), sampling=SAMPLED),
        dd.Solver(solver, sampling=replace(SAMPLED, seed=5)),
    )


def single(answer: Callable[[dd.Request], dd.Completion] = solve) -> dd.Pipeline:
    """A single call, as of the files in `older/`."""
    return dd.Pipeline(None, dd.Solver(Recorded("solver 1", answer), mode="cot"))


URL = "http://127.0.0.1:8000/v1"


class Batched(OpenAIBatchBackend):
    """The batch interface of a server that had this address when the files were written."""

    identity = f"openai:some-model {URL}"


def batched(url: str, sleep: Callable[[float], None]) -> dd.Pipeline:
    """A single call through the batch interface."""
    backend = Batched(
        "some-model",
        "batched/traces.jsonl.batches",
        base_url=url,
        progress=False,
        sleep=sleep,
    )
    return dd.Pipeline(None, dd.Solver(backend, mode="direct"))


def answered(line: Any) -> Any:
    """A line of a batch's output for one of its input."""
    text = line["body"]["messages"][-1]["content"]
    chat: dict[str, Any] = {"choices": [{"message": {"content": f"The answer is: {len(text)}"}}]}
    chat["choices"][0]["finish_reason"] = "stop"
    body = {**chat, "usage": {"prompt_tokens": len(text), "completion_tokens": 5}}
    return {"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}}


# ── distill and paper ────────────────────────────────────────────────────────────────────────

SPLIT = dd.prompts.Prompt("Split.", "{question}")
WORK = dd.prompts.Prompt("Solve.", "{question}{subquestions}")
ANSWER = dd.prompts.Prompt("Answer.", "{question}")
CONFIG = dd.DistillConfig(
    epochs=2, batch_size=2, learning_rate=5e-3, dtype="float32", save_steps=2, seed=1
)
LORA = replace(CONFIG, lora_rank=2, merge_lora=False)
TRAIN = tuple(
    dd.Question(f"How old are {one} and {other} together?", answer=str(50 + len(one + other)))
    for one in ("Cleo", "Dan", "Gil", "Hugh")
    for other in ("Ivy", "Jo")
)
TEST = tuple(
    dd.Question(f"How old are {one} and Kim together?", answer=str(60 + len(one)))
    for one in ("Cleo", "Dan", "Mary")
)
GROWN = dd.prompts.Prompt("Split.", "{question}").with_examples([(TRAIN[0], (), "1. How old?")])


def distill(output_dir: str, **changes: Any) -> Path:
    """A training whose files are in `trained/`."""
    usual: dict[str, Any] = {"student": BASE, "prompt": SPLIT, "validation": 0.3, "config": CONFIG}
    traces = dd.read_traces("trained/traces.jsonl")
    return dd.distill(traces, output_dir=output_dir, **usual | changes)


def judge(request: dd.Request) -> dd.Completion:
    """A solver that is right only behind the decomposition of the very question."""
    asked = request.messages[-1].content
    done = solve(request)
    question = next(each.text for each in (*TRAIN, *TEST) if each.text in asked)
    is_right = f"{question[:-1]} in 1?" in asked and "Hugh" not in question
    return done if is_right else replace(done, text="The answer is: 7")


def paper(
    first: Callable[[dd.Request], dd.Completion] = decompose,
    second: Callable[[dd.Request], dd.Completion] = judge,
    **changes: Any,
) -> Any:
    """A matrix with cells of every kind: recorded, shuffled, untrained and trained."""
    teacher, solver = Recorded("teacher 1", first), Recorded("solver 1", second)
    student = dd.Student(
        BASE,
        decompose=SPLIT,
        solve=WORK,
        answer=ANSWER,
        sampling=dd.Sampling(max_new_tokens=16),
        config=replace(CONFIG, batch_size=4, save_steps=None),
    )
    usual: dict[str, Any] = {
        "student": student,
        "output_dir": "paper",
        "rows": ("none", "teacher", "shuffled", "untrained few-shot", "S_D-uplift"),
        "columns": ("solver", "answer-only"),
        "transfer": {"elsewhere": TEST[:2]},
        "usd_per_hour": 1,
        "title": "Which part, as of format 2",
        "say": lambda line: None,
        "progress": False,
    }
    split = dd.Decomposer(teacher, sampling=dd.Sampling(max_new_tokens=99))
    return dd.paper(dd.Pipeline(split, dd.Solver(solver)), TRAIN, TEST, **usual | changes)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def keys() -> dict[str, dict[str, Any]]:
    """Every durable key of built-in classes, from a working directory that holds the files."""
    return {
        "backends": {name: each.identity for name, each in _backends().items()},
        "roles": {name: each.identity for name, each in _roles().items()},
        "pipelines": {name: each.key for name, each in _pipelines().items()},
        "requests": dict(_requests()),
        "questions": {
            "ids": [each.id for each in (*QUESTIONS, *TRAIN, *TEST)],
            "all of them": hash_questions(QUESTIONS),
        },
        "prompts": {
            name: [fingerprint_line("Prompt", each), each.to_json()]
            for name, each in _prompts().items()
        },
        "students": dict(_students()),
        "content": {name: content_hash(name) for name in (BASE, "trained/full", "trained/lora")},
    }


def _backends() -> dict[str, Any]:
    servers: dict[str, Any] = {
        "openai": load_backend("openai:some-model", base_url=URL),
        "openai, several": OpenAIBackend("some-model", base_url={URL: 2, f"{URL[:-3]}/": 1}),
        "openai, official": load_backend("openai:gpt-4.1-mini"),
        "openai, batches": load_backend("openai:gpt-4.1-mini", batches="traces.jsonl.batches"),
        "replay": load_backend("replay:collected/traces.jsonl"),
        "scripted": ScriptedBackend(str.upper),
        "scripted, named": ScriptedBackend(str.upper, "upper 2"),
        "demo, large": ScriptedModel(build_world(seed=0)),
        "demo, large, another world": ScriptedModel(build_world(seed=7)),
    }
    return servers | {
        f"{name}, {dtype}": _local(name, dtype)
        for name in (BASE, "trained/full", "trained/lora")
        for dtype in (torch.float32, torch.bfloat16)
    }


def _local(name: str, dtype: torch.dtype) -> TransformersBackend:
    backend = TransformersBackend(name)
    backend.model = load_model(name, dtype=dtype)  # by default that of the hardware
    return backend


def _prompts() -> dict[str, dd.prompts.Prompt]:
    return {
        "decompose": dd.prompts.decompose(),
        "decompose, at most 5": dd.prompts.decompose(5),
        "joint": dd.prompts.JOINT,
        "direct": dd.prompts.DIRECT,
        "cot": dd.prompts.COT,
        "plan_and_solve": dd.prompts.PLAN_AND_SOLVE,
        "with examples": GROWN,
    }


def _roles() -> dict[str, Any]:
    scripted, world = ScriptedBackend(str.upper), build_world(seed=0)
    roles: dict[str, Any] = {
        "decomposer": dd.Decomposer(scripted),
        "decomposer, sampled": dd.Decomposer(scripted, sampling=SAMPLED),
        "decomposer, at most 5": dd.Decomposer(scripted, prompt=dd.prompts.decompose(5)),
        "decomposer, with examples": dd.Decomposer(scripted, prompt=GROWN),
        "demo, decomposer": dd.Decomposer(ScriptedBackend(demo_teacher(world)), prompt=DEMO_PROMPT),
    }
    for mode in ("joint", "direct", "cot", "plan_and_solve"):
        roles[f"solver, {mode}"] = dd.Solver(scripted, mode=mode)
    return roles | {
        "solver, sampled": dd.Solver(scripted, sampling=SAMPLED),
        "solver, own prompt": dd.Solver(scripted, mode="cot", prompt=WORK),
        "student": dd.Decomposer(
            _local("trained/full", torch.float32), prompt=SPLIT, sampling=SAMPLED
        ),
    }


def _pipelines() -> dict[str, dd.Pipeline]:
    roles, world = _roles(), build_world(seed=0)
    solvers = {name: role for name, role in roles.items() if name.startswith("solver")}
    return {
        **{name: dd.Pipeline(role, roles["solver, joint"]) for name, role in roles.items()
           if name not in solvers},
        **{name: dd.Pipeline(None, role) for name, role in solvers.items()},
        "recorded": pipeline(),
        "single": single(),
        "demo": dd.Pipeline(roles["demo, decomposer"], DatabaseSolver(world)),
    }  # fmt: skip


def _requests() -> Iterator[tuple[str, str]]:
    chat = dd.prompts.decompose().render(QUESTIONS[2])
    shown = GROWN.render(QUESTIONS[0])
    yield "greedy", request_key(dd.Request("0", chat), "scripted")
    yield "the same by another id", request_key(dd.Request("1", chat), "scripted")
    yield "another backend", request_key(dd.Request("0", chat), f"openai:some-model {URL}")
    yield "sampled", request_key(dd.Request("0", chat, SAMPLED), "scripted")
    yield "sample 1", request_key(dd.Request("0", chat, SAMPLED, 1), "scripted")
    yield "solve 2", request_key(dd.Request("0", chat, SAMPLED, 1, 2), "scripted")
    yield "with examples", request_key(dd.Request("0", shown), "scripted")


def _configs() -> dict[str, dd.DistillConfig]:
    return {
        "usual": dd.DistillConfig(),
        "all changed": dd.DistillConfig(
            epochs=1, batch_size=4, micro_batch_size=2, learning_rate=1e-3, schedule="linear",
            warmup_ratio=0.1, weight_decay=0.01, max_grad_norm=0.5, dtype="bfloat16",
            master_weights=False, gradient_checkpointing=True, packing=True, lora_rank=8,
            merge_lora=False, save_steps=10, patience=2, max_duplicates=0.1, seed=4,
        ),
    }  # fmt: skip


def _students() -> Iterator[tuple[str, str]]:
    """Hashes in the names of folders under `students/` of a matrix."""
    for name, config in _configs().items():
        for variant in ("S_D-T", "S_D-R", "S_D-uplift", "S_E-T", "S_E-A", "S_E-R", "answer-only"):
            student = dd.Student(BASE, config=config)
            inputs = {**student.inputs(variant, 1, "0" * 64), "content": "0123"}
            yield f"{variant}, {name}", digest(inputs)
    untrained = dd.Student(BASE, sampling=SAMPLED).untrained(GROWN)
    yield "untrained, with examples", digest({**untrained, "content": "0123"})
