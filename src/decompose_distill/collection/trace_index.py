"""Index of a trace file: which slots (question, sample, solve) are filled, or out of order."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from decompose_distill.data.questions import same_question
from decompose_distill.errors import ConfigError
from decompose_distill.types import Decomposition, Question, Trace

_ABSENT = -1
_DECOMPOSED, _UNDECOMPOSED = 1, 2


class TraceIndex:
    """A slot for each question, sample and solve, in the order of the finished file.

    A slot holds where its trace begins in the file and no more, so that millions fit. The slots
    of one question and sample are a row, because they share a decomposition; if that failed for
    good, the one trace that says so settles the row.

    Args:
        questions: Each once.
        samples: Decompositions per question.
        solves: Solutions per decomposition.
        key: Of the pipeline; the traces of others have no slot, nor have those of a question
            whose text or context was changed under its id.

    Raises:
        ConfigError: `samples` or `solves` is below 1.
    """

    def __init__(self, questions: Sequence[Question], samples: int, solves: int, key: str) -> None:
        for name, count in (("samples", samples), ("solves", solves)):
            if count < 1:
                raise ConfigError(f"{name} must be 1 or more, not {count}")
        self.key = key
        self._questions, self._samples, self._solves = questions, samples, solves
        self._positions = {question.id: position for position, question in enumerate(questions)}
        self._rows = bytearray(len(questions) * samples)
        self._begins = array("q", [_ABSENT]) * (len(self._rows) * solves)
        self._errors: set[int] = set()
        self.superseded: set[int] = set()
        """Offsets of the errors that were asked for again."""

    def note(self, trace: Trace, begins: int) -> None:
        """Take in a trace of the file; only an error gives up its slot to a later trace."""
        slot = self._slot(trace)
        if slot is None:
            return
        error = trace.failure is not None and trace.failure.is_unavailable
        if self._begins[slot] != _ABSENT and slot not in self._errors:
            self.superseded.update([begins] if error else [])
            return
        if self._begins[slot] != _ABSENT:
            self.superseded.add(self._begins[slot])
        self._begins[slot] = begins
        self._errors.add(slot) if error else self._errors.discard(slot)
        if trace.decomposition is not None:
            self._rows[slot // self._solves] = _DECOMPOSED
        elif not error:  # then it is decomposing that failed
            self._rows[slot // self._solves] = _UNDECOMPOSED

    def has_slot(self, trace: Trace) -> bool:
        """Whether a trace is of this pipeline, and answers one of these questions as it stands."""
        return self._slot(trace) is not None

    def lacks(self, trace: Trace) -> bool:
        """Whether a trace fills a slot that is empty, or holds an error where this is none."""
        slot = self._slot(trace)
        if slot is None or self._begins[slot] == _ABSENT:
            return slot is not None
        return slot in self._errors and not (trace.failure and trace.failure.is_unavailable)

    def _slot(self, trace: Trace) -> int | None:
        position = self._positions.get(trace.question.id)
        inside = trace.sample in range(self._samples) and trace.solve in range(self._solves)
        if position is None or not inside or trace.key != self.key:
            return None
        if not same_question(trace.question, self._questions[position]):
            return None  # its text was changed under its id, and this answers the old one
        return (position * self._samples + trace.sample) * self._solves + trace.solve

    def __len__(self) -> int:
        return len(self._begins)

    @property
    def answered(self) -> int:
        """How many traces are in the file that are no errors to ask for again."""
        return len(self.order) - len(self._errors)

    @property
    def settled(self) -> int:
        """How many slots need not be asked for."""
        return sum(self._is_settled(slot) for slot in range(len(self)))

    def _is_settled(self, slot: int) -> bool:
        answered = self._begins[slot] != _ABSENT and slot not in self._errors
        return answered or self._rows[slot // self._solves] == _UNDECOMPOSED

    def wanted(self, decomposition: Decomposition) -> Sequence[int]:
        """The solves of a decomposition that are to be asked for."""
        position = self._positions[decomposition.question.id]
        return self._missing(position * self._samples + decomposition.sample)

    def _missing(self, row: int) -> list[int]:
        first = row * self._solves
        return [solve for solve in range(self._solves) if not self._is_settled(first + solve)]

    def undecomposed(self) -> Iterator[tuple[Question, int]]:
        """Questions to decompose and their samples: all first samples, all second ones, …"""
        for sample in range(self._samples):
            for position, question in enumerate(self._questions):
                row = position * self._samples + sample
                if self._rows[row] != _DECOMPOSED and self._missing(row):
                    yield question, sample

    def decomposed(self, read: Callable[[int], Trace]) -> Iterator[Decomposition]:
        """Decompositions in the file of which further solves are wanted."""
        for row, state in enumerate(self._rows):
            if state == _DECOMPOSED and self._missing(row):
                first = row * self._solves
                slots = self._begins[first : first + self._solves]
                decompositions = (
                    read(begins).decomposition for begins in slots if begins != _ABSENT
                )
                question = self._questions[row // self._samples]
                yield next(
                    replace(split, question=question)
                    for split in decompositions
                    if split is not None
                )

    @property
    def order(self) -> Sequence[int]:
        """Offsets of the traces, in the order they are to have."""
        return [begins for begins in self._begins if begins != _ABSENT]

    @property
    def is_in_order(self) -> bool:
        """Whether the file is as it is to be."""
        order = self.order
        return not self.superseded and all(map(int.__lt__, order, order[1:]))
