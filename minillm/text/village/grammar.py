"""What can happen next in the village, and with what probability: one tree of choices.

From a state of the story, `root` gives the first choice (who or what the next sentence is about);
each choice leads to the next (what happens → to what → how it is said), until a sentence is
complete. To sample a sentence is to walk one branch; to list all sentences is to visit the leaves;
to score one is to follow its own branch. All three read this one tree, so they can't disagree.

But: what a sentence changes is in `state.py`, how it is worded in `phrases.py` and `render.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from minillm.text.village.phrases import PHRASES
from minillm.text.village.state import Act, State
from minillm.text.village.words import ADJECTIVES, FEELINGS, PERSON, PLACE, THING, UNPAINTED

PLACES = list(PLACE)

MIN_SENTENCES = 5
ARRIVE, FIND = (0, 35, 5, 1), (40, 10, 2, 1)  # weights by how many people, things there are
PRONOUN, IT = (17, 3), (3, 2)  # weights of "she" against "Anna", of "it" against "the lamp"


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


# The first choice: who or what the next sentence is about.


def root(s: State) -> Choice:
    """The tree of all next sentences; the option "end" leads to None: the story is over."""
    if s.pending is not None:
        return _answer(s)
    if not s.place:
        return Choice("topic", ["open"], None, lambda _: _appear(s, "open"))
    options, weights = [], []

    def add(option, weight):
        options.append(option)
        weights.append(weight)

    if s.n >= MIN_SENTENCES:
        add("end", 12 * (s.n - MIN_SENTENCES + 1))
    add("arrive", ARRIVE[min(len(s.place), 3)])
    add("thing", FIND[min(len(s.things()), 3)])
    add("scene", 8)
    add("unchanged", 8)
    for person in s.place:
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
            return Choice("act", _unchanged(s), None, lambda act: say(s, act))
        return _doings(s, option)

    return Choice("topic", options, weights, then)


def _appear(s: State, kind: str) -> Choice:
    """Somebody new: anyone not in the story yet, anywhere, most often where others are."""
    names = [name for name in PERSON if name not in s.place]
    busy = set(s.place.values())
    weights = [150 if place in busy else 1 for place in PLACE]

    def where(who):
        return Choice("place", PLACES, weights, lambda place: say(s, Act(kind, who, place=place)))

    return Choice("who", names, None, where)


def _new_thing(s: State) -> Choice:
    """A thing new to the story, in somebody's hands or lying where people were."""
    known = s.things()
    names = [name for name in THING if name not in known]
    acts = [Act("there", place=place) for place in s.spots()]
    acts += [Act("own", who) for who in s.place]

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
    """Weather, or an animal where people were: neither changes anything."""
    if kind == "weather":
        return say(s, Act("weather"))
    return Choice("place", s.spots(), None, lambda place: say(s, Act("animal", place=place)))


def _unchanged(s: State) -> list[Act]:
    """All that can be said to be still so, of every person and every thing."""
    acts = [Act("stay", who, place=place) for who, place in s.place.items()]
    acts += [Act("keep", who, thing) for thing, who in s.holds.items()]
    acts += [Act("lie", thing=thing, place=place) for thing, place in s.lies.items()]
    return acts


# The second choice: what the person does.


def _doings(s: State, who: str) -> Choice:
    """Everything that `who` can do now: a kind, then the act."""
    here, held, things = s.place[who], s.held(who), s.things()
    near = [q for q in s.place if q != who and s.place[q] == here]
    kinds: dict[str, tuple[int, Sequence[Act] | None]] = {}
    # Where to: None stands for any other place (see `_going`), which is listed only when chosen.
    kinds["go"] = (6, None)
    if held:
        kinds["carry"] = (8, None)
        kinds["put"] = (10, [Act("put", who, t) for t in held])
        if near:
            kinds["give"] = (24, [Act("give", who, t, other=q) for t in held for q in near])
        if s.wants.get(who) in held:
            kinds["gain"] = (60, [Act("gain", who, s.wants[who])])
    lying = [t for t, place in s.lies.items() if place == here]
    if lying:
        kinds["take"] = (45, [Act("take", who, t) for t in lying])
    asked = [Act("ask", who, t, other=q) for t, q in s.holds.items() if q in near]
    if asked:
        kinds["ask"] = (28, asked)
    back = sorted(place for person, place in s.seen if person == who and place != here)
    if back:
        kinds["return"] = (8, [Act("return", who, place=p) for p in back])
    if near:
        kinds["together"] = (14, None)
        kinds["meet"] = (12, [Act("meet", who, other=q) for q in near])
        if things:
            kinds["talk"] = (4, [Act("talk", who, t, other=q) for q in near for t in things])
    if s.thanks and s.thanks[0] == who:
        kinds["thank"] = (40, [Act("thank", who, other=s.thanks[1])])
    others = [q for q in s.place if q != who]
    if others:
        kinds["think"] = (3, [Act("think", who, other=q) for q in others])
    wanted = [t for t in things if t not in held]
    if wanted:
        kinds["want"] = (10, [Act("want", who, t) for t in wanted])
    if things:
        kinds["ponder"] = (5, [Act("ponder", who, t) for t in things])
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
    """Add what `who` can feel: any feeling, most often the one that what happened calls for."""
    cause, told = s.cause.get(who, 0), s.felt.get(who)
    for sign, feel, burst in ((1, "feel_good", "joy"), (-1, "feel_bad", "grief")):
        weight = (10, 30, 2)[sign * cause]
        kinds[feel] = (weight, [Act(feel, who, feeling=f.good) for f in FEELINGS])
        kinds[burst] = (max(1, weight // 3), [Act(burst, who)])
    if near:
        for kind in ("good_but_bad", "bad_but_good"):
            acts = [Act(kind, who, other=q, feeling=f.good) for q in near for f in FEELINGS]
            kinds[kind] = (3, acts)
    if told:  # "still sad" and "no longer sad" need that "sad" was said
        still, turn = ("still_good", "turn_bad") if s.mood[who] == 1 else ("still_bad", "turn_good")
        kinds[still] = (10, [Act(still, who, feeling=told)])
        kinds[turn] = (10, [Act(turn, who, feeling=told)])


def _going(s: State, kind: str, who: str, near: list[str]) -> Choice:
    """Where `who` goes or means to go: anywhere else."""
    places = [place for place in PLACE if place != s.place[who]]

    def where(act):
        return Choice("place", places, None, lambda place: say(s, act._replace(place=place)))

    if kind == "carry":
        return Choice("act", [Act(kind, who, t) for t in s.held(who)], None, where)
    if kind == "together":
        return Choice("act", [Act(kind, who, other=q) for q in near], None, where)
    return where(Act(kind, who))


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
