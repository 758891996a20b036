"""What can be known in the controlled world: names, relations, measures, collections, facts.

Each relation and measure carries the one form of question the database answers, such as
`How old is {}?`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

Kind = Literal["person", "place", "work"]
Facts = Mapping[tuple[str, str], str]
"""The database: (name of a relation, name of an entity) to what is recorded of it."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Names the world draws from; each is one token to most tokenizers.
WOMEN = _words(
    """
    Emma Olivia Alice Anna Mary Sarah Laura Julia Lucy Grace Rachel Helen Jane Kate Clara Diana Eva
    Ella Rose Ruth Hannah Linda Susan Karen Nancy Lisa Betty Carol Amanda Melissa Emily Amy Angela
    Maria Martha Judith Alma Joan Edith Vera Lily Daisy Ivy Molly Sally Jenny Nina Monica Victoria
    Mia Abigail Samantha Claire Ellen Barbara Patricia Elizabeth Margaret Sandra Sharon Michelle
    Deborah Rebecca Katherine Christine Heather Teresa Jean Marie Lauren Andrea Naomi Esther Miriam
    """
)
MEN = _words(
    """
    Jack Tom James John Robert Michael William David Richard Joseph Thomas Charles Daniel Matthew
    Anthony Mark Donald Steven Paul Andrew Joshua Kenneth Kevin Brian George Edward Timothy Jason
    Jeffrey Ryan Jacob Gary Eric Jonathan Stephen Larry Justin Scott Benjamin Samuel Frank Gregory
    Raymond Alexander Patrick Dennis Jerry Tyler Aaron Henry Peter Adam Nathan Walter Harold Carl
    Keith Roger Gerald Ethan Arthur Terry Sean Lawrence Joe Noah Albert Bruce Alan Ralph Louis Simon
    """
)
PLACES = _words(
    """
    Oxford Burton Hampton Kingston Lincoln Newport Richmond Salem Stafford Walton Windsor Warwick
    York Bath Bedford Cambridge Canterbury Chester Derby Dover Exeter Leeds Sheffield Dayton Concord
    Denver Dallas Lexington Memphis Monroe Orlando Princeton Raleigh Seattle Tampa Troy Boston
    Charleston Cleveland Columbus Cork Perth Auckland Wellington Cardiff Glasgow Edinburgh Oslo
    Naples Milan Lyon Geneva Basel Vienna Athens Delhi Mumbai Lima Nairobi Cairo Leiden Bonn Cologne
    Leipzig Hamburg Berlin Springfield Greenwich Arlington
    """
)
WORKS = _words(
    """
    Dust Echo Harbor Frost Winter Autumn Silence Thunder Mirror Shadow Garden Island River Bridge
    Castle Desert Forest Canyon Horizon Journey Dawn Comet Falcon Raven Wolf Tiger Copper Hollow
    Haven Refuge Odyssey Paradise Legacy Freedom Courage Mercy Gravity Zero Atlas Nova Orion Phoenix
    Titan Pulse Spectrum
    """
)
LANGUAGES = _words("Arabic Danish Dutch French Greek Hindi Latin Polish Welsh")
WATERS = _words("Avon Elbe Indus Loire Rhine Tagus Thames Tiber Volga")
PRIZES = _words("Acorn Anchor Crown Lantern Laurel Quill Ribbon Star Torch")


@dataclass(frozen=True, slots=True)
class Relation:
    """A hop from one entity to another, such as from a person to their boss.

    Example:
        >>> RELATIONS["boss"].step.format("Emma")
        "Who is Emma's boss?"
    """

    name: str
    source: Kind
    target: Kind
    step: str
    """The atomic subquestion."""
    noun: str
    """How a question names the entity the hop leads to: `Emma's boss`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A number recorded of every entity of one kind, with the words questions need for it.

    Example:
        >>> MEASURES["person"].aggregates["comparison"].format("Emma or Jack")
        'Who is older, Emma or Jack?'
    """

    name: str
    plural: str
    which: str
    more: str
    most: str
    step: str
    low: int
    high: int
    unit: int = 1

    @property
    def aggregates(self) -> Mapping[str, str]:
        """The atomic subquestion over several entities, by operator."""
        return {
            "comparison": f"{self.which} is {self.more}, {{}}?",
            "superlative": f"{self.which} is the {self.most} of {{}}?",
            "sum": f"What is the total {self.name} of {{}}?",
            "difference": f"What is the difference in {self.name} of {{}}?",
        }


@dataclass(frozen=True, slots=True)
class Collection:
    """A list recorded of every entity of one kind, such as the languages a person speaks.

    Example:
        >>> COLLECTIONS["person"].count.format("Emma and Jack")
        'How many languages have Emma and Jack?'
    """

    name: str
    verb: str
    """How a question counts it: `How many languages {verb} Emma?`."""
    members: str
    """How a question names it: `Count the {members} Emma.`"""
    count: str
    """The atomic subquestion over several entities; what they share counts once."""
    values: tuple[str, ...]


