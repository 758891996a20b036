"""A small controlled world: questions with known answers, some of them held out.

Held-out questions name people, places and works that no training question names, and are worded
as no training question is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
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

PAIRS: Mapping[Kind, tuple[Pair, ...]] = {
    "person": (
        (("mother",), ()),
        (("author",), ()),
        (("mayor",), ("boss",)),
        (("coach",), ("mother",)),
        (("doctor",), ("author",)),
        (("boss", "mother"), ()),
        (("mother", "doctor"), ()),
        (("home", "mayor"), ("coach",)),
    ),
    "place": (
        (("home",), ()),
        (("birth",), ()),
        (("home",), ("birth",)),
        (("author", "birth"), ()),
        (("boss", "home"), ()),
        (("mother", "birth"), ("home",)),
    ),
    "work": (
        (("favorite",), ()),
        (("favorite",), ("favorite",)),
        (("coach", "favorite"), ()),
        (("mayor", "favorite"), ()),
        (("doctor", "favorite"), ("favorite",)),
    ),
}
"""Pairs of chains that training questions are made of: one to three hops, then the operator."""

DEEPER: Mapping[Kind, tuple[Pair, ...]] = {
    "person": (
        (("boss", "mother"), ("mother", "doctor")),
        (("home", "mayor"), ("boss", "mother")),
        (("boss", "mother", "doctor"), ("coach",)),
    ),
    "place": (
        (("boss", "home"), ("mother", "birth")),
        (("author", "birth"), ("boss", "home")),
        (("author", "mother", "birth"), ("home",)),
    ),
    "work": (
        (("coach", "favorite"), ("doctor", "favorite")),
        (("mayor", "favorite"), ("coach", "favorite")),
        (("mother", "doctor", "favorite"), ("favorite",)),
    ),
}
"""Four hops, one more than any training question."""

Form = tuple[Operator, Kind, Pair]


@dataclass(frozen=True)
class World:
    """Facts, training questions and three held-out splits, all from one seed.

    `unseen` has new entities and wordings; `recombined` also puts operators over pairs of chains
    never trained together; `deeper` also follows one hop more than any training question.

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
    writer = _Writer(facts, {}, rng)
    trained = writer.write(train, together, here, WORDINGS)
    splits = {
        "unseen": writer.write(unseen, together, there, HELDOUT_WORDINGS),
        "recombined": writer.write(recombined, apart, there, HELDOUT_WORDINGS),
        "deeper": writer.write(deeper, _every(DEEPER), there, HELDOUT_WORDINGS),
    }
    compositions = MappingProxyType(writer.compositions)
    return World(seed, MappingProxyType(facts), trained, MappingProxyType(splits), compositions)


def _every(pairs: Mapping[Kind, tuple[Pair, ...]]) -> list[Form]:
    """Each operator over each pair of chains."""
    return [
        (operator, kind, pair) for kind in pairs for pair in pairs[kind] for operator in OPERATORS
    ]


def _forms(rng: Random) -> tuple[list[Form], list[Form]]:
    """What is trained together, and what is not: each pair misses one operator in training."""
    missing = cycle(rng.sample(OPERATORS, len(OPERATORS)))
    apart = [(next(missing), kind, pair) for kind in PAIRS for pair in PAIRS[kind]]
    return [form for form in _every(PAIRS) if form not in apart], apart


@dataclass(frozen=True)
class _Writer:
    """Writes questions without repeating one."""

    facts: Facts
    compositions: dict[str, Composition]
    rng: Random

    def write(
        self, count: int, forms: Sequence[Form], population: Population, wordings: Wordings
    ) -> tuple[Question, ...]:
        """`count` questions with an answer, going round the forms in random order."""
        return tuple(islice(self._questions(forms, population, wordings), count))

    def _questions(
        self, forms: Sequence[Form], population: Population, wordings: Wordings
    ) -> Iterator[Question]:
        while True:
            for operator, kind, pair in self.rng.sample(forms, len(forms)):
                composition, answer = self._compose(operator, kind, pair, population)
                text = composition.words(self.rng.choice(wordings[operator]), self.rng)
                if text not in self.compositions:
                    self.compositions[text] = composition
                    yield Question(text, answer)

    def _compose(
        self, operator: Operator, kind: Kind, pair: Pair, population: Population
    ) -> tuple[Composition, str]:
        """A composition with an answer: draw entities until every hop leads somewhere."""
        chains: list[Chain] = [*pair, ()] if operator == "superlative" else [*pair]
        while True:
            operands = [self._operand(chain, kind, population) for chain in chains]
            self.rng.shuffle(operands)
            composition = Composition(operator, kind, tuple(operands))
            named = {operand.anchor for operand in operands}
            answer = composition.answer(self.facts)
            if answer is not None and len(named) == len(operands):
                return composition, answer

    def _operand(self, chain: Chain, kind: Kind, population: Population) -> Operand:
        source = RELATIONS[chain[0]].source if chain else kind
        return Operand(self.rng.choice(population.of(source)), chain)
