"""Pairs of a better and a worse completion, for preference training such as DPO."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from decompose_distill import scores
from decompose_distill.errors import ConfigError, DataError
from decompose_distill.filters.solve_rates import points_of
from decompose_distill.interop.exporting import write_lines
from decompose_distill.interop.training_formats import Row, turns
from decompose_distill.parsing import format_subquestions
from decompose_distill.prompts import Prompt
from decompose_distill.storage.traces import TraceSource, as_traces
from decompose_distill.training.data.examples import DEFAULT_PROMPTS, Role, resolve_target
from decompose_distill.types import Message, Trace


@dataclass(frozen=True, slots=True)
class Preference:
    """Two completions of one prompt, of which one led to the gold answer more often.

    Example:
        >>> pair = Preference((Message("user", "Why?"),), "1. Who?", "1. When?")
        >>> pair.to_json()["rejected"]
        [{'role': 'assistant', 'content': '1. When?'}]
    """

    prompt: tuple[Message, ...]
    chosen: str
    rejected: str

    def to_json(self) -> Row:
        """TRL's conversational preference form: `prompt`, `chosen`, `rejected`.

        Source: https://huggingface.co/docs/trl/dataset_formats#preference.
        """
        chosen, rejected = (Message("assistant", text) for text in (self.chosen, self.rejected))
        return {"prompt": turns(self.prompt), "chosen": turns([chosen])} | {
            "rejected": turns([rejected])
        }


@dataclass(frozen=True, slots=True, repr=False)
class Paired:
    """Pairs, and how many prompts gave none for which reason.

    Example:
        >>> print(Paired((), 0, Counter({"one completion": 3})))
        0 pairs of 0 prompts; none of 3: 3 one completion
    """

    pairs: tuple[Preference, ...]
    prompts: int
    """Prompts that gave at least one pair; with `unpaired` they add up to all."""
    unpaired: Counter[str]

    def __str__(self) -> str:
        reasons = ", ".join(f"{count} {why}" for why, count in self.unpaired.most_common())
        told = f"; none of {self.unpaired.total()}: {reasons}" if reasons else ""
        return f"{len(self.pairs)} pairs of {self.prompts} prompts{told}"

    def __repr__(self) -> str:
        return f"<Paired {self}>"

    def write(self, path: str | Path) -> None:
        """Write the pairs as JSON lines; the file appears whole or not at all.

        Raises:
            ConfigError: The file exists with other content.
            DataError: There is no pair, or it cannot be written.
        """
        if not self.pairs:
            raise DataError(f"nothing to write: {self}")
        write_lines((pair.to_json() for pair in self.pairs), Path(path))


@dataclass(slots=True)
class _Group:
    """What was written for one prompt, and how often it led to the gold answer."""

    trace: Trace
    right: Counter[str] = field(default_factory=Counter)
    solves: Counter[str] = field(default_factory=Counter)


def preference_pairs(
    traces: TraceSource,
    *,
    role: Role = "decomposer",
    prompt: Prompt | None = None,
    most: int = 1,
    margin: float = 0.5,
    score: scores.Score | scores.ScoreName = scores.exact,
) -> Paired:
    """Set what led to the gold answer against what did not, from traces of the same question.

    A decomposer's completions are the decompositions of a question, each with its success rate
    over all its solves; a solver's are the solutions to one decomposition. The best is paired
    with the worst, the second best with the second worst, and so on; of equal rates the shorter
    is better. Holds the completions of all traces in memory, each different one once.

    Args:
        traces: Such as `read_traces(path)`; read once. A cut off solve was not right; one
            that the backend never answered, or without gold answer, does not count.
        role: What the pairs teach.
        prompt: The prompt before each completion; by default that of `distill`.
        most: Pairs of one prompt.
        margin: Least difference of the two success rates, above 0 and at most 1.
        score: How answers are scored; right is 1.

    Raises:
        ConfigError: An argument is out of range.

    Example:
        >>> from decompose_distill import Decomposition, Question, Solution, Subquestion
        >>> question = Question("How old are Ada and Bob together?", answer="42")
        >>> def trace(answer, step):
        ...     split = Decomposition(question, (Subquestion(step),))
        ...     return Trace(question, Solution(split, answer))
        >>> traces = [trace("42", "How old is each?"), trace("7", "Who is Ada?")]
        >>> [pair] = preference_pairs(traces).pairs
        >>> pair.chosen, pair.rejected
        ('1. How old is each?', '1. Who is Ada?')
    """
    if most < 1:
        raise ConfigError(f"most must be 1 or more, not {most}")
    if not 0 < margin <= 1:
        raise ConfigError(f"margin must be above 0 and at most 1, not {margin}")
    prompt = prompt or DEFAULT_PROMPTS[resolve_target(role, None)]
    pairs: list[Preference] = []
    paired, unpaired = 0, Counter[str]()
    for group in _grouped(as_traces(traces), role, scores.as_score(score)).values():
        best = list(_pair(group, margin))[:most]
        paired += bool(best)
        if not best:
            unpaired[_why_not(group, margin)] += 1
        split = group.trace.decomposition
        steps = split.subquestions if split and role == "solver" else ()
        messages = prompt.render(group.trace.question, steps) if best else ()
        pairs += (Preference(messages, chosen, rejected) for chosen, rejected in best)
    return Paired(tuple(pairs), paired, unpaired)


def _grouped(traces: Iterable[Trace], role: Role, score: scores.Score) -> dict[object, _Group]:
    groups: dict[object, _Group] = {}
    for trace in traces:
        split = trace.decomposition
        steps = split and split.subquestions
        key = (trace.question.id, steps if role == "solver" else None)
        group = groups.setdefault(key, _Group(trace))
        points = points_of(trace, score)
        if points is None or split is None or (role == "solver" and trace.failure):
            continue
        text = trace.outcome.text if role == "solver" else format_subquestions(split.subquestions)
        group.solves[text] += 1
        group.right[text] += points == 1
    return groups


def _pair(group: _Group, margin: float) -> Iterator[tuple[str, str]]:
    """Best with worst, going inwards."""
    ranked = sorted(group.solves, key=lambda text: (-_rate(group, text), len(text), text))
    for chosen, rejected in zip(ranked, reversed(ranked), strict=True):
        if _rate(group, chosen) - _rate(group, rejected) < margin - 1e-9:
            return
        yield chosen, rejected


def _why_not(group: _Group, margin: float) -> str:
    rates = {_rate(group, text) for text in group.solves}
    if not rates:
        return "nothing scored"
    if len(group.solves) == 1:
        return "one completion"
    if rates == {0.0} or rates == {1.0}:
        return "all wrong" if rates == {0.0} else "all right"
    return f"difference below {margin:g}"


def _rate(group: _Group, text: str) -> float:
    return group.right[text] / group.solves[text]
