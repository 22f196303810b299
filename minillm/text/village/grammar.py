"""What can happen next in the village, and with what probability: one tree of choices.

From a state of the story, `root` gives the first choice (who or what the next sentence is about);
each choice leads to the next (what happens → to what → how it is said), until a sentence is
complete. To sample a sentence is to walk one branch; to list all sentences is to visit the leaves;
to score one is to follow its own branch. All three read this one tree, so they can't disagree.

Nothing is hidden: the state after a sentence follows from the state before it and the sentence's
meaning (`after`), so who has read the story knows the state.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minillm.text.village.phrases import PHRASES
from minillm.text.village.words import ADJECTIVES, FEELINGS, PERSON, PLACE, THING, UNPAINTED

MIN_SENTENCES, MAX_SENTENCES = 6, 12
MAX_PEOPLE, MAX_THINGS = 3, 3
PRONOUN, IT = (17, 3), (3, 2)  # weights of "she" against "Anna", of "it" against "the lamp"


class Act(NamedTuple):
    """What a sentence means: its kind, whom it is about, and what else takes part."""

    kind: str
    who: str | None = None
    thing: str | None = None
    place: str | None = None
    other: str | None = None
    feeling: str | None = None  # the good one of two opposite feelings
    adjective: str | None = None


class Said(NamedTuple):
    """A complete sentence: an act, the phrase that says it, and what is said by pronoun."""

    act: Act
    phrase: int
    pronoun: bool
    it: bool
    here: str | None  # where `who` is when the sentence begins


class Choice(NamedTuple):
    """What is chosen, the options, their weights (None: all alike), what each leads to."""

    what: str
    options: Sequence[Any]
    weights: Sequence[int] | None
    then: Callable[[Any], "Choice | Said | None"]


class State:
    """Where everybody and everything is, and what the last sentence spoke of.

    Attributes:
        n: sentences so far. people: in order of appearance.
        place: person -> place. holds: person -> thing. lies: thing -> place.
        mood: person -> 1 or -1, as the story said it; felt: person -> the pair of feelings it said
        it with. cause: person -> 1 or -1, as what has happened to them will make them feel.
        wants: person -> thing.
        seen: the (person, place) pairs of every stay.
        focus, it: the person and the thing that "she" and "it" point to, or None.
        pending: the act that the next sentence must answer, or None.
        thanks: (receiver, giver) where the last sentence gave something away, or None.
    """

    __slots__ = (
        "cause", "felt", "focus", "holds", "it", "lies", "mood", "n", "pending", "people", "place",
        "seen", "thanks", "wants",
    )  # fmt: skip

    def __init__(self):
        self.n, self.people, self.seen = 0, (), frozenset()
        self.place, self.holds, self.lies = {}, {}, {}
        self.mood, self.felt, self.cause, self.wants = {}, {}, {}, {}
        self.focus = self.it = self.pending = self.thanks = None

    def __repr__(self):
        return f"State(n={self.n}, place={self.place}, holds={self.holds}, lies={self.lies})"

    def things(self) -> list[str]:
        """Every thing that the story has named."""
        return [*self.lies, *self.holds.values()]

    def where(self, thing: str) -> str | None:
        """The place of a thing, wherever it lies or whoever holds it; None if not yet named."""
        for person, held in self.holds.items():
            if held == thing:
                return self.place[person]
        return self.lies.get(thing)


START = State()


# The first choice: who or what the next sentence is about.


def root(s: State) -> Choice:
    """The tree of all next sentences; the option "end" leads to None: the story is over."""
    if s.pending is not None:
        return _answer(s)
    if not s.people:
        return Choice("topic", ["open"], None, lambda _: _appear(s, "open"))
    options, weights = [], []

    def add(option, weight):
        options.append(option)
        weights.append(weight)

    if s.n >= MAX_SENTENCES:
        return Choice("topic", ["end"], None, lambda _: None)
    if s.n >= MIN_SENTENCES:
        add("end", 20)
    if len(s.people) < MAX_PEOPLE:
        add("arrive", (0, 35, 5)[len(s.people)])
    n_things = len(s.lies) + len(s.holds)
    if n_things < MAX_THINGS:
        add("thing", (40, 10, 2)[n_things])
    add("scene", 8)
    unchanged = _unchanged(s)
    if unchanged:
        add("unchanged", 8)
    for person in s.people:
        thankful = s.thanks is not None and person == s.thanks[0]
        add(person, 40 if person == s.focus or thankful else 18)

    def then(option):
        if option == "end":
            return None
        if option == "arrive":
            return _appear(s, "arrive")
        if option == "thing":
            return _new_thing(s)
        if option == "scene":
            return Choice("kind", ["weather", "animal"], (1, 1), lambda kind: _scene(s, kind))
        if option == "unchanged":
            return Choice("act", unchanged, None, lambda act: say(s, act))
        return _doings(s, option)

    return Choice("topic", options, weights, then)


def _appear(s: State, kind: str) -> Choice:
    """Somebody new: anyone not in the story yet, anywhere, most often where others are.

    Nobody comes into a story that speaks of the farm of that name, nor is there, nor goes there.
    """
    spoken_of = {place for _, place in s.seen}
    names = [name for name in PERSON if name not in s.place and name not in spoken_of]
    busy = set(s.place.values())

    def where(who):
        places = [place for place in PLACE if place != who and place not in s.place]
        weights = [60 if place in busy else 1 for place in places]
        return Choice("place", places, weights, lambda place: say(s, Act(kind, who, place=place)))

    return Choice("who", names, None, where)


def _new_thing(s: State) -> Choice:
    """A thing new to the story, lying where somebody is, or in somebody's empty hands."""
    known = s.things()
    names = [name for name in THING if name not in known]
    spots = list(dict.fromkeys(s.place.values()))
    acts = [Act("there", place=place) for place in spots]
    acts += [Act("own", who) for who in s.people if who not in s.holds]

    def looks(act):
        if act.thing in UNPAINTED:
            return say(s, act)
        words = [None, *ADJECTIVES]
        weights = (24, *[1] * len(ADJECTIVES))
        return Choice("adjective", words, weights, lambda w: say(s, act._replace(adjective=w)))

    def what(act):
        return Choice("thing", names, None, lambda name: looks(act._replace(thing=name)))

    return Choice("act", acts, None, what)


