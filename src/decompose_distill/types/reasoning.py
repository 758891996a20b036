"""Question → Decomposition → Solution → Trace; a failed item is a value, never an exception."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from decompose_distill.errors import DataError, wrong_kind
from decompose_distill.types.chat import Usage
from decompose_distill.types.display import html_table, shortened
from decompose_distill.types.kinds import check_kinds_of

Stage = Literal["decompose", "solve"]
Role = Literal["decomposer", "solver"]


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """One question to answer, with its gold answer if it is known.

    Raises:
        ConfigError: A field is of another type; the message names it.
        DataError: The text is empty.

    Example:
        >>> Question("What is 48 + 24?", answer="72").golds
        ('72',)
    """

    text: str
    """The question itself."""
    answer: str | None = None
    """Gold answer; `None` if it is not known."""
    context: str | None = None
    """Passage the question is about, as in DROP; rendered before the question."""
    aliases: tuple[str, ...] = ()
    """Other answers that count as right."""
    id: str = ""
    """Stable name; by default a hash of text and context."""

    KEY_FIELDS: ClassVar[tuple[str, ...]] = ("text", "answer", "context", "aliases", "id")

    def __post_init__(self) -> None:
        for name in ("text", "answer", "context"):
            text = getattr(self, name)
            if type(text) is not str and (text is not None or name == "text"):
                check_kinds_of(self)
        if type(self.aliases) is not tuple:  # one may stand alone, and files have lists
            several = (self.aliases,) if isinstance(self.aliases, str) else tuple(self.aliases)
            object.__setattr__(self, "aliases", several)
        if not self.text.strip():
            raise DataError("question text is empty: give the question in 'text'")
        if not self.id:
            words = f"{self.context or ''}\x1f{self.text}".encode("utf-8", "surrogatepass")
            object.__setattr__(self, "id", hashlib.sha256(words).hexdigest()[:16])

    @property
    def golds(self) -> tuple[str, ...]:
        """Every accepted answer; empty if none is known."""
        return () if self.answer is None else (self.answer, *self.aliases)

    def __repr__(self) -> str:
        return f"<Question {self.id!r}: {shortened(self.text)!r}>"

    @property
    def _shown(self) -> Iterator[tuple[str, str]]:
        """Its rows in a notebook."""
        yield ("", self.text)
        if self.context:
            yield ("context", self.context)


def as_question(question: object) -> Question:
    """A question, also one that is given as its text.

    Raises:
        ConfigError: It is of another type.

    Example:
        >>> as_question("Who is older?").text
        'Who is older?'
    """
    if isinstance(question, str):
        return Question(question)
    if not isinstance(question, Question):
        advice = "Question values or texts, as load_questions reads them from a file"
        raise wrong_kind("questions", question, advice)
    return question


@dataclass(frozen=True, slots=True)
class Subquestion:
    """One step of a decomposition; `#1` in it stands for the answer to the first step.

    Example:
        >>> Subquestion("How old is #1?").references
        (1,)
    """

    text: str

    @property
    def references(self) -> tuple[int, ...]:
        """Numbers (from 1) of the earlier subquestions this one builds on."""
        return tuple(int(number) for number in re.findall(r"#(\d{1,6})\b", self.text))


@dataclass(frozen=True, slots=True, repr=False)
class Decomposition:
    """A question with its subquestions; none means the model declined to decompose.

    Example:
        >>> question = Question("Who is older, Ada or Bob?")
        >>> Decomposition(question, (Subquestion("How old is Ada?"),)).declined
        False
    """

    question: Question
    subquestions: tuple[Subquestion, ...]
    text: str = ""
    """The model's own words."""
    sample: int = 0
    """Which of the k samples of this question this is, from 0."""
    usage: Usage = Usage()
    reasoning: str = field(default="", kw_only=True)
    """What the model thought before it wrote `text`."""
    leftover: str = field(default="", kw_only=True)
    """Part of `text` that is neither a subquestion nor an opening or closing remark."""

    @property
    def declined(self) -> bool:
        """Whether the model said "No decomposition"."""
        return not self.subquestions

    def __repr__(self) -> str:
        steps = "declined" if self.declined else f"{len(self.subquestions)} subquestions"
        return f"<Decomposition of {shortened(self.question.text)!r}: {steps}>"

    def _repr_html_(self) -> str:
        return html_table((*self.question._shown, *self._shown))

    @property
    def _shown(self) -> Iterator[tuple[str, str]]:
        """Its rows in a notebook, below those of the question."""
        if self.declined:
            yield ("", "not decomposed")
        for number, subquestion in enumerate(self.subquestions, start=1):
            yield (f"#{number}", subquestion.text)


