"""Splitting a stream of traces by a filter, with counts that add up."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from decompose_distill.errors import ConfigError
from decompose_distill.filters.outcomes import Filter, FilterName, as_filter
from decompose_distill.storage.traces import TraceSource, as_traces
from decompose_distill.types import Trace


@dataclass(frozen=True, slots=True, repr=False)
class Screened:
    """Traces kept, and how many were dropped for which reason."""

    kept: tuple[Trace, ...]
    dropped: Counter[str]

    def __str__(self) -> str:
        return counts(len(self.kept), self.dropped)

    def __repr__(self) -> str:
        return f"<Screened {self}>"


def counts(kept: int, dropped: Counter[str]) -> str:
    """Say how many traces were kept, and why the others were not.

    Example:
        >>> counts(3, Counter({"wrong answer": 1}))
        'kept 3 of 4 traces, dropped 1 wrong answer'
    """
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
    told = f", dropped {reasons}" if reasons else ""
    return f"kept {kept} of {kept + dropped.total()} traces{told}"


def screen(traces: TraceSource, keep: Filter | FilterName) -> Screened:
    """Split traces, or those of a file, by a filter; kept and dropped add up to the input.

    Raises:
        ConfigError: The filter is none, or returned something else than a reason or `None`.

    Example:
        >>> from decompose_distill.filters import correct
        >>> str(screen([], correct))
        'kept 0 of 0 traces'
    """
    dropped: Counter[str] = Counter()
    kept = sift(as_traces(traces), as_filter(keep), dropped)
    return Screened(tuple(kept), dropped)


def sift(traces: Iterable[Trace], keep: Filter, dropped: Counter[str]) -> Iterator[Trace]:
    """Yield the traces that a filter keeps, and count the reasons of the others as it goes.

    Raises:
        ConfigError: The filter returned something else than a reason or `None`.

    Example:
        >>> from decompose_distill.filters import correct
        >>> list(sift([], correct, Counter()))
        []
    """
    for trace in traces:
        reason = keep(trace)
        if reason is None:
            yield trace
        elif isinstance(reason, str):
            dropped[reason] += 1
        else:
            raise ConfigError(
                "a filter returns the reason to drop a trace as a string, or None to keep it, "
                f"not {reason!r}"
            )
