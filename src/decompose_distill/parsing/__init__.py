"""Reading what models write: subquestions and final answers, and writing them back.

In the order of the reading:

- `thinking`: thoughts split off what was said
- `lines`, `numerals`, `markers`, `remarks`: lines, what numbers them, and what is said around
  them
- `inline`, `lists`, `structured`: subquestions within a line, in a list, in JSON and the like
- `decompositions`: all of it, from a text to subquestions
- `answer_marks`, `answers`: from a text to a final answer
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.parsing.answers import format_answer as format_answer
    from decompose_distill.parsing.answers import parse_answer as parse_answer
    from decompose_distill.parsing.answers import replace_answer as replace_answer
    from decompose_distill.parsing.decompositions import LEAST_REPEATS as LEAST_REPEATS
    from decompose_distill.parsing.decompositions import NO_DECOMPOSITION as NO_DECOMPOSITION
    from decompose_distill.parsing.decompositions import ParsedDecomposition as ParsedDecomposition
    from decompose_distill.parsing.decompositions import format_subquestions as format_subquestions
    from decompose_distill.parsing.decompositions import parse_circle as parse_circle
    from decompose_distill.parsing.decompositions import parse_subquestions as parse_subquestions
    from decompose_distill.parsing.decompositions import read_decomposition as read_decomposition
    from decompose_distill.parsing.thinking import SplitText as SplitText
    from decompose_distill.parsing.thinking import split_thinking as split_thinking

__getattr__, __dir__ = lazy(
    __name__,
    {
        "answers": ("format_answer", "parse_answer", "replace_answer"),
        "decompositions": (
            *("LEAST_REPEATS", "NO_DECOMPOSITION", "ParsedDecomposition", "format_subquestions"),
            *("parse_circle", "parse_subquestions", "read_decomposition"),
        ),
        "thinking": ("SplitText", "split_thinking"),
    },
)
