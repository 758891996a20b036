"""Decomposer: question → subquestions, over any backend."""

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
from decompose_distill.errors import ParseError
from decompose_distill.keys import fingerprint_line
from decompose_distill.parsing import ParsedDecomposition, parse_circle, read_decomposition
from decompose_distill.pipelines.endings import ending_of
from decompose_distill.pipelines.pretrained import load_pretrained
from decompose_distill.types import Completion, Decomposition, Failure, Question, Request, Sampling


@dataclass(frozen=True, slots=True)
class Decomposer:
    """The first role: splits questions with a backend and a prompt.

    Raises:
        ConfigError: An argument is of another type; the message names it.

    Example:
        >>> from decompose_distill.backends.replay import ScriptedBackend
        >>> decomposer = Decomposer(ScriptedBackend(lambda text: "1. How old is Ada?"))
        >>> next(decomposer.decompose([Question("Is Ada over 9?")])).subquestions
        (Subquestion(text='How old is Ada?'),)
    """

    backend: Backend
    prompt: prompts.Prompt = field(default_factory=prompts.decompose, kw_only=True)
    sampling: Sampling = field(default=cast(Sampling, None), kw_only=True)
    """By default, or given `None`, greedy with the backend's own `max_new_tokens`."""

    def __post_init__(self) -> None:
        if self.sampling is None:
            object.__setattr__(self, "sampling", sampling_for(self.backend))
        check_kinds(self.backend, self.sampling)
        prompts.check_prompt(self.prompt)

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
    ) -> "Decomposer":
        """Load a student that `distill` trained as decomposer, with the prompt it trained on.

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
            CheckpointError: It is no complete decomposer checkpoint, or a file of it is not what
                training saved.
            ConfigError: An argument does not go with the others.

        Example:
            ```python
            server = dd.load_backend("openai:student", base_url="http://localhost:8000/v1")
            student = dd.Decomposer.from_pretrained("runs/student", backend=server)
            ```
        """
        backend, asking = load_pretrained(
            checkpoint,
            "decomposer",
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
        info, prompt = info_of(self.backend), fingerprint_line("Prompt", self.prompt)
        return f"{info.identity} {prompt} {sampling_key(self.sampling, info.max_new_tokens)}"

    def backends(self) -> Mapping[str, Backend]:
        """The one it asks, under the name `decomposer`."""
        return {"decomposer": self.backend}

    def with_backends(self, backends: Mapping[str, Backend]) -> "Decomposer":
        """The same decomposer over another backend."""
        return replace(self, backend=backends["decomposer"])

    def decompose(
        self, questions: Iterable[Question], sample: int = 0
    ) -> Iterator[Decomposition | Failure]:
        """Split each question once; answers come as they finish.

        Args:
            questions: Any iterable; taken only as fast as the backend works.
            sample: Which of k samples this is; added to the seed.
        """
        return self.draw((question, sample) for question in questions)

    def draw(self, samples: Iterable[tuple[Question, int]]) -> Iterator[Decomposition | Failure]:
        """Split questions, each with the number of its sample, in one stream."""
        for (question, sample), completion in complete(self.backend, samples, self._request):
            yield _read(completion, question, sample)

    def _request(self, name: str, sampled: tuple[Question, int]) -> Request:
        question, sample = sampled
        sampling = self.sampling.for_sample(sample)
        name = f"decompose/{question.id}/{sample}/{name}"
        return Request(name, self.prompt.render(question), sampling, sample)


def _read(completion: Completion, question: Question, sample: int) -> Decomposition | Failure:
    def failed(reason: str, message: str) -> Failure:
        return Failure(
            question, "decompose", reason, message, completion.text, None, sample, completion.usage
        )

    ending = ending_of(completion)
    try:
        if not ending.reason:
            read = read_decomposition(ending.text)
        elif ending.reason == "length" and (circle := parse_circle(ending.text)):
            read = ParsedDecomposition(circle)  # it repeated itself until it was cut off
        else:
            return failed(ending.reason, ending.message)
    except ParseError as error:
        return failed(str(error), f"{error} in: {completion.text[:200]!r}")
    return Decomposition(
        question,
        read.subquestions,
        ending.text,
        sample,
        completion.usage,
        reasoning=ending.reasoning,
        leftover=read.leftover,
    )