def _scene(s: State, kind: str) -> Choice:
    """Weather, or an animal where somebody is: neither changes anything."""
    if kind == "weather":
        return say(s, Act("weather"))
    spots = list(dict.fromkeys(s.place.values()))
    return Choice("place", spots, None, lambda place: say(s, Act("animal", place=place)))


def _unchanged(s: State) -> list[Act]:
    """All that can be said to be still so: of people and things the last sentence left alone."""
    acts = [Act("stay", who, place=s.place[who]) for who in s.people if who != s.focus]
    acts += [Act("keep", who, thing) for who, thing in s.holds.items() if thing != s.it]
    acts += [Act("lie", thing=t, place=place) for t, place in s.lies.items() if t != s.it]
    return acts


# The second choice: what the person does.


def _doings(s: State, who: str) -> Choice:
    """Everything that `who` can do now: a kind, then the act."""
    here, held = s.place[who], s.holds.get(who)
    near = [q for q in s.people if q != who and s.place[q] == here]
    last = s.n == MAX_SENTENCES - 1  # no room for an answer
    kinds: dict[str, tuple[int, Sequence[Act] | None]] = {}
    # Where to: None stands for any other place (see `going`), which is listed only when chosen.
    kinds["go"] = (9, None)
    if held:
        kinds["carry"] = (12, None)
        kinds["put"] = (10, [Act("put", who, held)])
        free = [q for q in near if q not in s.holds]
        if free:
            kinds["give"] = (24, [Act("give", who, held, other=q) for q in free])
        if s.wants.get(who) == held:
            kinds["gain"] = (60, [Act("gain", who, held)])
    else:
        lying = [t for t, place in s.lies.items() if place == here]
        if lying:
            kinds["take"] = (45, [Act("take", who, t) for t in lying])
        asked = [Act("ask", who, s.holds[q], other=q) for q in near if q in s.holds]
        if asked and not last:
            kinds["ask"] = (28, asked)
    back = [p for p in dict.fromkeys(s.place.values()) if p != here and (who, p) in s.seen]
    if back:
        kinds["return"] = (20, [Act("return", who, place=p) for p in back])
    if near:
        kinds["together"] = (5, None)
        kinds["meet"] = (10, [Act("meet", who, other=q) for q in near])
    if s.thanks and s.thanks[0] == who:
        kinds["thank"] = (40, [Act("thank", who, other=s.thanks[1])])
    away = [q for q in s.people if s.place[q] != here]
    if away:
        kinds["miss"] = (3, [Act("miss", who, other=q) for q in away])
    things = s.things()
    if near and things:
        kinds["talk"] = (4, [Act("talk", who, t, other=q) for q in near for t in things])
    gone = [t for t in things if s.where(t) != here]
    if gone:
        kinds["seek"] = (8, [Act("seek", who, t) for t in gone])
    wanted = [t for t in things if t != held]
    if wanted and who not in s.wants:
        kinds["want"] = (10, [Act("want", who, t) for t in wanted])
    if not last:
        kinds["plan"] = (5, None)
    kinds["idle"] = (5, [Act("idle", who)])
    kinds["remark"] = (4, [Act("remark", who)])
    kinds["like"] = (3, [Act("like", who)])
    _feelings(s, who, near, kinds)

    def then(kind):
        acts = kinds[kind][1]
        if acts is None:
            return _going(s, kind, who, near)
        return Choice("act", acts, None, lambda act: say(s, act))

    return Choice("kind", list(kinds), [weight for weight, _ in kinds.values()], then)


