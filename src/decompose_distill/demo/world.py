"""A small controlled world: questions with known answers, some of them held out.

Held-out questions name people, places and works that no training question names, and are worded
as no training question is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from random import Random
from types import MappingProxyType

from decompose_distill.demo.facts import RELATIONS, Facts, Kind, Population, divide, record
from decompose_distill.demo.grammar import (
    HELDOUT_WORDINGS,
    OPERATORS,
    WORDINGS,
    Chain,
    Composition,
    Operand,
    Operator,
)
from decompose_distill.types import Question

Pair = tuple[Chain, Chain]
Wordings = Mapping[Operator, tuple[str, ...]]

ONE_HOP: Mapping[Kind, tuple[Chain, ...]] = {
    "person": (("mother",), ("boss",), ("coach",), ("doctor",), ("author",), ("mayor",)),
    "place": (("home",), ("birth",)),
    "work": (("favorite",), ("current",)),
}
TWO_HOPS: Mapping[Kind, tuple[Chain, ...]] = {
    "person": (
        ("boss", "mother"),
        ("home", "mayor"),
        ("mother", "doctor"),
        ("coach", "boss"),
        ("favorite", "author"),
        ("doctor", "coach"),
    ),
    "place": (("boss", "home"), ("mother", "birth"), ("author", "birth"), ("doctor", "home")),
    "work": (
        ("coach", "favorite"),
        ("mayor", "current"),
        ("mother", "favorite"),
        ("boss", "current"),
    ),
}


def _pairs(kind: Kind) -> list[Pair]:
    """Pairs of chains to train on: one to three hops, the short ones twice as often."""
    one, two = ONE_HOP[kind], TWO_HOPS[kind]
    alone: list[Pair] = [(chain, ()) for chain in one]
    both = list(pairwise(one))
    longer: list[Pair] = [(chain, ()) for chain in two]
    return [*alone, *both, *alone, *both, *longer, *zip(two[::2], cycle(one), strict=False)]


def _deeper(kind: Kind) -> list[Pair]:
    """Pairs of trained chains with four hops, one more than any training question."""
    two = TWO_HOPS[kind]
    return list(zip(two, (*two[1:], two[0]), strict=True))


Form = tuple[Operator, Kind, Pair]


@dataclass(frozen=True)
class World:
    """Facts, training questions and held-out splits, all from one seed.

    `unseen` has new entities and wordings; `recombined` also puts operators over pairs of chains
    never trained together; `deeper` also follows one hop more than any training question.
    `familiar`, where it is asked for, has new wordings and the entities of training.

    Example:
        >>> world = build_world(seed=0)
        >>> {split: len(questions) for split, questions in world.splits.items()}
        {'unseen': 200, 'recombined': 100, 'deeper': 100}
    """

    seed: int
    facts: Facts
    train: tuple[Question, ...]
    splits: Mapping[str, tuple[Question, ...]]
    compositions: Mapping[str, Composition]
    """What each question is made of, by its text."""


def build_world(
    seed: int = 0,
    *,
    train: int = 1000,
    unseen: int = 200,
    recombined: int = 100,
    deeper: int = 100,
    familiar: int = 0,
) -> World:
    """Generate the world; the arguments after the seed are numbers of questions.

    Example:
        >>> build_world(seed=3).train == build_world(seed=3).train
        True
    """
    rng = Random(seed)
    here, there = divide(rng)
    facts = record(here, rng) | record(there, rng)
    together, apart = _forms(rng)
    learner = _Writer(facts, here, WORDINGS, {}, Random(f"{seed} train"))
    trained = learner.write(together, train)
    examiner = _Writer(facts, there, HELDOUT_WORDINGS, {}, Random(f"{seed} heldout"))
    splits = {
        "unseen": examiner.write(together, unseen),
        "recombined": examiner.write(apart, recombined),
        "deeper": examiner.write(_every(_deeper), deeper),
    }
    written = learner.compositions | examiner.compositions
    if familiar:
        reviewer = _Writer(facts, here, HELDOUT_WORDINGS, {}, Random(f"{seed} familiar"))
        splits = {"familiar": reviewer.write(together, familiar)} | splits
        written |= reviewer.compositions
    compositions = MappingProxyType(written)
    return World(seed, MappingProxyType(facts), trained, MappingProxyType(splits), compositions)


def _every(pairs: Callable[[Kind], list[Pair]]) -> list[Form]:
    """Each operator over each pair of chains."""
    return [
        (operator, kind, pair) for kind in ONE_HOP for pair in pairs(kind) for operator in OPERATORS
    ]


def _forms(rng: Random) -> tuple[list[Form], list[Form]]:
    """What is trained together, and what is not: each pair misses one operator in training."""
    missing = cycle(rng.sample(OPERATORS, len(OPERATORS)))
    apart = [
        (next(missing), kind, pair) for kind in ONE_HOP for pair in dict.fromkeys(_pairs(kind))
    ]
    return [form for form in _every(_pairs) if form not in apart], apart


@dataclass(frozen=True)
class _Writer:
    """Writes questions without repeating one."""

    facts: Facts
    population: Population
    wordings: Wordings
    compositions: dict[str, Composition]
    rng: Random

    def write(self, forms: Sequence[Form], count: int) -> tuple[Question, ...]:
        """`count` questions with an answer, going round the forms in random order."""
        return tuple(islice(self._questions(forms), count))

    def _questions(self, forms: Sequence[Form]) -> Iterator[Question]:
        while True:
            for operator, kind, pair in self.rng.sample(forms, len(forms)):
                composition, answer = self._compose(operator, kind, pair)
                text = composition.words(self.rng.choice(self.wordings[operator]))
                if text not in self.compositions:
                    self.compositions[text] = composition
                    yield Question(text, answer)

    def _compose(self, operator: Operator, kind: Kind, pair: Pair) -> tuple[Composition, str]:
        """A composition with an answer: draw entities until every hop leads somewhere."""
        chains: list[Chain] = [*pair, ()] if operator == "superlative" else [*pair]
        while True:
            operands = [self._operand(chain, kind) for chain in chains]
            composition = Composition(operator, kind, tuple(operands))
            named = {operand.anchor for operand in operands}
            answer = composition.answer(self.facts)
            if answer is not None and len(named) == len(operands):
                return composition, answer

    def _operand(self, chain: Chain, kind: Kind) -> Operand:
        source = RELATIONS[chain[0]].source if chain else kind
        return Operand(self.rng.choice(self.population.of(source)), chain)
