"""Traces to batches of token ids.

- `examples`: chats and completions; `tokenization`: their ids
- `preparation`: both, with filter and audit, into `token_dataset`, a file of ids
- `audit`: what would train the wrong thing, told before the first step
- `batching`: which rows a step takes, and how they lie
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.training.data.batching import Share as Share
    from decompose_distill.training.data.batching import lay_end_to_end as lay_end_to_end
    from decompose_distill.training.data.batching import plan_batches as plan_batches
    from decompose_distill.training.data.examples import Example as Example
    from decompose_distill.training.data.examples import TokenizedExample as TokenizedExample
    from decompose_distill.training.data.examples import make_examples as make_examples
    from decompose_distill.training.data.examples import tokenize as tokenize
    from decompose_distill.training.data.preparation import make_task as make_task
    from decompose_distill.training.data.preparation import prepare as prepare
    from decompose_distill.training.data.token_dataset import write_rows as write_rows

__getattr__, __dir__ = lazy(
    __name__,
    {
        "batching": ("Share", "lay_end_to_end", "plan_batches"),
        "examples": ("Example", "TokenizedExample", "make_examples", "tokenize"),
        "preparation": ("make_task", "prepare"),
        "token_dataset": ("write_rows",),
    },
)