@dataclass(frozen=True, slots=True, repr=False)
class Solution:
    """The final answer to a decomposed question.

    Example:
        >>> question = Question("What is 6 times 7?")
        >>> Solution(Decomposition(question, ()), answer="42").answer
        '42'
    """

    decomposition: Decomposition
    answer: str
    """The final answer, extracted from `text`."""
    text: str = ""
    """The solver's own words."""
    usage: Usage = Usage()
    reasoning: str = field(default="", kw_only=True)
    """What the solver thought before it wrote `text`."""

    def __repr__(self) -> str:
        question = self.decomposition.question.text
        return f"<Solution {shortened(self.answer)!r} of {shortened(question)!r}>"


@dataclass(frozen=True, slots=True, repr=False)
class Failure:
    """An item that could not be finished: which stage, why, and the model's words.

    Example:
        >>> question = Question("Why?")
        >>> Failure(question, "decompose", "length", "stopped at 512 tokens").reason
        'length'
    """

    question: Question
    stage: Stage
    reason: str
    """Short and stable, for counting: `length`, `error`, `no subquestions`, …"""
    message: str = ""
    """What happened, for a person."""
    text: str = ""
    """The model's own words, if there are any."""
    decomposition: Decomposition | None = None
    """What was decomposed before solving failed."""
    sample: int = 0
    usage: Usage = Usage()

    @property
    def is_unavailable(self) -> bool:
        """Whether the backend failed; the same question may be answered another time."""
        return self.reason == "error"

    @property
    def is_cut(self) -> bool:
        """Whether the model ran into `max_new_tokens`."""
        return self.reason == "length"

    def __repr__(self) -> str:
        return f"<Failure {self.stage}: {self.reason}, of {shortened(self.question.text)!r}>"


@dataclass(frozen=True, slots=True, repr=False)
class Trace:
    """One pass of one question through a pipeline: a solution or a failure.

    Example:
        >>> question = Question("What is 6 times 7?", answer="42")
        >>> solution = Solution(Decomposition(question, ()), "42")
        >>> Trace(question, solution).answer
        '42'
    """

    question: Question
    outcome: Solution | Failure
    sample: int = 0
    solve: int = 0
    """Which of the m solves of this decomposition this is, from 0."""
    key: str = ""
    """Identity of the pipeline that made it; empty outside `collect`."""

    @property
    def decomposition(self) -> Decomposition | None:
        """The decomposition, also where only solving failed."""
        return self.outcome.decomposition

    @property
    def failure(self) -> Failure | None:
        """The failure, or `None` if the question was answered."""
        return self.outcome if isinstance(self.outcome, Failure) else None

    @property
    def solution(self) -> Solution | None:
        """The solution, or `None` if a stage failed."""
        return self.outcome if isinstance(self.outcome, Solution) else None

    @property
    def answer(self) -> str | None:
        """The final answer, or `None` if a stage failed."""
        return self.outcome.answer if isinstance(self.outcome, Solution) else None

    @property
    def usage(self) -> Usage:
        """Tokens of both stages."""
        if isinstance(self.outcome, Failure) and self.outcome.stage == "decompose":
            return self.outcome.usage
        before = self.decomposition.usage if self.decomposition else Usage()
        return before + self.outcome.usage

    def __repr__(self) -> str:
        failure, answer = self.failure, shortened(self.answer or "")
        outcome = f"failed, {failure.stage}: {failure.reason}" if failure else f"{answer!r}"
        return f"<Trace of {shortened(self.question.text)!r}: {outcome}>"

    def _repr_html_(self) -> str:
        failure, steps = self.failure, self.decomposition._shown if self.decomposition else ()
        outcome = ("answer", self.answer or "")
        if failure:
            outcome = ("failed", f"{failure.stage}: {failure.reason} {failure.message}")
        golds = (("gold", gold) for gold in self.question.golds)
        return html_table((*self.question._shown, *steps, outcome, *golds))
