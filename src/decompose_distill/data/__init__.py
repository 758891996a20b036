"""Questions from files and from the hub.

In the order of the data, from a path to questions:

- `readers`: rows of JSON, JSON lines and CSV files, also wrapped in other objects;
- `question_formats`: the layout of a row, known by its fields, and what all layouts share;
- `passage_layouts`, `task_layouts`: how the published data sets write a question;
- `choices`: options of multiple choice and the key to them;
- `gold_answers`: answers behind `####`, in a box, as numbers, as yes and no;
- `questions`: `load_questions`, from the rows to `Question` values.
"""

from decompose_distill.data.gold_answers import after_marker, marked_answer
from decompose_distill.data.questions import HUB, load_questions, unique_questions
from decompose_distill.data.readers import read_rows, unwrapped

__all__ = [
    "HUB",
    "after_marker",
    "load_questions",
    "marked_answer",
    "read_rows",
    "unique_questions",
    "unwrapped",
]
