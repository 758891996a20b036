"""What a matrix will ask, train and measure, said before it starts."""

from collections import Counter

from decompose_distill.matrix.setup import TEST, Setup
from decompose_distill.matrix.variants import SHUFFLED, TEACHER


def outlook(setup: Setup) -> str:
    """The work ahead, as lines for a person; what is finished already counts too."""
    lines = [
        f"{len(setup.places)} cells: {len(_rows(setup))} rows, {len(setup.columns)} columns"
        + (f", {len(setup.seeds)} seeds" if len(setup.seeds) > 1 else "")
    ]
    if setup.learns:
        asked = len(setup.train) * setup.samples
        lines.append(f"collect: {asked:,} traces of {len(setup.train):,} training questions")
    if setup.variants:
        several = f", {len(setup.seeds)} times each" if len(setup.seeds) > 1 else ""
        lines.append(f"train: {', '.join(setup.variants)}{several}, from {setup.student.model}")
    lines.append(f"measure: {_measured(setup)}")
    lines += [f"ask {name}: {count:,} requests" for name, count in requests(setup).items()]
    return "\n".join(lines)


def requests(setup: Setup) -> Counter[str]:
    """Most requests to the teacher and to each solver that was given, by its name."""
    found = Counter[str]()
    collected = len(setup.train) * setup.samples if setup.learns else 0
    found[TEACHER] += collected
    found[next(iter(setup.solvers))] += collected
    for split, questions in setup.splits.items():
        places = setup.places_on(split)
        if any(row in (TEACHER, SHUFFLED) for row, _ in places):
            found[TEACHER] += len(questions)
        for place in places:
            if place[1] in setup.solvers:
                found[place[1]] += len(questions) * len(setup.seeds_of(place))
    return +found


def _rows(setup: Setup) -> set[str]:
    return {row for row, _ in setup.places}


def _measured(setup: Setup) -> str:
    return ", ".join(
        f"{len(setup.places_on(split))} cells on {len(questions):,} "
        + ("test questions" if split == TEST else f"of {split}")
        for split, questions in setup.splits.items()
    )
