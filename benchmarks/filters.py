"""Precision and recall of each filter against faults planted in the demo's world.

    python benchmarks/filters.py --json figures.json

The demo's scripted teacher splits every question four times. Its own faults are what it wrote
other than the gold plan; leaks, copies, runaway lists and rambling are planted on top, each in
one trace of twenty. Solvers are the demo's database with luck and slips of a model: right 9
times of 10 where the database is, else, and without a decomposition, as often as it knows the
question by heart (9 times of 10 for one question of ten, 1 time of 10 for the others). A
filter's finds are what it drops. Medians over the seeds.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import decompose_distill as dd
from decompose_distill import filters
from decompose_distill.demo import DatabaseSolver, World, build_world, numbered, scripted_teacher
from decompose_distill.parsing import parse_subquestions

SAMPLES, RATE = 4, 0.05
SKILL, KNOWN, UNKNOWN, EASY = 0.9, 0.9, 0.1, 0.1
MINIMUM = 0.3
_ADDED = re.compile(r", is it |\? I wonder", re.IGNORECASE)
PLANTED = ("leak", "copy", "runaway", "rambling")


@dataclass(frozen=True)
class Planted:
    """A trace as collected, and what is wrong with it."""

    trace: dd.Trace
    faults: frozenset[str]


def collect(world: World) -> list[Planted]:
    """Four decompositions of each question, solved once, with what is planted in them."""
    rng = Random(f"{world.seed} planted")
    traces: list[Planted] = []
    seen: set[tuple[str, tuple[dd.Subquestion, ...]]] = set()
    for sample in range(SAMPLES):
        write = scripted_teacher(replace(world, seed=1000 * world.seed + sample))
        for question in world.train:
            plan = numbered(world.compositions[question.text].plan())
            said = write(question.text)
            faults = {"fault"} if said != plan else set[str]()
            try:
                steps = parse_subquestions(said)
            except dd.ParseError:
                failure = dd.Failure(question, "decompose", "no subquestions found", text=said)
                traces.append(Planted(dd.Trace(question, failure, sample), frozenset({"prose"})))
                continue
            split = dd.Decomposition(question, steps, said, sample)
            for name in PLANTED:
                if rng.random() < RATE and name != "copy":
                    split = replace(split, subquestions=_spoil(split, name))
                    faults.add(name)
            if (question.id, split.subquestions) in seen:
                faults.add("repeat")
            seen.add((question.id, split.subquestions))
            trace = dd.Trace(question, dd.Solution(split, ""), sample)
            traces.append(Planted(trace, frozenset(faults)))
            if rng.random() < RATE:
                copied = replace(split, subquestions=_reword(split.subquestions))
                trace = dd.Trace(question, dd.Solution(copied, ""), sample)
                traces.append(Planted(trace, frozenset(faults | {"copy"})))
    return traces


def _spoil(split: dd.Decomposition, fault: str) -> tuple[dd.Subquestion, ...]:
    *steps, last = split.subquestions
    if fault == "leak":
        return (*steps, dd.Subquestion(f"{last.text.rstrip('?')}, is it {split.question.answer}?"))
    if fault == "runaway":
        return (*steps, last) * 3
    return (*steps, dd.Subquestion(f"{last.text} {'I wonder about that. ' * 20}".strip()))


def _reword(steps: Iterable[dd.Subquestion]) -> tuple[dd.Subquestion, ...]:
    """The same with other capitals, and without the question mark."""
    return tuple(dd.Subquestion(step.text.lower().rstrip("?")) for step in steps)


class Solves:
    """Solvers with luck, by name and number of the solve; the same call gives the same answer."""

    def __init__(self, world: World, traces: Iterable[Planted]) -> None:
        self._database = DatabaseSolver(world)
        self._sound = {id(each): self._is_right(each.trace) for each in traces}

    def _is_right(self, trace: dd.Trace) -> bool:
        """Whether the database gets it right, with what is planted on top of it left aside."""
        if trace.decomposition is None:
            return False
        plain = (_ADDED.split(step.text)[0] for step in trace.decomposition.subquestions)
        steps = (f"{text.rstrip('?')}?" for text in plain)
        split = replace(trace.decomposition, subquestions=tuple(map(dd.Subquestion, steps)))
        [outcome] = self._database.solve([split])
        return filters.correct(replace(trace, outcome=outcome)) is None

    def draw(self, each: Planted, solver: str, solve: int) -> dd.Trace:
        """One solve of a decomposition."""
        chance = SKILL if self._sound[id(each)] else by_heart(each.trace.question)
        return _answered(each.trace, chance, f"{solver} {solve}")

    def alone(self, question: dd.Question, solver: str, solve: int) -> dd.Trace:
        """One solve without any."""
        trace = dd.Trace(question, dd.Solution(dd.Decomposition(question, ()), ""))
        return _answered(trace, by_heart(question), f"alone {solver} {solve}")


def by_heart(question: dd.Question) -> float:
    return KNOWN if Random(f"easy {question.id}").random() < EASY else UNKNOWN


def _answered(trace: dd.Trace, chance: float, name: str) -> dd.Trace:
    if trace.decomposition is None:
        return trace
    steps = [step.text for step in trace.decomposition.subquestions]
    lucky = Random(f"{name} {trace.question.id} {trace.sample} {steps}").random() < chance
    answer = (trace.question.answer or "") if lucky else "unknown"
    return replace(trace, outcome=dd.Solution(trace.decomposition, answer, answer))


def judge(
    traces: list[Planted], keep: filters.Filter, faulty: Callable[[Planted], bool]
) -> dict[str, float]:
    """Precision and recall of what a filter drops, and the share of faulty among the kept."""
    marks = [(keep(each.trace) is not None, faulty(each)) for each in traces]
    dropped = sum(drop for drop, _ in marks)
    planted = sum(wrong for _, wrong in marks)
    found = sum(drop and wrong for drop, wrong in marks)
    return {
        "planted": planted,
        "dropped": dropped,
        "precision": found / dropped if dropped else 1.0,
        "recall": found / planted if planted else 1.0,
        "faulty_among_kept": (planted - found) / max(1, len(marks) - dropped),
    }


def _has(*names: str) -> Callable[[Planted], bool]:
    return lambda each: not each.faults.isdisjoint(names)


def _useless(each: Planted) -> bool:
    """Faulty, or of a question that the solver answers anyway."""
    return _has("fault", "prose")(each) or by_heart(each.trace.question) == KNOWN


def measure(seed: int, train: int) -> Iterator[tuple[str, dict[str, float]]]:
    world = build_world(seed, train=train, unseen=1, recombined=1, deeper=1)
    collected = collect(world)
    solves = Solves(world, collected)
    traces = [replace(each, trace=solves.draw(each, "first", 0)) for each in collected]
    decomposed = [each for each in traces if each.trace.decomposition]
    broken = _has("fault", "prose")
    yield "complete", judge(traces, filters.complete, _has("prose"))
    yield "no_leak", judge(decomposed, filters.no_leak, _has("leak"))
    yield "near_distinct", judge(decomposed, filters.near_distinct(), _has("copy", "repeat"))
    yield (
        "subquestion_count(1, 5)",
        judge(decomposed, filters.subquestion_count(1, 5), _has("runaway")),
    )
    yield "length_cap(500)", judge(decomposed, filters.length_cap(500), _has("rambling"))
    yield "correct, 1 solve", judge(traces, filters.correct, broken)
    for solvers, count in ((("first",), 1), (("first",), 4), (("first",), 8), (("first", "b"), 4)):
        measured = measure_solves(collected, solves, world, solvers, count)
        keep = filters.uplift(measured, minimum=MINIMUM, solves=count)
        name = f"uplift, {len(solvers)} × {count} solves"
        yield name, judge(traces, keep, broken)
        yield f"{name}, or easy", judge(traces, keep, _useless)
    both = filters.all_of(filters.correct, keep)
    chosen = (each.trace for each in traces if both(each.trace) is None)
    best = filters.best_per_question(chosen, measured=measured)
    yield "correct and uplift", judge(traces, both, broken)
    yield "best of those of a question", judge(traces, best, broken)
    yield "preference_pairs, 8 solves", judge_pairs(collected, solves)


def measure_solves(
    collected: list[Planted], solves: Solves, world: World, solvers: tuple[str, ...], count: int
) -> filters.Measured:
    """Uplift over `count` solves of each solver."""
    pairs = [
        (
            (solves.draw(each, name, solve) for each in collected for solve in range(count)),
            (solves.alone(asked, name, solve) for asked in world.train for solve in range(count)),
        )
        for name in solvers
    ]
    return filters.measure_uplift(*pairs)


def judge_pairs(collected: list[Planted], solves: Solves) -> dict[str, float]:
    """How often the chosen completion is free of faults and the rejected one is not."""
    paired = dd.preference_pairs(
        solves.draw(each, "first", solve) for each in collected for solve in range(8)
    )
    broken = {
        (each.trace.question.text, each.trace.decomposition.subquestions): _has("fault")(each)
        for each in collected
        if each.trace.decomposition
    }
    right = 0
    for pair in paired.pairs:
        asked = pair.prompt[-1].content.removeprefix("Question: ")
        chosen, rejected = map(parse_subquestions, (pair.chosen, pair.rejected))
        right += not broken[asked, chosen] and broken[asked, rejected]
    return {"pairs": len(paired.pairs), "precision": right / max(1, len(paired.pairs))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--train", type=int, default=1000, help="questions of the world")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    runs = [dict(measure(seed, args.train)) for seed in args.seeds]
    figures = {
        name: {
            part: round(statistics.median(run[name][part] for run in runs), 4)
            for part in runs[0][name]
        }
        for name in runs[0]
    }
    for name, found in figures.items():
        print(f"{name:30}", *(f"{part} {value:g}" for part, value in found.items()), sep="  ")
    if args.json:
        settings = {"train": args.train, "seeds": args.seeds, "samples": SAMPLES, "rate": RATE}
        args.json.write_text(json.dumps(figures | {"settings": settings}, indent=2), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