_RELATIONS = (
    Relation("mother", "person", "person", "Who is {}'s mother?", "mother"),
    Relation("boss", "person", "person", "Who is {}'s boss?", "boss"),
    Relation("coach", "person", "person", "Who is {}'s coach?", "coach"),
    Relation("doctor", "person", "person", "Who is {}'s doctor?", "doctor"),
    Relation("mayor", "place", "person", "Who is {}'s mayor?", "mayor"),
    Relation("author", "work", "person", "Who wrote {}?", "author"),
    Relation("home", "person", "place", "Where does {} live?", "home town"),
    Relation("birth", "person", "place", "Where was {} born?", "birthplace"),
    Relation("favorite", "person", "work", "Which book does {} love?", "favorite book"),
    Relation("current", "person", "work", "Which book is {} reading?", "current book"),
)
RELATIONS: Mapping[str, Relation] = {relation.name: relation for relation in _RELATIONS}

MEASURES: Mapping[Kind, Measure] = {
    "person": Measure("age", "ages", "Who", "older", "oldest", "How old is {}?", 18, 90),
    "place": Measure(
        "population", "populations", "Which", "larger", "largest",
        "What is {}'s population?", 12, 900, 1000,
    ),
    "work": Measure(
        "page count", "page counts", "Which", "longer", "longest",
        "How many pages has {}?", 80, 900,
    ),
}  # fmt: skip
DECOYS: Mapping[Kind, Measure] = {
    "person": Measure("height", "heights", "Who", "taller", "tallest", "How tall is {}?", 150, 199),
    "place": Measure("area", "areas", "Which", "wider", "widest", "What is {}'s area?", 20, 800),
    "work": Measure("price", "prices", "Which", "dearer", "dearest", "What is {}'s price?", 5, 60),
}
"""Recorded too, but no question asks for them: a teacher that mixes relations up does."""

COLLECTIONS: Mapping[Kind, Collection] = {
    "person": Collection(
        "languages", "are spoken by", "languages spoken by",
        "How many languages have {}?", LANGUAGES,
    ),
    "place": Collection(
        "rivers", "flow through", "rivers flowing through",
        "How many rivers have {}?", WATERS,
    ),
    "work": Collection(
        "prizes", "were won by", "prizes won by",
        "How many prizes have {}?", PRIZES,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Population:
    """The entities of one part of the world; nobody in it is related to another part.

    Example:
        >>> Population(("Emma",), ("Jack",), ("York",), ("Dust",)).of("person")
        ('Emma', 'Jack')
    """

    women: tuple[str, ...]
    men: tuple[str, ...]
    places: tuple[str, ...]
    works: tuple[str, ...]

    def of(self, kind: Kind) -> tuple[str, ...]:
        """Every entity of one kind."""
        if kind == "person":
            return self.women + self.men
        return self.places if kind == "place" else self.works


def divide(rng: Random, share: float = 0.7) -> tuple[Population, Population]:
    """Two populations without a name in common, the first with `share` of the

    Example:
        >>> train, heldout = divide(Random(0))
        >>> set(train.of("place")) & set(heldout.of("place"))
        set()
    """
    parts: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    for everyone in (WOMEN, MEN, PLACES, WORKS):
        shuffled = rng.sample(everyone, len(everyone))
        cut = round(share * len(shuffled))
        parts.append((tuple(shuffled[:cut]), tuple(shuffled[cut:])))
    return Population(*(first for first, _ in parts)), Population(*(rest for _, rest in parts))


def record(population: Population, rng: Random) -> dict[tuple[str, str], str]:
    """Everything the database knows of one population.

    Example:
        >>> facts = record(divide(Random(0))[0], Random(0))
        >>> facts["mayor", facts["home", facts["author", "Dust"]]] in WOMEN + MEN
        True
    """
    facts: dict[tuple[str, str], str] = {}
    for kind in ("person", "place", "work"):
        for entity in population.of(kind):
            for measure in (MEASURES[kind], DECOYS[kind]):
                number = rng.randint(measure.low, measure.high) * measure.unit
                facts[measure.name, entity] = str(number)
            values = COLLECTIONS[kind].values
            members = sorted(rng.sample(values, rng.randint(1, 5)))
            facts[COLLECTIONS[kind].name, entity] = ", ".join(members)
    for relation in _RELATIONS:
        facts.update(_related(relation, population, facts, rng))
    return facts


def _related(
    relation: Relation, population: Population, facts: Facts, rng: Random
) -> dict[tuple[str, str], str]:
    """One hop for every entity that has one; the oldest have no mother in the records."""
    related: dict[tuple[str, str], str] = {}
    for entity in population.of(relation.source):
        others = [other for other in population.of(relation.target) if other != entity]
        if relation.name == "mother":
            youngest = int(facts["age", entity]) + 18
            others = [name for name in population.women if int(facts["age", name]) >= youngest]
        if others:
            related[relation.name, entity] = rng.choice(others)
    return related
