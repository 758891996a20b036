"""Questions from files and from the hub.

In the order of the data, from a path to questions:

- `readers`: rows of JSON, JSON lines and CSV files, also wrapped in other objects;
- `question_formats`: the layout of a row, known by its fields, and what all layouts share;
- `passage_layouts`, `task_layouts`: how the published data sets write a question;
- `choices`: options of multiple choice and the key to them;
- `gold_answers`: answers behind `####`, in a box, as numbers, as yes and no;
- `questions`: `load_questions`, from the rows to `Question` values.
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.data.gold_answers import after_marker as after_marker
    from decompose_distill.data.gold_answers import marked_answer as marked_answer
    from decompose_distill.data.questions import HUB as HUB
    from decompose_distill.data.questions import load_questions as load_questions
    from decompose_distill.data.questions import same_question as same_question
    from decompose_distill.data.questions import unique_questions as unique_questions
    from decompose_distill.data.readers import read_rows as read_rows
    from decompose_distill.data.readers import unwrapped as unwrapped

__getattr__, __dir__ = lazy(
    __name__,
    {
        "gold_answers": ("after_marker", "marked_answer"),
        "questions": ("HUB", "load_questions", "same_question", "unique_questions"),
        "readers": ("read_rows", "unwrapped"),
    },
)
