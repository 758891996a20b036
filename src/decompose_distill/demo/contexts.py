"""Open book: the facts a question needs, among distractors, as the context of the question."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice, zip_longest
from random import Random

from decompose_distill.demo.facts import COLLECTIONS, MEASURES, RELATIONS, Facts
from decompose_distill.demo.grammar import Composition
from decompose_distill.demo.world import World
from decompose_distill.types import Question

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


def needed(asked: Composition, facts: Facts) -> dict[Record, str]:
    """The facts that lead to the answer, and no other.

    Example:
        >>> from decompose_distill.demo.grammar import Operand
        >>> facts = {("boss", "Emma"): "Lucy", ("age", "Lucy"): "50", ("age", "Jack"): "40"}
        >>> asked = Composition("sum", "person", (Operand("Emma", ("boss",)), Operand("Jack")))
        >>> list(needed(asked, facts | {("age", "Emma"): "30"}))
        [('boss', 'Emma'), ('age', 'Lucy'), ('age', 'Jack')]
    """
    records: list[Record] = []
    for operand in asked.operands:
        end = operand.anchor
        for hop in operand.chain:
            records.append((hop, end))
            end = facts[hop, end]
        records.append((asked_for(asked), end))
    return {record: facts[record] for record in records}


def asked_for(asked: Composition) -> str:
    """Name of what the operator compares, adds or counts."""
    if asked.operator == "count":
        return COLLECTIONS[asked.kind].name
    return MEASURES[asked.kind].name


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
    asked, rng = world.compositions[question.text], Random(f"{world.seed} book {question.text}")
    facts = needed(asked, world.facts)
    others = _distractors(asked, facts, world.facts, rng)
    facts |= {record: world.facts[record] for record in islice(others, SENTENCES - len(facts))}
    sentences = [state(record, value) for record, value in facts.items()]
    return " ".join(rng.sample(sentences, len(sentences)))


def _distractors(asked: Composition, used: Facts, facts: Facts, rng: Random) -> Iterator[Record]:
    """Facts beside the way, in turn: of its entities, and what is asked, of others near it."""
    way = dict.fromkeys(entity for _, entity in used)
    beside = [(name, entity) for entity in way for name in FORMS]
    near = [facts[record] for record in beside if record[0] in RELATIONS and record in facts]
    asks = [(asked_for(asked), entity) for entity in dict.fromkeys((*way, *near))]
    pools = (
        [record for record in pool if record in facts and record not in used]
        for pool in (asks, beside)
    )
    mixed = zip_longest(*(rng.sample(pool, len(pool)) for pool in pools))
    return (record for record in dict.fromkeys(chain.from_iterable(mixed)) if record)