def _feelings(s: State, who: str, near: list[str], kinds: dict) -> None:
    """Add what `who` can feel: as the cause says, or either way, or otherwise than before."""
    mood, cause = s.mood.get(who), s.cause.get(who)

    def add(kind, weight, feel=True):
        told = s.felt.get(who)  # "no longer sad" needs that "sad" was said
        words = [told] if told else [f.good for f in FEELINGS]
        acts = [Act(kind, who, feeling=word) for word in words] if feel else [Act(kind, who)]
        kinds[kind] = (weight, acts)

    if mood is None:
        weight = 30 if cause else 8
        if cause != -1:
            add("feel_good", weight)
            add("joy", weight // 3, feel=False)
        if cause != 1:
            add("feel_bad", weight)
            add("grief", weight // 3, feel=False)
        open_too = [q for q in near if q not in s.mood and q not in s.cause]
        if open_too and cause is None:
            for kind in ("good_but_bad", "bad_but_good"):
                acts = [Act(kind, who, other=q, feeling=f.good) for q in open_too for f in FEELINGS]
                kinds[kind] = (3, acts)
    else:
        good = mood == 1
        add("still_good" if good else "still_bad", 3)
        add("turn_bad" if good else "turn_good", 3)


def _going(s: State, kind: str, who: str, near: list[str]) -> Choice:
    """Where `who` goes or means to go: most often where the story has been."""
    here = s.place[who]
    places = [place for place in PLACE if place != here and place not in s.place]
    busy = {*s.place.values(), *s.lies.values()}
    weights = [20 if place in busy else 1 for place in places]
    thing = s.holds[who] if kind == "carry" else None

    def where(other):
        return Choice(
            "place", places, weights, lambda place: say(s, Act(kind, who, thing, place, other))
        )

    return Choice("other", near, None, where) if kind == "together" else where(None)


def _answer(s: State) -> Choice:
    """What must follow a plan or a request."""
    kind, who, thing, place, other = s.pending[:5]
    if kind == "plan":
        acts = [Act("do", who, place=place), Act("drop", who)]
    else:
        acts = [Act("yes", other, thing, other=who), Act("no", other, thing, other=who)]
    return Choice("act", acts, (3, 2), lambda act: say(s, act))


# The last choice: how it is said.

_WAYS = {kind: (range(len(ways)), [w for w, _, _ in ways]) for kind, ways in PHRASES.items()}
_HAS_SUBJECT = {
    (kind, i): any(slot in en for slot in ("{S}", "{s}", "{o}"))
    for kind, ways in PHRASES.items()
    for i, (_, en, _) in enumerate(ways)
}
_HAS_IT = {(kind, i): "{T}" in en for kind, w in PHRASES.items() for i, (_, en, _) in enumerate(w)}


def say(s: State, act: Act) -> Choice:
    """The phrases for an act, then whether people and things are named or pointed to."""
    ways, weights = _WAYS[act.kind]
    here = s.place.get(act.who)

    def name_thing(phrase, pronoun):
        if act.thing is not None and act.thing == s.it and _HAS_IT[act.kind, phrase]:
            return Choice("it", (True, False), IT, lambda it: Said(act, phrase, pronoun, it, here))
        return Said(act, phrase, pronoun, False, here)

    def name_person(phrase):
        if act.who is not None and act.who == s.focus and _HAS_SUBJECT[act.kind, phrase]:
            return Choice(
                "pronoun", (True, False), PRONOUN, lambda pronoun: name_thing(phrase, pronoun)
            )
        return name_thing(phrase, False)

    return Choice("phrase", ways, weights, name_person)


# What a sentence changes.


def after(s: State, act: Act) -> State:
    """The state once `act` has happened."""
    kind, who, thing, place, other, feeling = act[:6]
    new = State.__new__(State)
    new.n, new.people, new.seen = s.n + 1, s.people, s.seen
    new.place, new.holds, new.lies = s.place, s.holds, s.lies
    new.mood, new.felt, new.cause, new.wants = s.mood, s.felt, s.cause, s.wants
    new.focus, new.it, new.pending, new.thanks = who, thing, None, None
    if other is not None and PERSON[other].he == PERSON[who].he:
        new.focus = None  # "she" could be either
    if kind in ("open", "arrive"):
        new.people = (*s.people, who)
        _move(new, who, place)
    elif kind in ("go", "return", "carry", "do"):
        _move(new, who, place)
    elif kind == "together":
        _move(new, who, place)
        _move(new, other, place)
    elif kind == "there":
        new.lies = {**s.lies, thing: place}
    elif kind == "own":
        new.holds = {**s.holds, who: thing}
    elif kind == "take":
        new.lies = _without(s.lies, thing)
        new.holds = {**s.holds, who: thing}
    elif kind == "put":
        new.holds = _without(s.holds, who)
        new.lies = {**s.lies, thing: s.place[who]}
    elif kind == "give":
        new.holds = {**_without(s.holds, who), other: thing}
        _cause(new, other, 1)
        new.thanks = (other, who)
    elif kind in ("ask", "plan"):
        new.pending = act
    elif kind == "yes":
        new.holds = {**_without(s.holds, who), other: thing}
        _cause(new, other, 1)
        new.thanks = (other, who)
    elif kind == "no":
        _cause(new, other, -1)
    elif kind == "want":
        new.wants = {**s.wants, who: thing}
    elif kind == "gain":
        new.wants = _without(s.wants, who)
        _cause(new, who, 1)
    elif kind == "good_but_bad":
        _feel(new, who, 1, feeling)
        _feel(new, other, -1, feeling)
    elif kind == "bad_but_good":
        _feel(new, who, -1, feeling)
        _feel(new, other, 1, feeling)
    elif kind in _SIGN:
        _feel(new, who, _SIGN[kind], feeling)
    return new


_SIGN = {"feel_good": 1, "turn_good": 1, "joy": 1, "feel_bad": -1, "turn_bad": -1, "grief": -1}


def _without(d: dict, key: str) -> dict:
    return {k: v for k, v in d.items() if k != key}


def _move(new: State, who: str, place: str) -> None:
    new.place = {**new.place, who: place}
    new.seen = new.seen | {(who, place)}


def _cause(new: State, who: str, sign: int) -> None:
    new.mood, new.felt = _without(new.mood, who), _without(new.felt, who)
    new.cause = {**new.cause, who: sign}


def _feel(new: State, who: str, sign: int, feeling: str | None) -> None:
    new.mood, new.cause = {**new.mood, who: sign}, _without(new.cause, who)
    new.felt = {**new.felt, who: feeling}
