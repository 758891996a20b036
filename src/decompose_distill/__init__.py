"""decompose-distill: split reasoning into decompose and solve, and distil the decomposing.

```python
import decompose_distill as dd

teacher = dd.load_backend("openai:gpt-4.1-mini")
pipeline = dd.Pipeline(dd.Decomposer(teacher), dd.Solver(teacher))
dd.collect(pipeline, dd.load_questions("questions.jsonl"), "traces.jsonl")
```

The method is that of "Divide-or-Conquer? Which Part Should You Distill Your LLM?"
(arXiv 2402.15000). Importing this package imports neither torch nor transformers.
"""

import importlib
import typing

from decompose_distill.errors import (
    BackendError,
    BackendUnavailable,
    BudgetExceeded,
    CheckpointError,
    ConfigError,
    DataError,
    DecomposeDistillError,
    MissingExtraError,
    ParseError,
    TrainingError,
)
from decompose_distill.faces import lazy

if typing.TYPE_CHECKING:
    from decompose_distill import filters, prompts, scores, testing
    from decompose_distill.backend import Backend, BackendInfo
    from decompose_distill.backends.registry import load_backend
    from decompose_distill.collection.collector import collect
    from decompose_distill.collection.one_process import Collected
    from decompose_distill.collection.planning import plan
    from decompose_distill.cost.forecast import Plan
    from decompose_distill.cost.pricing import Price
    from decompose_distill.data.questions import load_questions
    from decompose_distill.evaluation.harness import evaluate
    from decompose_distill.evaluation.results import Comparison, Report
    from decompose_distill.experiments.config import PaperConfig
    from decompose_distill.experiments.run import paper
    from decompose_distill.experiments.student import Student
    from decompose_distill.interop.exporting import export_traces
    from decompose_distill.interop.importing import import_traces
    from decompose_distill.interop.preferences import preference_pairs
    from decompose_distill.pipelines.decomposer import Decomposer
    from decompose_distill.pipelines.pipeline import Pipeline
    from decompose_distill.pipelines.solver import Solver
    from decompose_distill.storage.traces import read_traces, write_traces
    from decompose_distill.training.config import DistillConfig
    from decompose_distill.training.recipe import distill
    from decompose_distill.types import (
        Completion,
        Decomposition,
        Failure,
        Message,
        Question,
        Request,
        Sampling,
        Solution,
        Subquestion,
        Trace,
        Usage,
    )

__all__ = [
    "Backend",
    "BackendError",
    "BackendInfo",
    "BackendUnavailable",
    "BudgetExceeded",
    "CheckpointError",
    "Collected",
    "Comparison",
    "Completion",
    "ConfigError",
    "DataError",
    "DecomposeDistillError",
    "Decomposer",
    "Decomposition",
    "DistillConfig",
    "Failure",
    "Message",
    "MissingExtraError",
    "PaperConfig",
    "ParseError",
    "Pipeline",
    "Plan",
    "Price",
    "Question",
    "Report",
    "Request",
    "Sampling",
    "Solution",
    "Solver",
    "Student",
    "Subquestion",
    "Trace",
    "TrainingError",
    "Usage",
    "collect",
    "distill",
    "evaluate",
    "export_traces",
    "filters",
    "import_traces",
    "load_backend",
    "load_questions",
    "paper",
    "plan",
    "preference_pairs",
    "prompts",
    "read_traces",
    "scores",
    "testing",
    "write_traces",
]

# Reached on first use: even the readers of texts take a tenth of a second to import.
_get, _ = lazy(
    __name__,
    {
        "backend": ("Backend", "BackendInfo"),
        "backends.registry": ("load_backend",),
        "collection.collector": ("collect",),
        "collection.one_process": ("Collected",),
        "collection.planning": ("plan",),
        "cost.forecast": ("Plan",),
        "cost.pricing": ("Price",),
        "data.questions": ("load_questions",),
        "evaluation.harness": ("evaluate",),
        "evaluation.results": ("Comparison", "Report"),
        "experiments.config": ("PaperConfig",),
        "experiments.run": ("paper",),
        "experiments.student": ("Student",),
        "interop.exporting": ("export_traces",),
        "interop.importing": ("import_traces",),
        "interop.preferences": ("preference_pairs",),
        "pipelines.decomposer": ("Decomposer",),
        "pipelines.pipeline": ("Pipeline",),
        "pipelines.solver": ("Solver",),
        "storage.traces": ("read_traces", "write_traces"),
        "training.config": ("DistillConfig",),
        "training.recipe": ("distill",),
        "types": (
            *("Completion", "Decomposition", "Failure", "Message", "Question", "Request"),
            *("Sampling", "Solution", "Subquestion", "Trace", "Usage"),
        ),
    },
)
_MODULES = ("filters", "prompts", "scores", "testing")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"decompose_distill.{name}")
    if name == "__version__":
        from importlib.metadata import version  # a third of this package's import time

        return version("decompose-distill")
    return _get(name)


def __dir__() -> list[str]:
    return __all__
