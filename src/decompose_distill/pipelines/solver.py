"""Solver: question and subquestions → answer, over any backend."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from decompose_distill import prompts
from decompose_distill.backend import (
    Backend,
    check_kinds,
    complete,
    info_of,
    sampling_for,
    sampling_key,
)
from decompose_distill.errors import ConfigError, ParseError
from decompose_distill.keys import fingerprint_line
from decompose_distill.parsing import parse_answer
from decompose_distill.pipelines.endings import ending_of
from decompose_distill.pipelines.pretrained import load_pretrained
from decompose_distill.types import (
    Completion,
    Decomposition,
    Failure,
    Message,
    Request,
    Sampling,
    Solution,
)

SOLVE_STRIDE = 1_000_000
"""Added to the seed for each further solve of a decomposition; no question has as many samples."""
Mode = Literal["joint", "direct", "cot", "plan_and_solve"]
PROMPTS = {
    "joint": prompts.JOINT,
    "direct": prompts.DIRECT,
    "cot": prompts.COT,
    "plan_and_solve": prompts.PLAN_AND_SOLVE,
}
"""By mode, the one it has of its own."""


@dataclass(frozen=True, slots=True)
class Solver:
    """The second role: answers questions with a backend and a prompt.

    Modes: `joint` answers all subquestions and then the question in one completion (the
    paper's solver); the others ignore subquestions and answer in one call: `direct` without
    working, `cot` with it, `plan_and_solve` with a plan of its own first (arXiv 2305.04091).

    Raises:
        ConfigError: The mode is unknown, or an argument of another type.

    Example:
        >>> from decompose_distill import Question
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> solver = Solver(ScriptedBackend(lambda text: "The answer is: 42"), mode="direct")
        >>> next(solver.solve([Decomposition(Question("What is 6 times 7?"), ())])).answer
        '42'
    """

    backend: Backend
    mode: Mode = field(default="joint", kw_only=True)
    prompt: prompts.Prompt | None = field(default=None, kw_only=True)
    """The prompt; by default the mode's own."""
    sampling: Sampling = field(default=cast(Sampling, None), kw_only=True)
    """By default, or given `None`, greedy with the backend's own `max_new_tokens`."""

    def __post_init__(self) -> None:
        if self.sampling is None:
            object.__setattr__(self, "sampling", sampling_for(self.backend))
        check_kinds(self.backend, self.sampling)
        prompts.check_prompt(self.prompt)
        if self.mode not in PROMPTS:
            raise ConfigError(f"solver mode must be one of {', '.join(PROMPTS)}, not {self.mode!r}")

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        *,
        backend: Backend | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        dtype: Literal["bfloat16", "float32"] | None = None,
        revision: str | None = None,
    ) -> "Solver":
        """Load a student that `distill` trained as solver, with the prompt it trained on.

        Args:
            checkpoint: Directory that `distill` wrote, or a hub id such as `me/student`.
            backend: What has the student's weights, a server or `load_backend("vllm:...")`. Prompt
                and sampling come from the checkpoint, completions from there, and neither weights
                nor torch are loaded here.
            batch_size: Questions completed together; by default 64.
            device: Where it runs, such as `cpu` or `cuda:1`; by default on the accelerator if
                there is one.
            dtype: Number type of the weights; by default what suits the device.
            revision: Branch, tag or commit of a hub id.

        Raises:
            CheckpointError: It is no complete solver checkpoint, or a file of it is not what
                training saved.
            ConfigError: An argument does not go with the others.

        Example:
            ```python
            traces, base = dd.read_traces("traces.jsonl"), "HuggingFaceTB/SmolLM2-135M-Instruct"
            dd.distill(traces, role="solver", student=base, output_dir="runs/solver")
            server = dd.load_backend("openai:solver", base_url="http://localhost:8000/v1")
            student = dd.Solver.from_pretrained("runs/solver", backend=server)
            ```
        """
        backend, asking = load_pretrained(
            checkpoint,
            "solver",
            backend,
            revision,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
        )
        return cls(backend, **asking)

    @property
    def identity(self) -> str:
        """Backend, prompt and sampling in one line, for keys."""
        info = info_of(self.backend)
        prompt = fingerprint_line("Prompt", self.prompt or PROMPTS[self.mode])
        sampling = sampling_key(self.sampling, info.max_new_tokens)
        return f"{info.identity} {self.mode} {prompt} {sampling}"

    def backends(self) -> Mapping[str, Backend]:
        """The one it asks, under the name `solver`."""
        return {"solver": self.backend}

    def with_backends(self, backends: Mapping[str, Backend]) -> "Solver":
        """The same solver over another backend."""
        return replace(self, backend=backends["solver"])

    def with_mode(self, mode: Mode, prompt: prompts.Prompt | None = None) -> "Solver":
        """The same solver in another mode, with that one's own prompt or another."""
        return replace(self, mode=mode, prompt=prompt)

    def solve(self, decompositions: Iterable[Decomposition]) -> Iterator[Solution | Failure]:
        """Answer each decomposed question once; answers come as they finish.

        Args:
            decompositions: Any iterable; taken only as fast as the backend works. The seed of
                a request is the solver's plus the decomposition's sample number.
        """
        once = ((decomposition, 0) for decomposition in decompositions)
        return (outcome for _, outcome in self.draw(once))

    def draw(
        self, solves: Iterable[tuple[Decomposition, int]]
    ) -> Iterator[tuple[int, Solution | Failure]]:
        """Answer decompositions, each with the number of its solve, which comes back with it.

        The seed of a request is the solver's plus the sample's number plus `SOLVE_STRIDE` times
        the solve's, so no two of a question are alike.
        """
        for (decomposition, solve), completion in complete(self.backend, solves, self._request):
            yield solve, _read(completion, decomposition)

    def render(self, decomposition: Decomposition) -> tuple[Message, ...]:
        """Build the chat for one decomposition."""
        prompt = self.prompt or PROMPTS[self.mode]
        subquestions = decomposition.subquestions if self.mode == "joint" else ()
        return prompt.render(decomposition.question, subquestions)

    def _request(self, name: str, drawn: tuple[Decomposition, int]) -> Request:
        decomposition, solve = drawn
        question, sample = decomposition.question, decomposition.sample
        sampling = self.sampling.for_sample(sample + SOLVE_STRIDE * solve)
        name = f"solve/{question.id}/{sample}/{name}"
        return Request(name, self.render(decomposition), sampling, sample, solve)


def _read(completion: Completion, decomposition: Decomposition) -> Solution | Failure:
    def failed(reason: str, message: str) -> Failure:
        return Failure(
            decomposition.question,
            "solve",
            reason,
            message,
            completion.text,
            decomposition,
            decomposition.sample,
            completion.usage,
        )

    ending = ending_of(completion)
    if ending.reason:
        return failed(ending.reason, ending.message)
    try:
        answer = parse_answer(ending.text)
    except ParseError as error:
        return failed(str(error), str(error))
    return Solution(
        decomposition, answer, ending.text, completion.usage, reasoning=ending.reasoning
    )
