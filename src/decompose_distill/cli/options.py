"""Options that several commands share, and what they stand for: questions, roles, prices, prompts.

Each group is a dataclass: its fields are options, their docstrings the help.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import decompose_distill as dd
from decompose_distill.cli.settings import Argument, Option
from decompose_distill.errors import ConfigError, DataError

if TYPE_CHECKING:
    from decompose_distill.collection.one_process import PipelineSource
    from decompose_distill.collection.workers import Engine

QuestionsFile = Annotated[
    str, Argument("A file of questions, or a dataset such as gsm8k or gsm8k:train.")
]
TracesFile = Annotated[
    str, Argument("Traces, as collect writes them: a file, a folder of *.jsonl, or a pattern.")
]
StudentName = Annotated[
    str, Option("Hub id, directory or .gguf file; auto is SmolLM2-135M-Instruct.")
]
SolverTarget = Annotated[
    Literal["rationale", "gold_rationale", "answer"] | None,
    Option("What a solver learns to write; default rationale."),
]
KeptTraces = Annotated[Literal["complete", "correct"], Option("Which traces to learn from.")]
ScoreText = Annotated[
    str, Option("How answers are scored: a name of scores, or module:function of your own.")
]
PromptFile = Annotated[
    Path | None,
    Option("Prompt: JSON with system and user, a text that is the instruction, or a student."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files of questions are read."""

    limit: int | None = None
    """Take only the first N questions."""
    fields: Mapping[str, str] | None = None
    """What a file calls our fields, as question=frage,answer=antwort."""

    def load(self, source: str, split: str | None = None) -> "tuple[dd.Question, ...]":
        """Questions of a file, or of a dataset from the hub with its split behind a colon.

        Raises:
            ConfigError: `limit` is below 1.
            DataError: The file is missing or malformed.
        """
        from decompose_distill.data.questions import HUB

        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"--limit must be 1 or more, not {self.limit}")
        name, _, named = source.partition(":")
        if name in HUB and not Path(source).is_file():
            questions = dd.load_questions(name, split=named or split, fields=self.fields)
        else:
            questions = dd.load_questions(source, fields=self.fields)
        return questions[: self.limit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where backends are reached, and how: `openai:` ones, and local models."""

    base_url: str | None = None
    """Endpoint of openai: backends, such as http://localhost:8000/v1."""
    api_key_env: str | None = None
    """Environment variable that holds their key; default OPENAI_API_KEY."""
    solver_base_url: str | None = None
    """Endpoint of the solver, if it is another one."""
    solver_api_key_env: str | None = None
    """Environment variable that holds the solver's key, if it is another one."""
    max_in_flight: int | None = None
    """Requests at once; default 32."""

    batch: bool = False
    """Ask by the batch interface: cheaper, slower."""
    device: str | None = None
    """Where hf: models and students run, as cpu or cuda:1; default the accelerator."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """Number type of their weights; by default what suits the device."""

    def load_roles(
        self, decomposer: str, solver: str, *, batches: Path | str, needs_key: bool = True
    ) -> "tuple[dd.Backend, dd.Backend]":
        """Both backends, one for both roles if they are alike; see `load`."""
        self.check(decomposer, solver)
        first = self.load(decomposer, batches, needs_key=needs_key)
        alike = decomposer == solver and self._address(solves=False) == self._address(solves=True)
        if alike:
            return first, first
        return first, self.load(solver, batches, solves=True, needs_key=needs_key)

    def load(
        self, name: str, batches: Path | str, *, solves: bool = False, needs_key: bool = True
    ) -> "dd.Backend":
        """A backend by its name; what is said here of servers is for `openai:` backends.

        An address in the name goes before `base_url`.

        Args:
            name: Such as `openai:gpt-4.1-mini`.
            batches: File beside which is kept what was submitted.
            solves: Whether the solver's own address and key hold.
            asked: Whether anything will be sent, for which a key may be needed.
        """
        if name.startswith("hf:"):
            return self._load_local(name)
        if not name.startswith("openai:"):
            return dd.load_backend(name)
        options = {
            **self._address(solves=solves),
            "max_in_flight": self.max_in_flight,
            "batches": f"{batches}.batches" if self.batch else None,
            "needs_key": None if needs_key else False,
        }
        if "@http" in name:
            options.pop("base_url")
        arguments = {option: value for option, value in options.items() if value is not None}
        return dd.load_backend(name, **arguments)  # type: ignore[arg-type]

    def _load_local(self, name: str) -> "dd.Backend":
        from decompose_distill.models.smollm2 import find_student

        model = find_student(name.removeprefix("hf:"))
        options = {"device": self.device, "dtype": self.dtype}
        arguments = {option: value for option, value in options.items() if value is not None}
        return dd.load_backend(f"hf:{model}", **arguments)  # type: ignore[arg-type]

    def check(self, *names: str) -> None:
        """Refuse options that are for none of the backends; a student is named without a scheme.

        Raises:
            ConfigError: Such an option was given.
        """
        for option in (field.name for field in fields(self)):
            scheme = "hf:" if option in ("device", "dtype") else "openai:"
            meant = names[-1:] if option.startswith("solver") else names
            fitting = (f"hf:{name}" if ":" not in name else name for name in meant)
            if getattr(self, option) and not any(name.startswith(scheme) for name in fitting):
                shown = f"--{option.replace('_', '-')}"
                raise ConfigError(f"{shown} goes with '{scheme}' backends, not with {meant[0]!r}")

    def _address(self, *, solves: bool) -> dict[str, str | None]:
        if not solves:
            return {"base_url": self.base_url, "api_key_env": self.api_key_env}
        return {
            "base_url": self.solver_base_url or self.base_url,
            "api_key_env": self.solver_api_key_env or self.api_key_env,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How models are sampled."""

    temperature: float | None = 0.0
    """0 is greedy; none leaves it to the server."""
    top_p: float | None = 1.0
    """Share of the likeliest tokens that are drawn from; none leaves it to the server."""
    max_new_tokens: int | None = None
    """Longest completion, thinking included; longer ones fail. By default the backend's limit."""
    reasoning_effort: str | None = None
    """How much a thinking model is to think, in its provider's words."""

    def sampling(self, backend: "dd.Backend") -> "dd.Sampling":
        """The same for a backend, with its own limit if none was given."""
        from decompose_distill.backend import sampling_for

        limits = sampling_for(backend, max_new_tokens=self.max_new_tokens)
        return replace(
            limits,
            temperature=self.temperature,
            top_p=self.top_p,
            reasoning_effort=self.reasoning_effort,
        )

    def of_student(self) -> "dd.Sampling":
        """How long a student that was not trained may write; it is greedy."""
        limit = self.max_new_tokens
        return dd.Sampling() if limit is None else dd.Sampling(max_new_tokens=limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How often each question is decomposed and solved."""

    samples: int = 1
    """Decompositions per question."""
    solves: int = 1
    """Solutions per decomposition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What the work may cost."""

    budget_usd: Decimal | None = None
    """US dollars the output may cost, all runs together."""
    prices: Path | None = None
    """JSON file of prices by model."""

    def __post_init__(self) -> None:
        from decompose_distill.cost.ledger import read_budget

        read_budget(self.budget_usd)  # for the commands that send nothing too


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """How the work is spread over processes and machines."""

    shards: int = 1
    """Parts of the questions, each with its own files and its part of the budget."""
    engine: Literal["processes", "ray"] | None = None
    """Where the parts run: processes of this machine, or a Ray cluster; by default one by one."""
    gpus_per_shard: float = 0.0
    """Graphics cards that Ray keeps for each part."""
    shard: str | None = None
    """Only one part, as 3/8, for merge to put together."""

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            ConfigError: A single shard has a number of shards or an engine beside it.
        """
        if self.shard and (self.shards != 1 or self.engine):
            raise ConfigError("--shard is one part, in this process: leave out --shards, --engine")
        if self.gpus_per_shard and self.engine != "ray":
            raise ConfigError("--gpus-per-shard goes with --engine ray")

    @property
    def chosen(self) -> "Engine | None":
        """The engine with its settings."""
        from decompose_distill.collection import RayEngine

        is_ray = self.engine == "ray"
        return RayEngine(gpus_per_shard=self.gpus_per_shard) if is_ray else self.engine

    def where_it_runs(self, make: "Callable[[], dd.Pipeline]") -> "PipelineSource":
        """A pipeline that is loaded here, or by each worker for itself."""
        return make if self.engine else make()

    def output(self, whole: Path) -> Path:
        """The file that is written: of the whole, or of one part."""
        from decompose_distill.collection.shards import Shard

        return Shard.parse(self.shard).path(whole) if self.shard else whole


def read_prices(path: Path | None) -> "dict[str, dd.Price]":
    """The prices of a file; none without a file.

    Raises:
        DataError: The file is missing or malformed.
    """
    from decompose_distill.cost import pricing

    return pricing.read_prices(path) if path else {}


def read_score(name: str) -> "dd.scores.Score":
    """A score by its name, or of a file of the user's own.

    Raises:
        ConfigError: There is none.
    """
    try:
        return dd.scores.as_score(name)
    except ConfigError as error:
        raise ConfigError(f"--{error}") from error


def read_prompt(path: Path) -> "dd.prompts.Prompt":
    """A prompt in a file: JSON of its fields, or a text; of a student's folder that of the student.

    A text is the instruction, the system turn; one with `{question}` in it is the user's turn.

    Raises:
        ConfigError: The template names an unknown placeholder.
        CheckpointError: The folder is not a student.
        DataError: The file is missing, empty or malformed.
    """
    if path.is_dir():
        from decompose_distill.training.checkpoints.manifest import read_manifest_of

        return read_manifest_of(path).prompt
    make = dd.prompts.Prompt
    if not path.is_file():
        raise DataError(f"{path}: no such file of a prompt")
    try:
        text = path.read_text(encoding="utf-8").strip()
        if path.suffix == ".json":
            return make.from_json(json.loads(text))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: no prompt: {error}") from None
    if not text:
        raise DataError(f"{path}: no prompt: the file is empty")
    return make("", text) if "{question}" in text else make(text)
