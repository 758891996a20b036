"""A small controlled world: questions with known answers, some of them held out, also open book.

Held-out questions name people, places and works that no training question names, and are worded
as no training question is. An open book holds the facts a question needs, among distractors, as
its context.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, cycle, islice, pairwise, zip_longest
from random import Random
from types import MappingProxyType

from decompose_distill.demo.facts import (
    COLLECTIONS,
    MEASURES,
    RELATIONS,
    Facts,
    Kind,
    Population,
    divide,
    record,
)
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


Record = tuple[str, str]
"""Name of a relation, measure or collection, and the entity it is recorded of."""
SENTENCES = 9
"""Of a context: about 80 tokens. The most a question needs is seven."""

FORMS: Mapping[str, str] = {
    "mother": "{entity}'s mother is {value}.",
    "boss": "{entity}'s boss is {value}.",
    "coach": "{entity}'s coach is {value}.",
    "doctor": "{entity}'s doctor is {value}.",
    "mayor": "{entity}'s mayor is {value}.",
    "author": "{value} wrote {entity}.",
    "home": "{entity} lives in {value}.",
    "birth": "{entity} was born in {value}.",
    "favorite": "{entity} loves the book {value}.",
    "current": "{entity} is reading {value}.",
    "age": "{entity} is {value} years old.",
    "population": "{entity} has a population of {value}.",
    "page count": "{entity} has {value} pages.",
    "height": "{entity} is {value} cm tall.",
    "area": "{entity} has an area of {value}.",
    "price": "{entity} costs {value}.",
    "languages": "{entity} speaks {value}.",
    "rivers": "{entity} has the rivers {value}.",
    "prizes": "{entity} won the prizes {value}.",
}
"""How a context states each record."""


def state(record: Record, value: str) -> str:
    """A fact as a sentence.

    Example:
        >>> state(("age", "Emma"), "40"), state(("author", "Dust"), "Jack")
        ('Emma is 40 years old.', 'Jack wrote Dust.')
    """
    name, entity = record
    return FORMS[name].format(entity=entity, value=value)


def _pattern(form: str) -> re.Pattern[str]:
    escaped = re.escape(form).replace(r"\{entity\}", r"(?P<entity>\w+)")
    return re.compile(escaped.replace(r"\{value\}", r"(?P<value>\w+(?:, \w+)*)"))


_PATTERNS = {name: _pattern(form) for name, form in FORMS.items()}


def read_facts(context: str) -> dict[Record, str]:
    """The facts a context states; sentences of another form are passed over.

    Example:
        >>> read_facts("Emma is 40 years old. It rains. Jack speaks Danish, Dutch.")
        {('age', 'Emma'): '40', ('languages', 'Jack'): 'Danish, Dutch'}
    """
    facts: dict[Record, str] = {}
    for sentence in re.split(r"(?<=\.)\s+", context.strip()):
        for name, pattern in _PATTERNS.items():
            if match := pattern.fullmatch(sentence):
                facts[name, match["entity"]] = match["value"]
    return facts


def needed(composition: Composition, facts: Facts) -> dict[Record, str]:
    """The facts that lead to the answer, and no other.

    Example:
        >>> from decompose_distill.demo.grammar import Operand
        >>> facts = {("boss", "Emma"): "Lucy", ("age", "Lucy"): "50", ("age", "Jack"): "40"}
        >>> asked = Composition("sum", "person", (Operand("Emma", ("boss",)), Operand("Jack")))
        >>> list(needed(asked, facts | {("age", "Emma"): "30"}))
        [('boss', 'Emma'), ('age', 'Lucy'), ('age', 'Jack')]
    """
    records: list[Record] = []
    for operand in composition.operands:
        end = operand.anchor
        for hop in operand.chain:
            records.append((hop, end))
            end = facts[hop, end]
        records.append((asked_for(composition), end))
    return {record: facts[record] for record in records}


def asked_for(composition: Composition) -> str:
    """Name of what the operator compares, adds or counts."""
    if composition.operator == "count":
        return COLLECTIONS[composition.kind].name
    return MEASURES[composition.kind].name


def open_book(world: World) -> World:
    """The same world, each question with a context that holds the facts it needs.

    The distractors are true: other facts about the entities on the way, and what the question
    asks for, recorded of others. Contexts depend on the seed and the question alone.

    Example:
        >>> from decompose_distill.demo.world import build_world
        >>> question = open_book(build_world(seed=0)).train[0]
        >>> len(read_facts(question.context))
        9
    """

    def opened(questions: Iterable[Question]) -> tuple[Question, ...]:
        return tuple(
            Question(question.text, question.answer, context=_context(world, question))
            for question in questions
        )

    splits = {split: opened(questions) for split, questions in world.splits.items()}
    return replace(world, train=opened(world.train), splits=splits)


def _context(world: World, question: Question) -> str:
    composition = world.compositions[question.text]
    rng = Random(f"{world.seed} book {question.text}")
    facts = needed(composition, world.facts)
    others = _distractors(composition, facts, world.facts, rng)
    facts |= {record: world.facts[record] for record in islice(others, SENTENCES - len(facts))}
    sentences = [state(record, value) for record, value in facts.items()]
    return " ".join(rng.sample(sentences, len(sentences)))


def _distractors(
    composition: Composition, used: Facts, facts: Facts, rng: Random
) -> Iterator[Record]:
    """Facts beside the way, in turn: of its entities, and what is asked, of others near it."""
    way = dict.fromkeys(entity for _, entity in used)
    beside = [(name, entity) for entity in way for name in FORMS]
    near = [facts[record] for record in beside if record[0] in RELATIONS and record in facts]
    asks = [(asked_for(composition), entity) for entity in dict.fromkeys((*way, *near))]
    pools = (
        [record for record in pool if record in facts and record not in used]
        for pool in (asks, beside)
    )
    mixed = zip_longest(*(rng.sample(pool, len(pool)) for pool in pools))
    return (record for record in dict.fromkeys(chain.from_iterable(mixed)) if record)
