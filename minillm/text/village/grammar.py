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

MIN_SENTENCES, MAX_SENTENCES = 6, 12
MAX_PEOPLE, MAX_THINGS = 3, 3
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
    # Where to: None stands for any other place (see `_going`), which is listed only when chosen.
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
