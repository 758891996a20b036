"""Questions in, figures with intervals out.

- `harness`: `evaluate`, a pipeline over questions with gold answers
- `results`: what came of it: a report with its interval, and a paired comparison
- `statistics`: intervals and tests, each with its source
- `contamination`: questions of the training that stand among the held-out ones
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.evaluation.harness import evaluate as evaluate
    from decompose_distill.evaluation.results import Comparison as Comparison
    from decompose_distill.evaluation.results import Report as Report
    from decompose_distill.evaluation.results import Result as Result
    from decompose_distill.evaluation.statistics import difference_interval as difference_interval
    from decompose_distill.evaluation.statistics import holm as holm
    from decompose_distill.evaluation.statistics import mcnemar as mcnemar
    from decompose_distill.evaluation.statistics import mean_interval as mean_interval
    from decompose_distill.evaluation.statistics import sign_flip as sign_flip
    from decompose_distill.evaluation.statistics import smallest_difference as smallest_difference
    from decompose_distill.evaluation.statistics import spread as spread
    from decompose_distill.evaluation.statistics import wilson as wilson

__getattr__, __dir__ = lazy(
    __name__,
    {
        "harness": ("evaluate",),
        "results": ("Comparison", "Report", "Result"),
        "statistics": (
            "difference_interval",
            "holm",
            "mcnemar",
            "mean_interval",
            "sign_flip",
            "smallest_difference",
            "spread",
            "wilson",
        ),
    },
)
