"""Questions from files and dataset hubs.

- `questions`: `load_questions`, by path or by name
- `readers`: rows of JSON, JSON lines, CSV
- `question_formats`: rows of public datasets as questions
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.data.questions import load_questions as load_questions

__getattr__, __dir__ = lazy(
    __name__,
    {
        "questions": ("load_questions",),
    },
)
