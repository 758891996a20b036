"""The values that flow through the library, in the order the data flows.

Question → Decomposition → Solution → Trace, with Request → Completion below them.
All are frozen. A failed item is a value (`Failure`), never an exception.
"""

from typing import TYPE_CHECKING

from decompose_distill.faces import lazy

if TYPE_CHECKING:
    from decompose_distill.types.chat import Completion as Completion
    from decompose_distill.types.chat import Finish as Finish
    from decompose_distill.types.chat import Message as Message
    from decompose_distill.types.chat import Request as Request
    from decompose_distill.types.chat import Sampling as Sampling
    from decompose_distill.types.chat import Usage as Usage
    from decompose_distill.types.display import data_frame as data_frame
    from decompose_distill.types.display import html_table as html_table
    from decompose_distill.types.display import shortened as shortened
    from decompose_distill.types.kinds import check_kinds_of as check_kinds_of
    from decompose_distill.types.reasoning import Decomposition as Decomposition
    from decompose_distill.types.reasoning import Failure as Failure
    from decompose_distill.types.reasoning import Question as Question
    from decompose_distill.types.reasoning import Role as Role
    from decompose_distill.types.reasoning import Solution as Solution
    from decompose_distill.types.reasoning import Stage as Stage
    from decompose_distill.types.reasoning import Subquestion as Subquestion
    from decompose_distill.types.reasoning import Trace as Trace
    from decompose_distill.types.reasoning import as_question as as_question

__getattr__, __dir__ = lazy(
    __name__,
    {
        "chat": ("Completion", "Finish", "Message", "Request", "Sampling", "Usage"),
        "display": ("data_frame", "html_table", "shortened"),
        "kinds": ("check_kinds_of",),
        "reasoning": (
            *("Decomposition", "Failure", "Question", "Role", "Solution", "Stage"),
            *("Subquestion", "Trace", "as_question"),
        ),
    },
)
